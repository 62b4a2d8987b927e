"""What reports count, worked out by Postgres from the facts of tickets; one statement a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.false_alarms import ALONE, DISMISSED, ENDED, RAISED_BY_RULES


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


OF_RULES = frozenset({Report.FALSE_ALARMS, Report.DISMISSALS})
"""Reports that are by rule, whatever is asked."""


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


_GROUPS: Mapping[GroupBy | None, str] = {
    None: "NULL::text",
    GroupBy.TEAM: "f.team_id",
    GroupBy.MEMBER: "f.assignee_id",
    GroupBy.TAG: "f.tags",
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

_STEPS = {Bucket.HOUR: "15 minutes", Bucket.DAY: "12 hours", Bucket.WEEK: "3 days", Bucket.MONTH: "14 days"}
"""No stretch is shorter, also where a clock is put forward."""


class Answer(NamedTuple):
    """A report's rows, and one of all together; ``whole`` is ``None`` where nothing was found, or not asked for."""

    rows: list[dict[str, Any]]
    whole: dict[str, Any] | None


async def answer(session: AsyncSession, report: Report, question: Question, *, whole: bool = True) -> Answer:
    """A row for each group and bucket in which there is something, in order.

    Rows have ``bucket``, ``key`` and ``name`` of the group, and the report's figures; lengths of time are seconds.
    Without ``whole`` there is no row of all together. Gives the caller's transaction memory, and plans of its own.
    """
    await session.execute(_ROOM)
    statement, values = _statement(report, question, whole=whole and _is_grouped(report, question))
    found = [dict(row._mapping) for row in await session.execute(text(statement), values)]
    rows = [row | {"bucket": row["begins"]} for row in found if not row["whole"]]
    if not _is_grouped(report, question):
        return Answer(rows, rows[0] if rows else None)
    return Answer(rows, found[-1] if found and found[-1]["whole"] else None)


# A plan that is kept is one for a range nobody knows, taken for a narrow one.
_ROOM = text("SELECT set_config('work_mem', '64MB', true), set_config('plan_cache_mode', 'force_custom_plan', true)")


def _is_grouped(report: Report, question: Question) -> bool:
    return report in OF_RULES or bool(question.group_by or question.bucket)


def _statement(report: Report, question: Question, *, whole: bool) -> tuple[str, dict[str, Any]]:
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
    made = _MAKERS[report](_Parts(question, where))
    return _put_together(made, report, question, whole=whole), values


@dataclass(frozen=True)
class _Parts:
    """What statements are made of."""

    question: Question
    where: str

    @property
    def key(self) -> str:
        """The column by which tickets are grouped, a set of tags where it is by tag."""
        group = self.question.group_by
        return f"{_GROUPS[group]} AS {'tags' if group is GroupBy.TAG else 'key'}"

    def bucket(self, moment: str) -> str:
        """The number of the moment's stretch: looking it up is far quicker than working out each moment's own."""
        return f"width_bucket({moment}, (SELECT begins FROM stretches))" if self.question.bucket else "NULL::int"

    def within(self, moment: str) -> str:
        return f"f.organization_id = :organization AND {moment} >= :since AND {moment} < :until{self.where}"


@dataclass(frozen=True)
class _Made:
    """``base`` has each ticket in one row of bucket and key, or of bucket and tags.

    ``figures`` makes a report's figures of several such rows, for each value of ``also`` where there is one. Where
    ``lengths`` are measured, each row has an array of them instead, with ``NULL`` for what has not come to an end.
    ``whole`` says how all are counted where they are not the sum of the groups.
    """

    base: str
    figures: str = ""
    lengths: bool = False
    whole: str | None = None
    also: str | None = None


def _lengths(parts: _Parts, begin: str, end: str, of: str, source: str = "ticket_facts AS f") -> _Made:
    """Of the tickets whose moment ``of`` is in the range, the time from ``begin`` to ``end``."""
    return _Made(
        f"""SELECT {parts.bucket(of)} AS bucket, {parts.key}, array_agg(date_part('epoch', {end} - {begin}))
            AS lengths FROM {source} WHERE {parts.within(of)} GROUP BY 1, 2""",
        lengths=True,
    )


def _volumes(parts: _Parts) -> _Made:
    halves = (("f.created_at", "count(*) AS created, 0 AS resolved"), ("f.resolved_at", "0, count(*)"))
    counted = " UNION ALL ".join(
        f"""SELECT {parts.bucket(moment)} AS bucket, {parts.key}, {counts} FROM ticket_facts AS f
            WHERE {parts.within(moment)} GROUP BY 1, 2"""
        for moment, counts in halves
    )
    return _Made(counted, "sum(created)::int AS created, sum(resolved)::int AS resolved")


