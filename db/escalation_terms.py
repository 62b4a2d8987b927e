"""An organization's rules, read for one escalation."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import CalendarRow, EscalationLadderRow, Team
from db.sla import read_calendar
from domain.calendar import BusinessCalendar, add
from domain.errors import BeyondHorizon
from domain.escalation import QUEUE_LADDER, SILENCE_LIMIT, Escalation
from domain.escalation_timers import EscalationTerms, EscalationWants


async def find_escalation_terms(
    session: AsyncSession, escalation: Escalation, need: EscalationWants
) -> EscalationTerms:
    """Read what the escalation wants to know and nothing else; the caller owns the transaction."""
    changes: dict[str, object] = {}
    if need.ladder or need.silence_limit:
        team, row = await _team(session, escalation)
        if need.silence_limit:
            own_limit = team.silence_limit if team else None
            changes["silence_limit"] = own_limit if own_limit is not None else SILENCE_LIMIT
        if need.ladder:
            ladder = row.ladder() if row else QUEUE_LADDER
            business = team is not None and team.queue_in_business_hours
            changes |= {
                "ladder": ladder,
                "business": business,
                "team_id": escalation.team_id,
                "stay": escalation.stay,
            }
            if business:
                wait = ladder.steps[0].wait
                changes["due_at"] = await _due(session, escalation.organization_id, escalation.queued_at, wait)
    if need.due_at and escalation.climb:
        climb = escalation.climb
        changes["due_at"] = await _due(session, escalation.organization_id, climb.since, climb.run.current.wait)
    return EscalationTerms.model_validate(changes)


async def _team(session: AsyncSession, escalation: Escalation) -> tuple[Team | None, EscalationLadderRow | None]:
    """The escalation's team and the ladder of its queue."""
    if escalation.team_id is None:
        return None, None
    found = (
        await session.execute(
            select(Team, EscalationLadderRow)
            .outerjoin(EscalationLadderRow, EscalationLadderRow.id == Team.queue_ladder_id)
            .where(Team.id == escalation.team_id, Team.organization_id == escalation.organization_id)
        )
    ).one_or_none()
    return (found.Team, found.EscalationLadderRow) if found else (None, None)


async def _due(session: AsyncSession, organization_id: UUID, since: datetime, wait: timedelta) -> datetime:
    """When ``wait`` of the organization's working time has passed; calendar time where it has no calendar."""
    row = await session.scalar(
        select(CalendarRow).where(CalendarRow.organization_id == organization_id, CalendarRow.is_default)
    )
    calendar: BusinessCalendar | None = read_calendar(row) if row else None
    try:
        return add(calendar, since, wait)
    except BeyondHorizon:  # a calendar that has run out must not keep anybody from being told
        return since + wait
