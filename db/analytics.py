"""What reports count, worked out by Postgres from the facts of tickets; one statement a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class Report(StrEnum):
    """What is measured."""

    VOLUMES = "volumes"
    FIRST_RESPONSE = "first-response"
    RESOLUTION = "resolution"
    SLA = "sla"
    ESCALATION = "escalation-to-human"
    FALSE_ALARMS = "false-alarms"
    QUEUE = "queue"
    DISMISSALS = "dismissals"


class GroupBy(StrEnum):
    """By which property of the tickets, as it is now."""

    TEAM = "team"
    MEMBER = "member"
    TAG = "tag"
    CHANNEL = "channel"
    SOURCE = "source"
    PRIORITY = "priority"


class Bucket(StrEnum):
    """Stretches of time, each from its beginning on the wall clock of the zone; weeks begin on Mondays."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class Question:
    """Which tickets, in which groups. ``since`` is included, ``until`` is not."""

    organization_id: UUID
    since: datetime
    until: datetime
    zone: str
    group_by: GroupBy | None = None
    bucket: Bucket | None = None
    team_ids: Sequence[UUID] = ()
    assignee_ids: Sequence[UUID] = ()
    channels: Sequence[str] = ()
    sources: Sequence[str] = ()
    priorities: Sequence[str] = ()
    tags: Sequence[str] = field(default=())
    """A ticket must have all of these."""


OF_RULES = frozenset({Report.FALSE_ALARMS, Report.DISMISSALS})
"""Reports that are by rule, whatever is asked."""

_GROUPS: Mapping[GroupBy | None, str] = {
    None: "NULL::text",
    GroupBy.TEAM: "f.team_id",
    GroupBy.MEMBER: "f.assignee_id",
    GroupBy.TAG: "tag.name",
    GroupBy.CHANNEL: "f.channel",
    GroupBy.SOURCE: "f.source",
    GroupBy.PRIORITY: "f.priority",
}
_NAMES = {GroupBy.TEAM: "teams", GroupBy.MEMBER: "members"}

_FILTERS = {
    "team_ids": "f.team_id = ANY(:team_ids)",
    "assignee_ids": "f.assignee_id = ANY(:assignee_ids)",
    "channels": "f.channel = ANY(:channels)",
    "sources": "f.source = ANY(:sources)",
    "priorities": "f.priority = ANY(:priorities)",
    "tags": "f.tags @> CAST(:tags AS varchar[])",
}


async def answer(
    session: AsyncSession, report: Report, question: Question, *, whole: bool = False
) -> list[dict[str, Any]]:
    """A row for each group and bucket in which there is something, in order; with ``whole`` one of all together.

    Rows have ``bucket``, ``key`` and ``name`` of the group, and the report's figures; lengths of time are seconds.
    """
    statement, values = _statement(report, question, whole)
    return [dict(row._mapping) for row in await session.execute(text(statement), values)]


def _statement(report: Report, question: Question, whole: bool) -> tuple[str, dict[str, Any]]:
    values: dict[str, Any] = {
        "organization": question.organization_id,
        "since": question.since,
        "until": question.until,
        "zone": question.zone,
    }
    where = ""
    for name, condition in _FILTERS.items():
        if given := list(getattr(question, name)):
            where += f" AND {condition}"
            values[name] = given
    group = _GROUPS[question.group_by]
    if report in OF_RULES and not whole:
        group = "d.rule_id"
    tags = " LEFT JOIN LATERAL unnest(f.tags) AS tag (name) ON true" if question.group_by is GroupBy.TAG else ""
    source = {
        Report.VOLUMES: _volumes,
        Report.FIRST_RESPONSE: _first_response,
        Report.RESOLUTION: _resolution,
        Report.SLA: _sla,
        Report.ESCALATION: _escalation,
        Report.FALSE_ALARMS: _false_alarms,
        Report.QUEUE: _queue,
        Report.DISMISSALS: _dismissals if not whole else _all_dismissals,
    }[report](group, tags, where, _bucket(question.bucket))
    if whole:
        return f"SELECT found.*, NULL AS name FROM ({source}) AS found", values  # noqa: S608
    return _named(source, report, question), values


