"""Escalations: the queue, and what is done with each; raising one, taking a conversation over, handing it back."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from api.dependencies import AppServices, Caller, ReadSession, Session
from api.escalation_tickets import EscalationTickets
from api.escalations import EscalationAnswer, Escalations
from api.idempotency import REPLAYED, Idempotency
from api.pagination import Page, Paging, after_ranked, encode_ranked
from api.routers.answers import READ_MODEL
from api.routers.conversations import KnownAs, find_conversation
from api.routers.tickets import Acting, Looking
from api.schemas.escalation import (
    ClaimDocument,
    EscalationTicketDocument,
    EscalationView,
    NoteDocument,
    RaiseDocument,
    RaisedView,
    ReasonView,
    TicketOfEscalation,
)
from db.escalation_lists import EscalationFilter, ShownEscalation, list_escalations, queue_order, show
from db.models import Conversation, EscalationReasonRow, EscalationRow
from domain.escalation import EscalationStatus, Reason
from domain.escalation_commands import Claim, Dismiss, Raise, Resolve
from domain.queue_line import queue_line

router = APIRouter(tags=["escalations"])


async def _escalations_of(services: AppServices, session: Session, caller: Caller) -> Escalations:
    return Escalations(services, session, caller)


Escalating = Annotated[Escalations, Depends(_escalations_of)]


@router.get("/escalations", summary="The queue: the most urgent first, then whose customer waits longest")
async def list_queue(
    escalations: Escalating,
    session: ReadSession,
    place: Paging,
    *,
    status: Annotated[list[EscalationStatus] | None, Query(description="Only queued ones, if left out.")] = None,
    team_id: Annotated[list[UUID] | None, Query()] = None,
    owner_id: Annotated[list[UUID] | None, Query()] = None,
) -> Page[EscalationView]:
    wanted = EscalationFilter(
        statuses=[each.value for each in status or [EscalationStatus.QUEUED]],
        team_ids=team_id or (),
        owner_ids=owner_id or (),
    )
    return await _page(escalations, session, place, wanted)


@router.get("/tickets/{ticket_id}/escalations", summary="The escalations a ticket goes with")
async def list_of_ticket(
    ticket_id: UUID, tickets: Looking, escalations: Escalating, session: ReadSession, place: Paging
) -> Page[EscalationView]:
    await tickets.find(ticket_id)
    return await _page(escalations, session, place, EscalationFilter(ticket_id=ticket_id))


@router.get("/escalations/{escalation_id}", response_model=EscalationView, summary="Read an escalation")
async def read_escalation(escalation_id: UUID, escalations: Escalating) -> Response:
    shown = await escalations.shown(await escalations.find(escalation_id))
    return _response(EscalationAnswer(shown))


@router.post("/escalations/{escalation_id}/claim", response_model=EscalationView, summary="Take the conversation")
async def claim_escalation(
    escalation_id: UUID, document: ClaimDocument, escalations: Escalating, request: Idempotency
) -> Response:
    """Of several who ask in the same instant one gets it; the others are answered 409 with the winner's name."""
    row = await escalations.find(escalation_id)
    member = await escalations.member(document.member_id)
    command = Claim(**escalations.fields(request), escalation_id=row.id, member_id=member.id, member_name=member.name)
    return _response(await escalations.command(row, command, request))


@router.post(
    "/escalations/{escalation_id}/resolve", response_model=EscalationView, summary="The customer has been helped"
)
async def resolve_escalation(
    escalation_id: UUID, document: NoteDocument, escalations: Escalating, request: Idempotency
) -> Response:
    """The bot has the conversation again. The answer offers to resolve the ticket too, where one goes with it."""
    row = await escalations.find(escalation_id)
    command = Resolve(**escalations.fields(request), escalation_id=row.id)
    return _response(await escalations.command(row, command, request, note=document.note))


@router.post("/escalations/{escalation_id}/dismiss", response_model=EscalationView, summary="It did not need a human")
async def dismiss_escalation(
    escalation_id: UUID, document: NoteDocument, escalations: Escalating, request: Idempotency
) -> Response:
    """Counts as a false alarm of every rule that raised it, by the rule's version."""
    row = await escalations.find(escalation_id)
    command = Dismiss(**escalations.fields(request), escalation_id=row.id)
    return _response(await escalations.command(row, command, request, note=document.note))


@router.post("/escalations/{escalation_id}/ticket", response_model=EscalationView, summary="Make or attach a ticket")
async def give_ticket(
    escalation_id: UUID,
    document: EscalationTicketDocument,
    escalations: Escalating,
    tickets: Acting,
    request: Idempotency,
) -> Response:
    """An open ticket of the same customer, or a new one that is titled by what the customer wrote."""
    row = await escalations.find(escalation_id)
    return _response(await EscalationTickets(escalations, tickets).give(row, document, request))


