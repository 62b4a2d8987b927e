"""Who follows a ticket."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import TicketWatcher
from domain.ticket import Ticket


async def add_watchers(
    session: AsyncSession, organization_id: UUID, ticket_id: UUID, member_ids: Iterable[UUID]
) -> None:
    """Have members follow a ticket; those who do already go on. The caller owns the transaction."""
    rows = [
        {"ticket_id": ticket_id, "member_id": member_id, "organization_id": organization_id}
        for member_id in sorted(member_ids, key=str)
    ]
    if rows:
        await session.execute(insert(TicketWatcher).values(rows).on_conflict_do_nothing())


async def take_watchers_over(session: AsyncSession, ticket: Ticket, source_id: UUID) -> None:
    """Have those who watch the ticket that went into this one watch this one. The caller owns the transaction."""
    watcher = TicketWatcher
    theirs = select(literal(ticket.id), watcher.member_id, watcher.organization_id).where(
        watcher.ticket_id == source_id, watcher.organization_id == ticket.organization_id
    )
    names = ["ticket_id", "member_id", "organization_id"]
    await session.execute(insert(watcher).from_select(names, theirs).on_conflict_do_nothing())