def _bucket(bucket: Bucket | None) -> str:
    return f"date_trunc('{bucket}', %s, :zone)" if bucket else "NULL::timestamptz"


def _at(bucket: str, moment: str) -> str:
    return bucket.replace("%s", moment)


def _measured(seconds: str, moment: str, source: str, *, group: str, where: str, bucket: str) -> str:
    """Count, average, median and ninetieth percentile of a length of time."""
    return f"""
    SELECT bucket, key, count(*) AS tickets, count(seconds) AS measured,
        round(avg(seconds)::numeric, 3)::float AS average,
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY seconds) AS spread
    FROM (
        SELECT {_at(bucket, moment)} AS bucket, {group} AS key, extract(epoch FROM {seconds})::float AS seconds
        FROM {source} WHERE f.organization_id = :organization AND {moment} >= :since AND {moment} < :until{where}
    ) AS each GROUP BY bucket, key"""  # noqa: S608 - made of constants, as are the others


def _volumes(group: str, tags: str, where: str, bucket: str) -> str:
    def half(moment: str, created: int) -> str:
        return f"""SELECT {_at(bucket, moment)} AS bucket, {group} AS key, {created} AS created
        FROM ticket_facts AS f{tags}
        WHERE f.organization_id = :organization AND {moment} >= :since AND {moment} < :until{where}"""  # noqa: S608

    return f"""
    SELECT bucket, key, count(*) FILTER (WHERE created = 1) AS created, count(*) FILTER (WHERE created = 0) AS resolved
    FROM ({half("f.created_at", 1)} UNION ALL {half("f.resolved_at", 0)}) AS each GROUP BY bucket, key"""  # noqa: S608


def _first_response(group: str, tags: str, where: str, bucket: str) -> str:
    seconds = "f.first_replied_at - f.created_at"
    return _measured(seconds, "f.created_at", f"ticket_facts AS f{tags}", group=group, where=where, bucket=bucket)


def _resolution(group: str, tags: str, where: str, bucket: str) -> str:
    seconds = "f.resolved_at - f.created_at"
    return _measured(seconds, "f.resolved_at", f"ticket_facts AS f{tags}", group=group, where=where, bucket=bucket)


def _sla(group: str, tags: str, where: str, bucket: str) -> str:
    counts = ", ".join(
        f"count(*) FILTER (WHERE f.{metric} = '{verdict}') AS {metric}_{verdict}"
        for metric in ("first_response", "resolution")
        for verdict in ("met", "breached")
    )
    return f"""
    SELECT {_at(bucket, "f.created_at")} AS bucket, {group} AS key, count(*) AS tickets, {counts},
        sum(f.next_met)::int AS next_response_met, sum(f.next_breached)::int AS next_response_breached
    FROM ticket_facts AS f{tags}
    WHERE f.organization_id = :organization AND f.created_at >= :since AND f.created_at < :until{where}
    GROUP BY 1, 2"""  # noqa: S608


# What rules decided on a conversation's messages is older than the ticket they made of it.
_ESCALATED = """(
    SELECT t.*, least(t.created_at, d.at) AS escalated_at FROM ticket_facts AS t LEFT JOIN (
        SELECT ticket_id, min(at) AS at FROM decisions WHERE organization_id = :organization
            AND kind = 'escalation_event' AND outcome = 'acted' AND ticket_id IS NOT NULL GROUP BY ticket_id
    ) AS d USING (ticket_id)
    WHERE t.organization_id = :organization AND t.created_at < :until
        AND (d.at IS NOT NULL OR t.source IN ('assistant', 'flow', 'takeover', 'rule'))
) AS f"""


def _escalation(group: str, tags: str, where: str, bucket: str) -> str:
    seconds = "f.first_replied_at - f.escalated_at"
    return _measured(seconds, "f.escalated_at", f"{_ESCALATED}{tags}", group=group, where=where, bucket=bucket)


