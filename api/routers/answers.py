"""How a ticket is answered with: its document, its version, and what a client should know about the answer."""

from collections.abc import Mapping, Sequence

from fastapi import Response
from fastapi.responses import JSONResponse

from api.idempotency import REPLAYED
from api.schemas.offer import OfferView
from api.schemas.ticket import AcceptedView, TicketView
from api.tickets import Answer
from domain.clocks import Metric
from settings import Settings

READ_MODEL = "Baton-Read-Model"
"""Response header, ``pending``: the write holds, but reads may show the old state a moment longer."""


def answer_headers(answer: Answer) -> dict[str, str]:
    """The headers that go with an answer."""
    headers = {}
    if answer.pending:
        headers[READ_MODEL] = "pending"
    if answer.replayed:
        headers[REPLAYED] = "true"
    return headers


def ticket_response(
    answer: Answer,
    settings: Settings,
    *,
    status: int = 200,
    explanations: Mapping[Metric, str] | None = None,
    offers: Sequence[OfferView] = (),
) -> Response:
    """The ticket as a document."""
    view = TicketView.of(answer.recorded, settings, explanations, offers)
    headers = {"ETag": f'"{view.version}"', **answer_headers(answer)}
    if status == 201:
        headers["Location"] = f"/api/v1/tickets/{view.id}"
    return Response(view.model_dump_json(), status, headers, media_type=JSONResponse.media_type)


def accepted_response(view: AcceptedView) -> Response:
    """The command was handed on."""
    headers = {"Preference-Applied": "respond-async", "Location": f"/api/v1/tickets/{view.ticket_id}/events"}
    return Response(view.model_dump_json(), 202, headers, media_type=JSONResponse.media_type)