@router.post(
    "/conversations/{external_id}/escalations",
    status_code=201,
    response_model=RaisedView,
    summary="Ask for a human",
)
async def raise_one(
    external_id: KnownAs, document: RaiseDocument, escalations: Escalating, request: Idempotency
) -> Response:
    """For a chatbot's node, an assistant that cannot go on, or a program; safe to repeat.

    Where a human is asked for already, the reason is added. The answer has the place in the queue, and a line to tell
    the customer.
    """
    conversation = await _conversation(escalations, external_id)
    answer = await escalations.raise_(conversation, document, request)
    wait = await escalations.usual_wait(answer)
    escalation = answer.shown.escalation if answer else None
    claimed = escalation is not None and escalation.status is EscalationStatus.CLAIMED
    position = answer.shown.position if answer else None
    view = RaisedView(
        escalation=view_of(answer.shown) if answer else None,
        position=position,
        expected_wait=wait,
        line=queue_line(position, wait, escalation.owner_name if escalation and claimed else None),
    )
    headers = {} if answer else {READ_MODEL: "pending"}
    return Response(view.model_dump_json(), 201, headers, media_type=JSONResponse.media_type)


@router.post(
    "/conversations/{external_id}/takeover", response_model=EscalationView, summary="Take a conversation from the bot"
)
async def take_over(
    external_id: KnownAs, document: ClaimDocument, escalations: Escalating, request: Idempotency
) -> Response:
    """Claims the conversation's escalation, or makes one.

    Of several in the same instant one wins; the others are answered 409 with the winner's name.
    """
    conversation = await _conversation(escalations, external_id)
    member = await escalations.member(document.member_id)
    return _response(await escalations.take_over(conversation, member, request))


@router.post(
    "/conversations/{external_id}/handback", response_model=EscalationView, summary="Give a conversation to the bot"
)
async def hand_back(
    external_id: KnownAs, document: NoteDocument, escalations: Escalating, request: Idempotency
) -> Response:
    """Ends the escalation. Members hand back what they have themselves; supervisors and programs, whoever has it."""
    conversation = await _conversation(escalations, external_id)
    return _response(await escalations.hand_back(conversation, document.note, request))


async def _conversation(escalations: Escalations, external_id: str) -> Conversation:
    """The caller's conversation, read outside of the transaction in which something is written of it."""
    async with escalations.services.reads() as session:
        return await find_conversation(session, escalations.caller, external_id)


async def _page(
    escalations: Escalations, session: Session, place: Paging, wanted: EscalationFilter
) -> Page[EscalationView]:
    row = EscalationRow
    mine = list_escalations(escalations.caller.organization_id, wanted)
    statement = mine.where(after_ranked(row.priority_rank, row.in_line_since, row.id, place))
    found = await session.scalars(statement.order_by(*queue_order()).limit(place.limit + 1))
    rows: list[EscalationRow] = list(found)
    shown = rows[: place.limit]
    last = shown[-1] if len(rows) > place.limit else None
    return Page(
        items=[view_of(each) for each in await show(session, escalations.caller.organization_id, shown)],
        next_cursor=encode_ranked(last.priority_rank, last.in_line_since, last.id) if last else None,
    )


def view_of(shown: ShownEscalation) -> EscalationView:
    """The escalation's document."""
    ticket_id = shown.escalation.ticket_id
    ticket = (
        TicketOfEscalation(id=ticket_id, number=shown.ticket_number, status=shown.ticket_status) if ticket_id else None
    )
    reasons = [_reason(row) for row in shown.reasons]
    return EscalationView.of(
        shown.escalation,
        external_id=shown.external_id,
        team_name=shown.team_name,
        reasons=reasons or [_carried(reason) for reason in shown.escalation.reasons],
        position=shown.position,
        ticket=ticket,
        notes=[note.body for note in shown.notes],
    )


def _reason(row: EscalationReasonRow) -> ReasonView:
    carried = Raise.model_validate(row.raising).reason
    return _carried(carried).model_copy(update={"words": row.why or carried.words, "note": row.note})


def _carried(reason: Reason) -> ReasonView:
    fields = reason.model_dump(include=set(ReasonView.model_fields))
    return ReasonView(**fields, words=reason.words, note=None)


def _response(answer: EscalationAnswer) -> Response:
    view = view_of(answer.shown)
    headers = {"ETag": f'"{view.version}"'}
    if answer.pending:
        headers[READ_MODEL] = "pending"
    if answer.replayed:
        headers[REPLAYED] = "true"
    return Response(view.model_dump_json(), 200, headers, media_type=JSONResponse.media_type)
