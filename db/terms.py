"""An organization's rules, read for one ticket."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import EscalationLadderRow, Organization, ReminderLadderRow, Team
from domain.ladders import DEFAULT_REMINDERS, EscalationLadder, ReminderLadder, acknowledgement_ladder
from domain.terms import Terms, Wanted
from domain.ticket import Ticket


async def find_terms(session: AsyncSession, ticket: Ticket, need: Wanted) -> Terms:
    """Read what the ticket wants to know and nothing else; the caller owns the transaction."""
    changes: dict[str, object] = {}
    if need.reminders:
        changes["reminders"] = await _reminders(session, ticket)
    if need.acknowledgement:
        changes["acknowledgement"] = await _acknowledgement(session, ticket)
    if need.auto_close or need.reopen_window:
        row = (
            await session.execute(
                select(Organization.auto_close_after, Organization.reopen_window).where(
                    Organization.id == ticket.organization_id
                )
            )
        ).one()
        changes |= {"auto_close_after": row.auto_close_after, "reopen_window": row.reopen_window}
    return Terms.model_validate(changes)


async def _reminders(session: AsyncSession, ticket: Ticket) -> ReminderLadder:
    row = await session.scalar(
        select(ReminderLadderRow).where(
            ReminderLadderRow.organization_id == ticket.organization_id, ReminderLadderRow.is_default
        )
    )
    return ReminderLadder.model_validate({"name": row.name, "steps": row.steps}) if row else DEFAULT_REMINDERS


async def _acknowledgement(session: AsyncSession, ticket: Ticket) -> EscalationLadder | None:
    """The team's ladder; without one, the default for its limit; ``None`` without team or limit."""
    if ticket.team_id is None:
        return None
    found = (
        await session.execute(
            select(Team.acknowledge_within, EscalationLadderRow)
            .outerjoin(EscalationLadderRow, EscalationLadderRow.id == Team.escalation_ladder_id)
            .where(Team.id == ticket.team_id, Team.organization_id == ticket.organization_id)
        )
    ).one_or_none()
    if found is None:
        return None
    limit, row = found
    if row is not None:
        return EscalationLadder.model_validate({"name": row.name, "steps": row.steps, "repeat": row.repeat})
    return acknowledgement_ladder(limit) if limit else None
