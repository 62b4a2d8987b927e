"""Follow-ups of closed tickets: each is decided on with the message that it takes, in one transaction."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Conversation, Message, TicketOpening, TicketRow
from db.numbers import reserve_number
from db.tickets import find_ticket
from domain.events import Actor, ActorKind
from domain.follow_up import FOLLOW_UP, LONGEST_CHAIN, follow_up, follow_up_request, takes_messages
from domain.ids import follow_up_id
from domain.ticket import Ticket


@dataclass(frozen=True)
class Taker:
    """Who takes a message; ``ticket`` is ``None`` where it has been decided on and is on nobody's record yet."""

    ticket_id: UUID
    ticket: Ticket | None


async def goes_on_as(session: AsyncSession, ticket: Ticket) -> Ticket:
    """The ticket itself, or the one that has taken it over."""
    while ticket.merged_into is not None:
        following = await _recorded(session, ticket.merged_into)
        if following is None:
            return ticket
        ticket = following
    return ticket


async def taker_of(session: AsyncSession, message: Message, ticket: Ticket) -> Taker | None:
    """Who takes a customer's message, kept for ``ticket``; a follow-up is decided on where it came after the window.

    The message, and its conversation if that has gone nowhere else, move there. ``None`` where the chain of closed
    tickets has no end. The caller owns the transaction. Safe to repeat, and for several messages at once.
    """
    taker = await _taker_of(session, message, ticket)
    if taker is not None and taker.ticket_id != ticket.id:
        moved = update(Conversation).where(
            Conversation.id == message.conversation_id, Conversation.ticket_id == message.ticket_id
        )
        await session.execute(moved.values(ticket_id=taker.ticket_id))
        message.ticket_id = taker.ticket_id
        await session.flush()
    return taker


async def _taker_of(session: AsyncSession, message: Message, ticket: Ticket) -> Taker | None:
    for _ in range(LONGEST_CHAIN):
        if takes_messages(ticket, message.created_at):
            return Taker(ticket.id, ticket)
        following = await _recorded(session, follow_up_id(ticket.id))
        if following is None:
            await _decide_on(session, ticket, message.created_at)
            return Taker(follow_up_id(ticket.id), None)
        ticket = await goes_on_as(session, following)
    return None


async def _decide_on(session: AsyncSession, old: Ticket, since: datetime) -> None:
    """Have the closed ticket's follow-up started by whoever needs it first, as one that should be there ``since``."""
    request_id = follow_up_request(old)
    reserved = await reserve_number(session, old.organization_id, request_id, FOLLOW_UP)
    recorded = await find_ticket(session, old.organization_id, old.id)
    assert recorded is not None
    ticket = follow_up(old, reserved.number, reserved.at)
    requester = Actor(kind=ActorKind.CUSTOMER, id=recorded.requester.id, name=recorded.requester.name)
    # As workflows.messages.StartTicket reads it, which this package does not know.
    start: dict[str, JsonValue] = {
        "ticket_id": str(ticket.id),
        "ticket": ticket.model_dump(mode="json"),
        "created": {
            "actor": requester.model_dump(mode="json"),
            "request_id": request_id,
            "fingerprint": FOLLOW_UP,
            "description": recorded.description,
        },
    }
    opening = insert(TicketOpening).values(
        ticket_id=ticket.id, organization_id=old.organization_id, start=start, created_at=since
    )
    await session.execute(opening.on_conflict_do_nothing())


async def _recorded(session: AsyncSession, ticket_id: UUID) -> Ticket | None:
    state = await session.scalar(select(TicketRow.state).where(TicketRow.id == ticket_id))
    return None if state is None else Ticket.model_validate(state)
