"""Reading an organization's rules, and telling every process that they have changed."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Integer, Select, Text, cast, column, func, select, text, update
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
    """The newest versions of the rules that are not off, in their order; the caller owns the transaction.

    The revision is read first: what changes meanwhile has a later one, and is read again.
    """
    revision = await session.scalar(select(Organization.rules_revision).where(Organization.id == organization_id))
    rows = await session.execute(
        newest_versions()
        .where(RuleRow.organization_id == organization_id, RuleRow.mode != RuleMode.OFF)
        .order_by(RuleRow.position, RuleRow.id)
    )
    events, routing = [], []
    for row, kept in rows:
        if row.kind == RuleKind.ESCALATION_EVENT:
            events.append(read_escalation_event(row.id, row.name, row.version, RuleMode(row.mode), kept.definition))
        else:
            routing.append(read_routing_rule(row.id, row.name, row.version, RuleMode(row.mode), kept.definition))
    calendar = await default_calendar(session, organization_id)
    channels = await session.execute(select(Channel.id, Channel.kind).where(Channel.organization_id == organization_id))
    return KeptRules(
        revision or 0,
        events,
        routing,
        calendar,
        {row.id: row.kind for row in channels},
    )


async def default_calendar(session: AsyncSession, organization_id: UUID) -> BusinessCalendar | None:
    """The calendar that says when it is business time, if there is one. The caller owns the transaction."""
    row = await session.scalar(
        select(CalendarRow).where(CalendarRow.organization_id == organization_id, CalendarRow.is_default)
    )
    return read_calendar(row) if row else None


def newest_versions() -> Select[RuleRow, RuleVersion]:
    """Rules of all organizations, each with its newest version."""
    return select(RuleRow, RuleVersion).join(
        RuleVersion, (RuleVersion.rule_id == RuleRow.id) & (RuleVersion.version == RuleRow.version)
    )


async def size_in_force(session: AsyncSession, organization_id: UUID) -> tuple[int, int]:
    """How many rules are on or in shadow, and how many keywords they look for. The caller owns the transaction."""
    # Strict, or each keyword would be found twice (the manual's page on jsonpath).
    found = text("SELECT count(*) FROM jsonb_path_query(rule_versions.definition, 'strict $.**.keyword[*]')")
    keywords = found.columns(column("count", Integer)).scalar_subquery()
    in_force = newest_versions().with_only_columns(func.count(), func.coalesce(func.sum(keywords), 0))
    row = await session.execute(
        in_force.where(RuleRow.organization_id == organization_id, RuleRow.mode != RuleMode.OFF)
    )
    rules, looked_for = row.one()
    return rules, int(looked_for)


async def rule_naming(session: AsyncSession, organization_id: UUID, named: UUID) -> str | None:
    """The name of a rule whose newest version names a team, a policy or a channel by its id; ``None`` if none does.

    The caller owns the transaction, and has locked what is named.
    """
    found: str | None = await session.scalar(
        newest_versions()
        .with_only_columns(RuleRow.name)
        .where(RuleRow.organization_id == organization_id, cast(RuleVersion.definition, Text).contains(str(named)))
        .limit(1)
    )
    return found


async def rules_changed(session: AsyncSession, organization_id: UUID) -> None:
    """Have every process read the rules again before its next message; part of the caller's transaction."""
    await session.execute(
        update(Organization)
        .where(Organization.id == organization_id)
        .values(rules_revision=Organization.rules_revision + 1)
    )
