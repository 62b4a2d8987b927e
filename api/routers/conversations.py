"""Conversations: messages in, what was decided on them, and the conversation as it is."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from sqlalchemy import select

from api.arrivals import Arrival
from api.deliveries import page_of_messages, shown_messages
from api.dependencies import AppServices, Caller, Principal, ReadSession, Session
from api.idempotency import REPLAYED, Idempotency
from api.intake import Intake
from api.pagination import Page, Paging, page_by_time
from api.problems import Problem, invalid_document, not_found, problem_document
from api.replies import Replies
from api.routers.tickets import Acting
from api.schemas.conversation import MessageView
from api.schemas.decision import EvidenceView
from api.schemas.delivery import Reply
from api.schemas.fields import ExternalId
from api.schemas.intake import (
    Batch,
    BatchView,
    ConversationView,
    HumanRequestView,
    IncomingMessage,
    IncomingRow,
    IncomingView,
    MadeDecisionView,
    ReadingView,
    RowStatus,
    RowView,
)
from db.models import Conversation, Message
from domain.reading import Reading

router = APIRouter(tags=["conversations"])

KnownAs = Annotated[ExternalId, Path(description="The chat platform's own id of the conversation.")]


@router.post(
    "/conversations/{external_id}/messages",
    status_code=201,
    response_model=IncomingView,
    summary="Take in a message of a conversation and decide on it",
)
async def take_message(
    external_id: KnownAs, document: IncomingMessage, services: AppServices, caller: Caller
) -> Response:
    """Keep the message once by its `external_id`, and answer with what was decided.

    Sent again it is answered as before, with status 200, and what an error had left undone is done.
    """
    return await take_one(Intake(services, caller), external_id, document)


@router.post("/messages/batch", summary="Take in many messages at once")
async def take_batch(batch: Batch, services: AppServices, caller: Caller) -> BatchView:
    """Each is kept and decided on as if it had come alone; one that is not valid is refused and holds up no other."""
    return await take_many(Intake(services, caller), batch.messages, history=batch.history)


async def take_one(intake: Intake, external_id: str, document: IncomingMessage) -> Response:
    """Keep a message and tell its ticket; the answer, or the problem there is with it."""
    arrival = await intake.take_alone(external_id, document)
    headers = {} if arrival.fresh else {REPLAYED: "true"}
    view = incoming_view(arrival)
    status = 201 if arrival.fresh else 200
    return Response(view.model_dump_json(), status, headers, media_type=JSONResponse.media_type)


async def take_many(
    intake: Intake, raws: Sequence[dict[str, Any]], *, history: bool = False, channel_id: UUID | None = None
) -> BatchView:
    """Keep messages, those that are valid, and tell their tickets; what became of each.

    With ``channel_id`` they have come by this channel, and one that names another is not valid.
    """
    rows: list[RowView | None] = [None] * len(raws)
    valid: list[tuple[int, IncomingRow]] = []
    for place, raw in enumerate(raws):
        try:
            row = IncomingRow.model_validate(raw)
            valid.append((place, row if channel_id is None else by_channel(row, channel_id)))
        except ValidationError as error:
            rows[place] = RowView(row=place, status=RowStatus.REFUSED, problem=invalid_document(error))
        except Problem as problem:
            rows[place] = RowView(row=place, status=RowStatus.REFUSED, problem=_document(problem))
    arrivals = await intake.take([(row.conversation, row) for _, row in valid], history=history)
    await intake.tell([each for each in arrivals if isinstance(each, Arrival)])
    for (place, _), each in zip(valid, arrivals, strict=True):
        rows[place] = _row(place, each)
    done = [row for row in rows if row is not None]
    counted = {status: sum(row.status is status for row in done) for status in RowStatus}
    return BatchView(
        stored=counted[RowStatus.STORED],
        known=counted[RowStatus.KNOWN],
        untold=counted[RowStatus.UNTOLD],
        refused=counted[RowStatus.REFUSED],
        rows=done,
    )


def by_channel(row: IncomingRow, channel_id: UUID) -> IncomingRow:
    """The message as one that has come by the channel; ``invalid_reference`` where it names another, or a kind."""
    if row.channel is not None or row.channel_id not in (None, channel_id):
        raise Problem("invalid_reference", "A message is of the channel by whose door it comes.", at="channel_id")
    return row.model_copy(update={"channel_id": channel_id})


@router.get("/conversations", summary="List conversations")
async def list_conversations(caller: Caller, session: ReadSession, place: Paging) -> Page[ConversationView]:
    mine = select(Conversation).where(Conversation.organization_id == caller.organization_id)
    return await page_by_time(session, mine, Conversation, ConversationView, place)


@router.get("/conversations/{external_id}", summary="Read a conversation")
async def read_conversation(external_id: KnownAs, caller: Caller, session: ReadSession) -> ConversationView:
    return ConversationView.model_validate(await find_conversation(session, caller, external_id))


@router.get("/conversations/{external_id}/messages", summary="Read a conversation's messages")
async def list_messages(external_id: KnownAs, caller: Caller, session: ReadSession, place: Paging) -> Page[MessageView]:
    """In the order in which they came in."""
    found = await find_conversation(session, caller, external_id)
    mine = select(Message).where(Message.conversation_id == found.id)
    return await page_of_messages(session, mine, place)


@router.post(
    "/conversations/{external_id}/replies",
    status_code=201,
    response_model=MessageView,
    summary="Answer the customer in a conversation",
)
async def reply(external_id: KnownAs, document: Reply, tickets: Acting, request: Idempotency) -> Response:
    """Keep an agent's answer once, tell the conversation's ticket if it has one, and deliver it by the channel.

    The answer's `delivery` says what becomes of it; it is null where the channel has no way to answer.
    """
    message, fresh = await Replies(tickets).add(external_id, document, request)
    [view] = await shown_messages(tickets.session, [message])
    headers = {} if fresh else {REPLAYED: "true"}
    return Response(view.model_dump_json(), 201 if fresh else 200, headers, media_type=JSONResponse.media_type)


async def find_conversation(session: Session, caller: Principal, external_id: str) -> Conversation:
    """The caller's conversation that its platform knows by this id, or ``not_found``."""
    found = await session.scalar(
        select(Conversation).where(
            Conversation.organization_id == caller.organization_id, Conversation.external_id == external_id
        )
    )
    if found is None:
        raise not_found("conversation")
    return found