def _first_response(parts: _Parts) -> _Made:
    return _lengths(parts, "f.created_at", "f.first_replied_at", of="f.created_at")


def _resolution(parts: _Parts) -> _Made:
    return _lengths(parts, "f.created_at", "f.resolved_at", of="f.resolved_at")


def _sla(parts: _Parts) -> _Made:
    counts = {
        f"{metric}_{verdict}": f"count(*) FILTER (WHERE f.{metric} = '{verdict}')"
        for metric in ("first_response", "resolution")
        for verdict in ("met", "breached")
    }
    counts |= {"tickets": "count(*)"}
    counts |= {f"next_response_{verdict}": f"sum(f.next_{verdict})" for verdict in ("met", "breached")}
    named = ", ".join(f"{count} AS {name}" for name, count in counts.items())
    return _Made(
        f"""SELECT {parts.bucket("f.created_at")} AS bucket, {parts.key}, {named} FROM ticket_facts AS f
            WHERE {parts.within("f.created_at")} GROUP BY 1, 2""",
        ", ".join(f"sum({name})::int AS {name}" for name in counts),
    )


# What rules decided on a conversation's messages is older than the ticket they made of it.
_ESCALATED = """ticket_facts AS f LEFT JOIN (
    SELECT ticket_id, min(at) AS at FROM decisions WHERE organization_id = :organization
        AND kind = 'escalation_event' AND outcome = 'acted' AND ticket_id IS NOT NULL GROUP BY ticket_id
) AS d USING (ticket_id)"""


def _escalation(parts: _Parts) -> _Made:
    raised = """ AND f.created_at < :until
        AND (d.at IS NOT NULL OR f.source IN ('assistant', 'flow', 'takeover', 'rule'))"""
    began = "least(f.created_at, d.at)"
    parts = _Parts(parts.question, parts.where + raised)
    return _lengths(parts, began, "f.first_replied_at", of=began, source=_ESCALATED)


def _false_alarms(parts: _Parts) -> _Made:
    """By rule; a ticket that was resolved and had no answer by a human did not need one."""
    figures = """sum(decisions)::int AS decisions, count(ticket_id) AS tickets,
        count(*) FILTER (WHERE resolved) AS resolved, count(*) FILTER (WHERE alone) AS without_human"""
    # Grouped and numbered in the order of ``ix_decisions_acted``, so that nothing is sorted or hashed for it.
    decided = f"""SELECT ticket_id, rule_id, {parts.bucket("at")} AS bucket, count(*) AS decisions,
            row_number() OVER (PARTITION BY ticket_id) = 1 AS is_first
        FROM decisions WHERE organization_id = :organization AND kind = 'escalation_event' AND outcome = 'acted'
            AND at >= :since AND at < :until
        GROUP BY 1, 2, 3"""
    each = """SELECT CASE WHEN is_first THEN ticket_id END AS ticket_id, decisions, resolved AND is_first AS resolved,
        alone AND is_first AS alone FROM base"""
    return _Made(
        f"""SELECT d.bucket, d.rule_id AS key, f.ticket_id, d.decisions, d.is_first,
            f.resolved_at IS NOT NULL AS resolved, {ALONE} AS alone
        FROM ({decided}) AS d {"JOIN" if parts.where else "LEFT JOIN"} ticket_facts AS f
            ON f.ticket_id = d.ticket_id{parts.where}""",
        figures,
        whole=f"({each}) AS each",
    )


# In the place of tickets' facts, with the same names.
_ESCALATIONS = """(
    SELECT e.id, e.organization_id, e.raised_at, e.first_claimed_at, e.status, e.team_id, e.owner_id AS assignee_id,
        e.channel, e.state -> 'reasons' -> 0 ->> 'source' AS source, e.priority, c.tags
    FROM escalations AS e JOIN conversations AS c ON c.id = e.conversation_id
) AS f"""


def _queue(parts: _Parts) -> _Made:
    """From raised to claimed for the first time."""
    figures = """count(*) AS escalations, count(length) AS measured, round(avg(length)::numeric, 3)::float AS average,
        percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY length) AS spread,
        count(*) FILTER (WHERE status = 'dismissed') AS dismissed"""
    return _Made(
        f"""SELECT {parts.bucket("f.raised_at")} AS bucket, {parts.key}, f.status,
            date_part('epoch', f.first_claimed_at - f.raised_at) AS length
        FROM {_ESCALATIONS} WHERE {parts.within("f.raised_at")}""",
        figures,
    )


