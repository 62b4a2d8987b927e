"""What a ticket's record rests on, and whether it is of one history: for stores that were restored from backups."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Conversation, Organization, Requester, TicketEventRow
from domain.escalation import Escalation
from domain.events import TicketEvent
from domain.ticket import Ticket


async def told_otherwise(session: AsyncSession, ticket_id: UUID, events: Sequence[TicketEvent]) -> list[int]:
    """The versions of which other events than these are on record.

    There are none as long as both stores are of one history. A workflow that was restored from an old backup decides
    the same versions a second time, at another moment.
    """
    versions = {event.version: event.at for event in events}
    recorded = await session.execute(
        select(TicketEventRow.version, TicketEventRow.at).where(
            TicketEventRow.ticket_id == ticket_id, TicketEventRow.version.in_(versions)
        )
    )
    return sorted(version for version, at in recorded if versions[version] != at)


async def count_events(session: AsyncSession, ticket_ids: Sequence[UUID]) -> dict[UUID, int]:
    """How many events each ticket has on record; a whole story has one for each version."""
    event = TicketEventRow
    counted = select(event.ticket_id, func.count()).where(event.ticket_id.in_(ticket_ids)).group_by(event.ticket_id)
    return {row[0]: row[1] for row in await session.execute(counted)}


async def lay_ground(session: AsyncSession, of: Ticket | Escalation) -> None:
    """Make sure of the customer and the conversation that a row refers to; who is gone comes back without a name.

    The caller owns the transaction; the organization must be there.
    """
    ours = {"organization_id": of.organization_id}
    await session.execute(insert(Requester).values(id=of.requester_id, **ours).on_conflict_do_nothing())
    await session.execute(
        insert(Conversation)
        .values(id=of.conversation_id, channel=of.channel, requester_id=of.requester_id, **ours)
        .on_conflict_do_nothing()
    )


async def lay_foundation(session: AsyncSession, ticket: Ticket) -> None:
    """Make sure of what a ticket's row refers to, and that its number is not given out again.

    As ``lay_ground``.
    """
    await lay_ground(session, ticket)
    following = func.greatest(Organization.next_ticket_number, ticket.number + 1)
    await session.execute(
        update(Organization).where(Organization.id == ticket.organization_id).values(next_ticket_number=following)
    )
