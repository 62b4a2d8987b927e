"""One change asked of many tickets."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.bulk import BulkChanges
from api.idempotency import Idempotency, once
from api.routers.tickets import Acting
from api.schemas.bulk import BulkDocument, BulkView

router = APIRouter(tags=["working together"])


async def _bulk_of(tickets: Acting) -> BulkChanges:
    return BulkChanges(tickets)


InBulk = Annotated[BulkChanges, Depends(_bulk_of)]


@router.post("/tickets/bulk", status_code=202, response_model=BulkView, summary="Ask one change of many tickets")
async def change_tickets(document: BulkDocument, bulk: InBulk, request: Idempotency) -> Response:
    """Begin a bulk change, or with `dry_run` count what it would come to.

    The tickets are those that match at this moment. Each is asked once, as if it were asked alone, and may refuse.
    Closed tickets are not reopened in bulk.
    """
    tickets = bulk.tickets
    ids, change = await bulk.prepare(document)
    if document.dry_run:
        view = await bulk.dry_run(ids, change)
        return Response(view.model_dump_json(), status_code=202, media_type="application/json")

    async def work() -> BulkView:
        return await bulk.keep(ids, change, request)

    response = await once(tickets.session, tickets.caller.organization_id, request, work, status=202)
    await bulk.start(request)
    return response


@router.get("/bulk-changes/{bulk_change_id}", summary="How far a bulk change has come")
async def read_bulk_change(bulk_change_id: UUID, bulk: InBulk) -> BulkView:
    return await bulk.read(bulk_change_id)


@router.post("/bulk-changes/{bulk_change_id}/stop", response_model=BulkView, summary="Stop a bulk change")
async def stop_bulk_change(bulk_change_id: UUID, bulk: InBulk, request: Idempotency) -> Response:
    """It ends after the tickets it is at; what it has changed stays changed."""
    tickets = bulk.tickets

    async def work() -> BulkView:
        return await bulk.stop(bulk_change_id)

    return await once(tickets.session, tickets.caller.organization_id, request, work)