def _dismissals(parts: _Parts) -> _Made:
    """By rule and version: an escalation counts for each version that was a reason of it."""
    figures = """count(DISTINCT id) AS escalations, count(DISTINCT id) FILTER (WHERE ended) AS ended,
        count(DISTINCT id) FILTER (WHERE dismissed) AS dismissed"""
    return _Made(
        f"""SELECT {parts.bucket("f.raised_at")} AS bucket, d.rule_id AS key, d.rule_version AS version, f.id,
            {ENDED} AS ended, {DISMISSED} AS dismissed
        FROM {RAISED_BY_RULES.format(escalations=_ESCALATIONS)} WHERE {parts.within("f.raised_at")}""",
        figures,
        also="version",
    )


_MAKERS = {
    Report.VOLUMES: _volumes,
    Report.FIRST_RESPONSE: _first_response,
    Report.RESOLUTION: _resolution,
    Report.SLA: _sla,
    Report.ESCALATION: _escalation,
    Report.FALSE_ALARMS: _false_alarms,
    Report.QUEUE: _queue,
    Report.DISMISSALS: _dismissals,
}

_TAGS = "unnest(coalesce(nullif(tags, '{}'), ARRAY[NULL::varchar]))"
_SPREAD = """SELECT count(*) AS tickets, count(length) AS measured, round(avg(length)::numeric, 3)::float AS average,
    percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY length) AS spread"""


def _put_together(made: _Made, report: Report, question: Question, *, whole: bool) -> str:
    """The statement for groups with their names, in order, and with ``whole`` for a row of all together.

    Everything that is looked at is looked at once, in ``base``; what follows is made of its few rows.
    """
    groups = "base"
    steps = []
    if question.bucket:
        steps.append(
            f"""stretches AS (SELECT ARRAY(
                SELECT DISTINCT date_trunc('{question.bucket}', moment, :zone) FROM generate_series(
                    CAST(:since AS timestamptz), CAST(:until AS timestamptz) + interval '{_STEPS[question.bucket]}',
                    interval '{_STEPS[question.bucket]}') AS moment ORDER BY 1
            ) AS begins)"""
        )
    steps.append(f"base AS MATERIALIZED ({made.base})")
    if question.group_by is GroupBy.TAG:
        groups = "tagged"
        steps.append(f"tagged AS ({_tagged(made)})")
    if made.lengths:
        spread = f"LATERAL ({_SPREAD} FROM (SELECT unnest(lengths) AS length OFFSET 0) AS each) AS spread"
        found = f"SELECT bucket, key, spread.* FROM {groups}, {spread}"
        all_of_it = f"{_SPREAD} FROM (SELECT unnest(lengths) AS length FROM base) AS each"
    else:
        by = f"bucket, key, {made.also}" if made.also else "bucket, key"
        found = f"SELECT {by}, {made.figures} FROM {groups} GROUP BY {by}"
        of_all = f"NULL::int AS {made.also}, " if made.also else ""
        all_of_it = f"SELECT {of_all}{made.figures} FROM {made.whole or 'base'}"
    name, names = _named(report, question)
    begins = "((SELECT begins FROM stretches))[found.bucket]" if question.bucket else "NULL::timestamptz"
    steps.append(f"""answer AS (SELECT false AS whole, {begins} AS begins, {name} AS name, found.*
        FROM ({found}) AS found{names})""")
    union, order = "", f", {made.also}" if made.also else ""
    if whole:
        union = f"""UNION ALL (SELECT true, NULL, NULL, NULL, NULL, whole.* FROM ({all_of_it}) AS whole
            WHERE EXISTS (SELECT FROM base))"""
    return f"WITH {', '.join(steps)} SELECT * FROM answer {union} ORDER BY whole, begins, name, key{order}"


def _tagged(made: _Made) -> str:
    """The groups by single tags, of those by sets of tags."""
    if made.lengths:
        each = f"SELECT bucket, {_TAGS} AS key, lengths FROM base"
        return f"""SELECT bucket, key, array_agg(length) AS lengths FROM (
            SELECT bucket, key, unnest(lengths) AS length FROM ({each}) AS each) AS length GROUP BY 1, 2"""
    return f"SELECT {_TAGS} AS key, base.* FROM base"


def _named(report: Report, question: Question) -> tuple[str, str]:
    """What the groups are called, and the join that finds it."""
    if report in OF_RULES:
        newest = """SELECT rule_name FROM decisions WHERE organization_id = :organization AND rule_id = found.key
            ORDER BY at DESC LIMIT 1"""
        return "rule.rule_name", f" LEFT JOIN LATERAL ({newest}) AS rule ON true"
    table = _NAMES.get(question.group_by) if question.group_by else None
    if table:
        return "named.name", f" LEFT JOIN {table} AS named ON named.id = found.key"
    return "found.key::text", ""