def _row(place: int, taken: Arrival | Problem) -> RowView:
    if isinstance(taken, Problem):
        return RowView(row=place, status=RowStatus.REFUSED, problem=_document(taken))
    if taken.untold is not None:
        problem = _document(taken.untold)
        return RowView(row=place, status=RowStatus.UNTOLD, message=incoming_view(taken), problem=problem)
    return RowView(row=place, status=RowStatus.STORED if taken.fresh else RowStatus.KNOWN, message=incoming_view(taken))


def _document(problem: Problem) -> dict[str, Any]:
    return problem_document(problem.code, problem.detail, problem.extra)


def incoming_view(arrival: Arrival) -> IncomingView:
    """A message that was taken in, as its sender sees it."""
    kept, message = arrival.kept, arrival.message
    return IncomingView(
        id=message.id,
        external_id=message.external_id,
        conversation_id=kept.id,
        author=message.author_kind,
        sent_at=message.sent_at,
        automatic=message.automatic,
        waiting_since=kept.waiting_since,
        handled_by=kept.handled_by,
        ticket_id=kept.ticket_id,
        reading=_reading_view(arrival.reading) if arrival.reading else None,
        decisions=[
            MadeDecisionView(
                rule_id=each.rule_id,
                rule=each.rule_name,
                version=each.rule_version,
                outcome=each.outcome,
                evidence=[EvidenceView.model_validate(item) for item in each.evidence],
            )
            for each in arrival.decisions
        ],
    )


def _reading_view(reading: Reading) -> ReadingView:
    request = reading.human_request
    return ReadingView(
        sentiment=reading.sentiment,
        human_request=HumanRequestView(
            requested=request.requested,
            score=request.score,
            span=request.span,
            reason=request.reason,
            decided_by=reading.decided_by,
            fallback=reading.fallback,
        ),
        automatic=reading.automatic,
    )
