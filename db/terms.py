"""An organization's rules, read for one ticket."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import EscalationLadderRow, Organization, ReminderLadderRow, Team
from db.sla import load_sla_book
from domain.clocks import Metric
from domain.ladders import DEFAULT_REMINDERS, EscalationLadder, ReminderLadder, acknowledgement_ladder
from domain.terms import SlaTerms, Terms, Wanted
from domain.ticket import Ticket


async def find_terms(session: AsyncSession, ticket: Ticket, need: Wanted) -> Terms:
    """Read what the ticket wants to know and nothing else; the caller owns the transaction."""
    changes: dict[str, object] = {}
    if need.reminders:
        changes["reminders"] = await _reminders(session, ticket)
    if need.acknowledgement:
        changes |= {"acknowledgement": await _acknowledgement(session, ticket), "team_id": ticket.team_id}
    if need.auto_close or need.reopen_window:
        row = (
            await session.execute(
                select(Organization.auto_close_after, Organization.reopen_window).where(
                    Organization.id == ticket.organization_id
                )
            )
        ).one()
        changes |= {"auto_close_after": row.auto_close_after, "reopen_window": row.reopen_window}
    if need.sla:
        book = await load_sla_book(session, ticket.organization_id)
        # The ticket's own last moment, so that a repetition plans the same.
        plan = book.plan(ticket, ticket.updated_at)
        changes["sla"] = SlaTerms(asked=ticket.sla_asked, plan=plan)
    if need.breach_ladders:
        changes["breach_ladders"] = await _breach_ladders(session, ticket, need.breach_ladders)
    return Terms.model_validate(changes)


async def _breach_ladders(
    session: AsyncSession, ticket: Ticket, metrics: Iterable[Metric]
) -> dict[Metric, EscalationLadder | None]:
    """The ladder of the policy each metric was breached under, as it is now."""
    found: dict[Metric, EscalationLadder | None] = {}
    for metric in metrics:
        policy = ticket.clocks.of(metric).policy
        row = None
        if policy and policy.escalation_ladder_id:
            row = await session.get(EscalationLadderRow, policy.escalation_ladder_id)
        found[metric] = row.ladder() if row and row.organization_id == ticket.organization_id else None
    return found


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
    limit, row = found.acknowledge_within, found.EscalationLadderRow
    if row is not None:
        ladder: EscalationLadder = row.ladder()
        return ladder
    return acknowledgement_ladder(limit) if limit else None
