"""Tickets that were decided on and may never have been started: whoever decided may have died since."""

from datetime import datetime
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import OpeningToCome
from db.models import Conversation, Message, TicketOpening, TicketRow
from db.tellings import BY_MEMBER, fact_of
from domain.commands import AgentReplied, CustomerReplied


async def find_opening(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> dict[str, JsonValue] | None:
    """What starts the ticket, as a document, where that may not have been done yet."""
    mine = TicketOpening.ticket_id == ticket_id, TicketOpening.organization_id == organization_id
    return await session.scalar(select(TicketOpening.start).where(*mine))


async def untold_openings(session: AsyncSession, before: datetime, limit: int) -> dict[UUID, OpeningToCome]:
    """What starts the tickets that were decided on before then, with all that was said to them since; by ticket.

    Those that are on record have been started, and are forgotten here. The caller owns the transaction.
    """
    recorded = select(TicketRow.id).where(TicketRow.id == TicketOpening.ticket_id).exists()
    await session.execute(delete(TicketOpening).where(TicketOpening.created_at < before, recorded))
    openings = list(
        await session.scalars(
            select(TicketOpening)
            .where(TicketOpening.created_at < before)
            .order_by(TicketOpening.created_at)
            .limit(limit)
        )
    )
    facts: dict[UUID, list[CustomerReplied | AgentReplied]] = {}
    said = (
        select(Message, Conversation.requester_id, BY_MEMBER)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .where(
            Message.ticket_id.in_([opening.ticket_id for opening in openings]),
            Message.author_kind.in_(("customer", "agent")),
        )
        .order_by(Message.created_at, Message.id)
    )
    for message, requester_id, by_member in await session.execute(said) if openings else ():
        assert message.ticket_id is not None
        facts.setdefault(message.ticket_id, []).append(fact_of(message, requester_id, by_member=by_member))
    return {
        opening.ticket_id: OpeningToCome(opening.start, tuple(facts.get(opening.ticket_id, ()))) for opening in openings
    }
