"""Reading an organization's rules, and telling every process that they have changed."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import CalendarRow, Channel, Organization, RuleRow, RuleVersion
from db.sla import read_calendar
from domain.calendar import BusinessCalendar
from domain.rules.rule import EscalationEvent, RoutingRule, RuleKind, RuleMode, read_escalation_event, read_routing_rule


@dataclass(frozen=True)
class KeptRules:
    """All that messages and new tickets are judged by; ``channels`` are the kinds of the organization's channels."""

    revision: int
    events: list[EscalationEvent]
    routing: list[RoutingRule]
    calendar: BusinessCalendar | None
    channels: dict[UUID, str]


async def load_rules(session: AsyncSession, organization_id: UUID) -> KeptRules:
    """The newest versions, in their order; the caller owns the transaction.

    The revision is read first: what changes meanwhile has a later one, and is read again.
    """
    revision = await session.scalar(select(Organization.rules_revision).where(Organization.id == organization_id))
    rows = await session.execute(
        select(RuleRow, RuleVersion.definition)
        .join(RuleVersion, (RuleVersion.rule_id == RuleRow.id) & (RuleVersion.version == RuleRow.version))
        .where(RuleRow.organization_id == organization_id)
        .order_by(RuleRow.position, RuleRow.id)
    )
    events, routing = [], []
    for row, definition in rows:
        if row.kind == RuleKind.ESCALATION_EVENT:
            events.append(read_escalation_event(row.id, row.name, row.version, RuleMode(row.mode), definition))
        else:
            routing.append(read_routing_rule(row.id, row.name, row.version, RuleMode(row.mode), definition))
    calendar = await session.scalar(
        select(CalendarRow).where(CalendarRow.organization_id == organization_id, CalendarRow.is_default)
    )
    channels = await session.execute(select(Channel.id, Channel.kind).where(Channel.organization_id == organization_id))
    return KeptRules(
        revision or 0,
        events,
        routing,
        read_calendar(calendar) if calendar else None,
        {row.id: row.kind for row in channels},
    )


async def rules_changed(session: AsyncSession, organization_id: UUID) -> None:
    """Have every process read the rules again before its next message; part of the caller's transaction."""
    await session.execute(
        update(Organization)
        .where(Organization.id == organization_id)
        .values(rules_revision=Organization.rules_revision + 1)
    )
