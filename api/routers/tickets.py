"""Tickets: create, read, and command."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select

from api.dependencies import AppServices, Caller, ReadSession, Session, find_member, find_team, services_of
from api.idempotency import Idempotency, RequestId
from api.pagination import Page, Paging, after, after_number, encode_cursor
from api.problems import Problem
from api.routers.answers import accepted_response, ticket_response
from api.schemas.fields import Moment, Sought
from api.schemas.offer import OfferView
from api.schemas.ticket import (
    AcceptedView,
    ActorView,
    AssignDocument,
    ChangeStatusDocument,
    CreateTicket,
    EditTicket,
    EscalateDocument,
    EventView,
    TicketView,
    TimersView,
    TimerView,
)
from api.temporal_answers import RunEnded
from api.tickets import Answer, Tickets
from db.escalation_lists import live_beside
from db.models import TicketEventRow, TicketRow
from db.sla import load_sla_book
from db.tickets import TicketFilter, TicketOrder, list_tickets, read_listed
from domain.commands import Assign, ChangeStatus, Command, Edit, Escalate
from domain.priority import Priority
from domain.ticket import ACTIVE, ChannelKind, Status, Ticket
from domain.timers import timers

router = APIRouter(prefix="/tickets", tags=["tickets"])


async def tickets_of(request: Request, session: Session, caller: Caller) -> Tickets:
    """The tickets the caller may act on."""
    return Tickets(services_of(request), session, caller)


Acting = Annotated[Tickets, Depends(tickets_of)]


async def _tickets_to_read(request: Request, session: ReadSession, caller: Caller) -> Tickets:
    return Tickets(services_of(request), session, caller)


Looking = Annotated[Tickets, Depends(_tickets_to_read)]
"""The same where nothing is written."""


@dataclass(frozen=True)
class Sending:
    """How a command was sent: under which id, for which version, and whether its sender waits."""

    request: RequestId
    if_version: int | None
    waits: bool

    def fields(self, tickets: Tickets) -> dict[str, Any]:
        """What every command carries."""
        return {
            "request_id": self.request.key,
            "fingerprint": self.request.fingerprint,
            "actor": tickets.caller.actor,
            "if_version": self.if_version,
        }


async def _sending(
    request: Idempotency,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            pattern=r'^(W/)?"\d{1,9}"$',
            description="The ETag you have seen: the command holds only for it.",
        ),
    ] = None,
    prefer: Annotated[
        str | None, Header(description="`respond-async`: hand the command on and answer 202 at once.")
    ] = None,
) -> Sending:
    preferences = [part.strip() for part in (prefer or "").split(",")]
    version = int(if_match.split('"')[1]) if if_match else None
    return Sending(request, version, waits="respond-async" not in preferences)


How = Annotated[Sending, Depends(_sending)]
_ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"model": AcceptedView, "description": "Handed on (`Prefer: respond-async`)"}
}


async def _command(tickets: Tickets, ticket_id: UUID, command: Command, how: Sending) -> Response:
    if not how.waits:
        await tickets.submit(ticket_id, command, how.request)
        return accepted_response(AcceptedView(ticket_id=ticket_id, request_id=how.request.key))
    answer = await tickets.command(ticket_id, command, how.request)
    offers = await _offers(tickets, answer.recorded.ticket)
    return ticket_response(answer, tickets.services.settings, offers=offers)


async def _offers(tickets: Tickets, ticket: Ticket) -> list[OfferView]:
    """How to end what went with a ticket that is over."""
    if ticket.status in ACTIVE:
        return []
    async with tickets.services.reads() as session:
        return [OfferView.resolve_escalation(each) for each in await live_beside(session, ticket)]


@router.post("", status_code=201, response_model=TicketView, summary="Create a ticket")
async def create_ticket(document: CreateTicket, tickets: Acting, request: Idempotency) -> Response:
    """Create a ticket with a conversation of its own; the same Idempotency-Key gives the same ticket."""
    answer = await tickets.create(document, request)
    return ticket_response(answer, tickets.services.settings, status=201)


@router.get("", response_model=Page[TicketView], summary="List tickets, the newest first")
async def list_all(
    services: AppServices,
    caller: Caller,
    place: Paging,
    *,
    status: Annotated[list[Status] | None, Query()] = None,
    priority: Annotated[list[Priority] | None, Query()] = None,
    channel: Annotated[list[ChannelKind] | None, Query()] = None,
    team_id: Annotated[list[UUID] | None, Query()] = None,
    assignee_id: Annotated[list[UUID] | None, Query()] = None,
    unassigned: Annotated[bool | None, Query(description="Only those without, or with, an assignee.")] = None,
    breached: Annotated[bool | None, Query(description="Only those with, or without, a breached SLA metric.")] = None,
    due_before: Annotated[Moment | None, Query(description="The next SLA deadline comes before this moment.")] = None,
    tag: Annotated[list[Sought] | None, Query(description="All of these tags.")] = None,
    q: Annotated[Sought | None, Query(description='Words of title and description; "phrases" and -not work.')] = None,
    sort: TicketOrder = TicketOrder.CREATED,
) -> Response:
    wanted = TicketFilter(
        statuses=status or (),
        priorities=priority or (),
        channels=channel or (),
        team_ids=team_id or (),
        assignee_ids=assignee_id or (),
        unassigned=unassigned,
        breached=breached,
        due_before=due_before,
        tags=[each.strip().casefold() for each in tag or ()],
        text=q,
    )
    statement = after(list_tickets(caller.organization_id, wanted), sort.column, TicketRow.id, place, newest_first=True)
    async with services.reads() as session:
        found = read_listed((await session.execute(statement)).all())
    views = [TicketView.of(recorded, services.settings) for recorded in found[: place.limit]]
    last = views[-1] if len(found) > place.limit else None
    moment = last and (last.created_at if sort is TicketOrder.CREATED else last.updated_at)
    page = Page[TicketView](items=views, next_cursor=encode_cursor(moment, last.id) if last and moment else None)
    # Written here: FastAPI would validate every ticket once more.
    return Response(page.model_dump_json(), media_type=JSONResponse.media_type)


@router.get("/{ticket_id}", response_model=TicketView, summary="Read a ticket")
async def read_ticket(ticket_id: UUID, tickets: Looking) -> Response:
    """The ticket with the arithmetic of its SLA clocks."""
    recorded = await tickets.find(ticket_id)
    book = await load_sla_book(tickets.session, tickets.caller.organization_id)
    explanations = book.explanations(recorded.ticket, datetime.now(UTC))
    offers = await _offers(tickets, recorded.ticket)
    return ticket_response(Answer(recorded), tickets.services.settings, explanations=explanations, offers=offers)


@router.patch("/{ticket_id}", response_model=TicketView, responses=_ACCEPTED, summary="Edit title, priority or tags")
async def edit_ticket(
    ticket_id: UUID,
    document: EditTicket,
    tickets: Acting,
    how: How,
) -> Response:
    command = Edit(
        **how.fields(tickets),
        title=document.title,
        priority=document.priority,
        tags=None if document.tags is None else tuple(document.tags),
    )
    return await _command(tickets, ticket_id, command, how)


@router.post("/{ticket_id}/status", response_model=TicketView, responses=_ACCEPTED, summary="Move to another status")
async def change_status(
    ticket_id: UUID,
    document: ChangeStatusDocument,
    tickets: Acting,
    how: How,
) -> Response:
    """Move the ticket; an illegal move is answered with 409 and the `legal` statuses."""
    command = ChangeStatus(**how.fields(tickets), **document.model_dump())
    return await _command(tickets, ticket_id, command, how)


@router.post(
    "/{ticket_id}/assignment", response_model=TicketView, responses=_ACCEPTED, summary="Assign to a team or a member"
)
async def assign_ticket(
    ticket_id: UUID,
    document: AssignDocument,
    tickets: Acting,
    how: How,
) -> Response:
    """Give the ticket to a team, a member, both, or nobody. Assigning does not start work."""
    fields = document.model_fields_set & {"team_id", "assignee_id"}
    if not fields:
        raise Problem("invalid_request", "Send team_id, assignee_id or both; null empties it.")
    member = None
    async with tickets.services.reads() as session:
        team = await find_team(session, tickets.caller, document.team_id)
        if document.assignee_id:
            member = await find_member(session, tickets.caller.organization_id, document.assignee_id, "assignee_id")
    command = Assign(
        **how.fields(tickets),
        fields=frozenset[Literal["team", "assignee"]]("team" if name == "team_id" else "assignee" for name in fields),
        team_id=team.id if team else None,
        team_name=team.name if team else None,
        assignee_id=member.id if member else None,
        assignee_name=member.name if member else None,
        reason=document.reason,
    )
    return await _command(tickets, ticket_id, command, how)


@router.post("/{ticket_id}/escalate", response_model=TicketView, responses=_ACCEPTED, summary="Call for attention")
async def escalate_ticket(
    ticket_id: UUID,
    document: EscalateDocument,
    tickets: Acting,
    how: How,
) -> Response:
    """Raise the priority and tell the assignee and the supervisors."""
    command = Escalate(**how.fields(tickets), **document.model_dump())
    return await _command(tickets, ticket_id, command, how)


@router.get("/{ticket_id}/events", response_model=Page[EventView], summary="The whole story: who, what, when, why")
async def read_events(ticket_id: UUID, tickets: Looking, session: ReadSession, place: Paging) -> Page[EventView]:
    await tickets.find(ticket_id)
    events = select(TicketEventRow).where(TicketEventRow.ticket_id == ticket_id)
    statement = after_number(events, TicketEventRow.version, place)
    rows = list(await session.scalars(statement))
    items = [_event_view(row) for row in rows[: place.limit]]
    return Page(items=items, next_cursor=str(items[-1].version) if len(rows) > place.limit else None)


@router.get("/{ticket_id}/timers", summary="What happens next by itself, asked of the workflow")
async def read_timers(ticket_id: UUID, tickets: Looking) -> TimersView:
    recorded = await tickets.find(ticket_id)
    ticket, waits = recorded.ticket, timers(recorded.ticket)
    try:
        live = await tickets.gateway.live(ticket_id)
    except RunEnded:  # closed so long ago that its history is gone
        pass
    else:
        ticket, waits = live.ticket or ticket, list(live.timers)
    return TimersView(
        ticket_id=ticket.id, version=ticket.version, status=ticket.status, timers=[TimerView.of(each) for each in waits]
    )


def _event_view(row: TicketEventRow) -> EventView:
    return EventView(
        version=row.version,
        kind=row.kind,
        at=row.at,
        actor=ActorView(kind=row.actor_kind, id=row.actor_id, name=row.actor_name),
        reason=row.reason,
        changes=row.changes,
        about=row.about,
        clocks=row.clock_events,
        request_id=row.request_id,
    )
