"""Tickets that have to do with each other, and tickets that become one."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert

from api.dependencies import Caller, ReadSession, Session
from api.idempotency import Idempotency, once
from api.problems import Problem, not_found
from api.routers.answers import ticket_response
from api.routers.tickets import Acting, How, Looking
from api.schemas.teamwork import LinkDocument, LinkView, MergeDocument
from api.schemas.ticket import TicketView
from api.tickets import Tickets
from db.links import FORTH, linked_tickets, ordered
from db.models import TicketLink
from db.tickets import RecordedTicket
from domain.commands import Merge
from domain.merging import absorb_of

router = APIRouter(prefix="/tickets/{ticket_id}", tags=["working together"])


@router.get("/links", summary="Which tickets have to do with a ticket")
async def list_links(ticket_id: UUID, tickets: Looking, caller: Caller, session: ReadSession) -> list[LinkView]:
    """Links in both directions, follow-ups and merges, the oldest first."""
    await tickets.find(ticket_id)
    found = await linked_tickets(session, caller.organization_id, ticket_id)
    return [LinkView.model_validate(each) for each in found]


@router.post("/links", status_code=201, response_model=LinkView, summary="Link a ticket to another one")
async def create_link(
    ticket_id: UUID, document: LinkDocument, tickets: Acting, caller: Caller, session: Session, *, request: Idempotency
) -> Response:
    await tickets.find(ticket_id)
    other = (await _other(tickets, ticket_id, document.ticket_id, "ticket_id")).ticket

    async def work() -> LinkView:
        first, second = ordered(document.kind, ticket_id, other.id)
        link = {
            "id": uuid4(),
            "organization_id": caller.organization_id,
            "ticket_id": first,
            "other_id": second,
            "kind": document.kind,
            "created_by": caller.actor.name,
            "created_at": datetime.now(UTC),
        }
        made = insert(TicketLink).values(link).on_conflict_do_nothing().returning(TicketLink.id)
        if await session.scalar(made) is None:
            raise Problem("already_exists", "The tickets are linked like this already.")
        return LinkView(
            id=link["id"],
            relation=FORTH[document.kind],
            ticket_id=other.id,
            number=other.number,
            title=other.title,
            status=other.status,
            at=link["created_at"],
        )

    return await once(session, caller.organization_id, request, work, status=201)


@router.delete("/links/{link_id}", status_code=204, response_class=Response, summary="Remove a link")
async def delete_link(
    ticket_id: UUID, link_id: UUID, tickets: Acting, caller: Caller, session: Session, *, request: Idempotency
) -> Response:
    """From either of the two tickets."""
    await tickets.find(ticket_id)

    async def work() -> None:
        link = TicketLink
        of_ticket = (link.ticket_id == ticket_id) | (link.other_id == ticket_id)
        mine = (link.id == link_id, link.organization_id == caller.organization_id, of_ticket)
        if await session.scalar(delete(link).where(*mine).returning(link.id)) is None:
            raise not_found("link")

    return await once(session, caller.organization_id, request, work, status=204)


@router.post("/merge", response_model=TicketView, summary="Merge a ticket into another one")
async def merge_ticket(ticket_id: UUID, document: MergeDocument, tickets: Acting, how: How) -> Response:
    """Close the ticket for good and have the other one go on with its customer, messages, notes, tags and watchers.

    Of two that are merged into each other at the same time one is refused. Answers with the closed ticket, whose
    `merged_into` is the one that goes on: the one asked for, or the one which that one was merged into.
    """
    source = await tickets.find(ticket_id)
    if document.into != ticket_id:
        await _other(tickets, ticket_id, document.into, "into")
    command = Merge(**how.fields(tickets), target_id=document.into, reason=document.reason)
    absorbed = absorb_of(source.ticket, command).request_id
    with tickets.services.read_model.watch(document.into) as watch:
        answer = await tickets.command(ticket_id, command, how.request)
        if answer.recorded.ticket.merged_into == document.into and not await tickets.knows(document.into, absorbed):
            # Both tickets have changed: whoever reads the other one now shall see it.
            await tickets.shown(watch, await tickets.find(document.into), absorbed)
    return ticket_response(answer, tickets.services.settings)


async def _other(tickets: Tickets, ticket_id: UUID, other_id: UUID, field: str) -> RecordedTicket:
    """Another ticket of the organization, or an ``invalid_reference`` that names the ``field``."""
    if other_id == ticket_id:
        raise Problem("invalid_reference", f"{field} names the ticket itself.", at=field)
    try:
        return await tickets.find(other_id)
    except Problem as problem:
        if problem.code != "not_found":
            raise
        raise Problem("invalid_reference", f"{field} names no ticket of this organization.", at=field) from None
