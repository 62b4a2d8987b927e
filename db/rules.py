"""Reading an organization's rules and what came of them, and telling every process that they have changed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Select, Text, cast, column, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.false_alarms import ALONE, DISMISSED, ENDED, RAISED_BY_RULES
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


class Dismissals(NamedTuple):
    """The escalations that a version of a rule was a reason of, and how many of them did not need a human."""

    version: int
    escalations: int
    ended: int
    dismissed: int


class Counts(NamedTuple):
    """What came of a rule: how often it matched, acted, and would have acted in shadow.

    ``false_alarms`` are the tickets it had a part in that were resolved without an answer by any human; ``dismissals``
    are by version, the newest first.
    """

    matched: int = 0
    acted: int = 0
    shadow: int = 0
    false_alarms: int = 0
    dismissals: tuple[Dismissals, ...] = ()


# All that is asked of decisions is in one index, so that their rows are not looked at.
_COUNTS = text(f"""
SELECT d.rule_id, count(*) AS matched, count(*) FILTER (WHERE d.outcome = 'acted') AS acted,
    count(*) FILTER (WHERE d.outcome = 'shadow') AS shadow, count(DISTINCT f.ticket_id) AS false_alarms
FROM decisions AS d LEFT JOIN ticket_facts AS f ON f.ticket_id = d.ticket_id AND d.outcome = 'acted'
    AND {ALONE}
WHERE d.organization_id = :organization AND d.rule_id = ANY(:rules) AND d.at >= :since
GROUP BY d.rule_id
""")  # noqa: S608 - made of constants, as is the next

_DISMISSALS = text(f"""
SELECT d.rule_id, d.rule_version AS version, count(DISTINCT f.id) AS escalations,
    count(DISTINCT f.id) FILTER (WHERE {ENDED}) AS ended, count(DISTINCT f.id) FILTER (WHERE {DISMISSED}) AS dismissed
FROM {RAISED_BY_RULES.format(escalations="escalations AS f")}
WHERE f.organization_id = :organization AND d.organization_id = :organization AND d.rule_id = ANY(:rules)
    AND f.raised_at >= :since
GROUP BY 1, 2 ORDER BY 1, 2 DESC
""")  # noqa: S608


async def count_decisions(
    session: AsyncSession, organization_id: UUID, rule_ids: Collection[UUID], since: datetime
) -> dict[UUID, Counts]:
    """What came of the rules since then, in all their versions; those of which nothing came are left out."""
    values = {"organization": organization_id, "rules": list(rule_ids), "since": since}
    found = {row.rule_id: Counts(*row[1:]) for row in await session.execute(_COUNTS, values)}
    for rule_id, *figures in await session.execute(_DISMISSALS, values):
        counts = found.get(rule_id, Counts())
        found[rule_id] = counts._replace(dismissals=(*counts.dismissals, Dismissals(*figures)))
    return found


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