def _false_alarms(group: str, tags: str, where: str, bucket: str) -> str:
    """By rule; a ticket that was resolved and had no answer by a human did not need one."""
    bucket = _at(bucket, "d.at")
    return f"""
    SELECT {bucket} AS bucket, {group} AS key, count(*) AS decisions, count(DISTINCT f.ticket_id) AS tickets,
        count(DISTINCT f.ticket_id) FILTER (WHERE f.resolved_at IS NOT NULL) AS resolved,
        count(DISTINCT f.ticket_id) FILTER (WHERE f.resolved_at IS NOT NULL AND f.first_replied_at IS NULL
            AND NOT f.merged) AS without_human
    FROM decisions AS d {"JOIN" if where else "LEFT JOIN"} ticket_facts AS f ON f.ticket_id = d.ticket_id{where}{tags}
    WHERE d.organization_id = :organization AND d.kind = 'escalation_event' AND d.outcome = 'acted'
        AND d.at >= :since AND d.at < :until
    GROUP BY 1, 2"""  # noqa: S608


# In the place of tickets' facts, with the same names.
_ESCALATIONS = """(
    SELECT e.id, e.organization_id, e.raised_at, e.first_claimed_at, e.status, e.team_id, e.owner_id AS assignee_id,
        e.channel, e.state -> 'reasons' -> 0 ->> 'source' AS source, e.priority, c.tags
    FROM escalations AS e JOIN conversations AS c ON c.id = e.conversation_id
    WHERE e.organization_id = :organization AND e.raised_at >= :since AND e.raised_at < :until
) AS f"""


def _queue(group: str, tags: str, where: str, bucket: str) -> str:
    """From raised to claimed for the first time."""
    seconds = "extract(epoch FROM f.first_claimed_at - f.raised_at)::float"
    return f"""
    SELECT {_at(bucket, "f.raised_at")} AS bucket, {group} AS key, count(*) AS escalations,
        count(f.first_claimed_at) AS measured, round(avg({seconds})::numeric, 3)::float AS average,
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY {seconds}) AS spread,
        count(*) FILTER (WHERE f.status = 'dismissed') AS dismissed
    FROM {_ESCALATIONS}{tags} WHERE true{where} GROUP BY 1, 2"""  # noqa: S608


def _dismissals(group: str, tags: str, where: str, bucket: str) -> str:
    """By rule and version: an escalation counts for each version that was a reason of it."""
    return _of_rules(_at(bucket, "f.raised_at"), f"{group} AS key, d.rule_version AS version", tags, where, "1, 2, 3")


def _all_dismissals(group: str, tags: str, where: str, bucket: str) -> str:
    return _of_rules(_at(bucket, "f.raised_at"), f"{group} AS key, NULL::int AS version", tags, where, "1, 2, 3")


def _of_rules(bucket: str, group: str, tags: str, where: str, by: str) -> str:
    return f"""
    SELECT {bucket} AS bucket, {group}, count(DISTINCT f.id) AS escalations,
        count(DISTINCT f.id) FILTER (WHERE f.status IN ('resolved', 'dismissed')) AS ended,
        count(DISTINCT f.id) FILTER (WHERE f.status = 'dismissed') AS dismissed
    FROM escalation_reasons AS d JOIN {_ESCALATIONS} ON f.id = d.escalation_id{tags}
    WHERE d.organization_id = :organization AND d.rule_id IS NOT NULL{where} GROUP BY {by}"""  # noqa: S608


def _named(source: str, report: Report, question: Question) -> str:
    """The rows with the names of what they are grouped by, in order."""
    if report in OF_RULES:
        rule = "SELECT DISTINCT ON (rule_id) rule_id, rule_name FROM decisions WHERE organization_id = :organization"
        return f"""SELECT found.*, rule.rule_name AS name FROM ({source}) AS found
            LEFT JOIN ({rule} ORDER BY rule_id, at DESC) AS rule ON rule.rule_id = found.key
            ORDER BY bucket, name, key"""  # noqa: S608
    table = _NAMES.get(question.group_by) if question.group_by else None
    if table:
        return f"""SELECT found.*, named.name FROM ({source}) AS found
            LEFT JOIN {table} AS named ON named.id = found.key
            ORDER BY bucket, name, key"""  # noqa: S608
    return f"SELECT found.*, found.key::text AS name FROM ({source}) AS found ORDER BY bucket, key"  # noqa: S608
