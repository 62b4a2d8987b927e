"""Reports on tickets: how many, how soon, how well, by group and by stretch of time."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.csv_answers import MEDIA_TYPE, csv_response
from api.dependencies import AppServices, Caller
from api.problems import Problem
from api.schemas.analytics import (
    DismissalRow,
    DurationRow,
    FalseAlarmRow,
    QueueRow,
    ReportView,
    SlaRow,
    VolumesRow,
    read_row,
)
from api.schemas.fields import Moment, Sought
from db.analytics import OF_RULES, Bucket, GroupBy, Question, Report, answer
from domain.errors import InvalidCalendar
from domain.priority import Priority
from domain.ticket import ChannelKind, Source
from domain.time_zones import zone_named

router = APIRouter(prefix="/analytics", tags=["analytics"])

MOST_BUCKETS = 5000
"""Stretches of time in one answer."""

_LENGTHS = {
    Bucket.HOUR: timedelta(hours=1),
    Bucket.DAY: timedelta(days=1),
    Bucket.WEEK: timedelta(weeks=1),
    Bucket.MONTH: timedelta(days=28),
}


@dataclass(frozen=True)
class Asked:
    """What is asked, and whether as CSV."""

    question: Question
    csv: bool


async def _asked(
    caller: Caller,
    *,
    since: Annotated[Moment | None, Query(description="Included; 30 days before `until`, if left out.")] = None,
    until: Annotated[Moment | None, Query(description="Not included; now, if left out.")] = None,
    time_zone: Annotated[Sought, Query(description="An IANA name; stretches of time begin there.")] = "UTC",
    bucket: Bucket | None = None,
    team_id: Annotated[list[UUID] | None, Query()] = None,
    assignee_id: Annotated[list[UUID] | None, Query()] = None,
    channel: Annotated[list[ChannelKind] | None, Query()] = None,
    source: Annotated[list[Source] | None, Query()] = None,
    priority: Annotated[list[Priority] | None, Query()] = None,
    tag: Annotated[list[Sought] | None, Query(description="All of these tags.")] = None,
    format: Annotated[  # noqa: A002 - what it is called in the address
        Literal["json", "csv"] | None, Query(description="As with `Accept: text/csv`.")
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Asked:
    until = until or datetime.now(UTC)
    since = since or until - timedelta(days=30)
    try:
        zone_named(time_zone)
    except InvalidCalendar:
        raise Problem("invalid_request", "time_zone is no IANA time zone.", at="time_zone") from None
    if since >= until:
        raise Problem("invalid_request", "since must come before until.", at="since")
    if bucket and (until - since) / _LENGTHS[bucket] > MOST_BUCKETS:
        raise Problem("invalid_request", f"That is more than {MOST_BUCKETS} stretches of time.", at="bucket")
    question = Question(
        organization_id=caller.organization_id,
        since=since,
        until=until,
        zone=time_zone,
        bucket=bucket,
        team_ids=team_id or (),
        assignee_ids=assignee_id or (),
        channels=channel or (),
        sources=source or (),
        priorities=priority or (),
        tags=[each.strip().casefold() for each in tag or ()],
    )
    return Asked(question, csv=format == "csv" or (format is None and (accept or "").startswith(MEDIA_TYPE)))


async def _grouped(asked: Annotated[Asked, Depends(_asked)], group_by: GroupBy | None = None) -> Asked:
    return replace(asked, question=replace(asked.question, group_by=group_by))


AskedOfAll = Annotated[Asked, Depends(_asked)]
AskedOfGroups = Annotated[Asked, Depends(_grouped)]
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


@dataclass(frozen=True)
class _Shown:
    """A report as a route: its rows, which tickets it is of, and what is said of it."""

    report: Report
    row: type[BaseModel]
    of: str
    summary: str
    description: str | None = None


_REPORTS = (
    _Shown(
        Report.VOLUMES,
        VolumesRow,
        of="Tickets created in the range, and tickets resolved in the range",
        summary="How many tickets came and were resolved",
    ),
    _Shown(
        Report.FIRST_RESPONSE,
        DurationRow,
        of="Tickets created in the range",
        summary="How long customers waited for the first answer",
        description="From the ticket's creation to the first public answer by a human.",
    ),
    _Shown(
        Report.RESOLUTION,
        DurationRow,
        of="Tickets resolved in the range, and not reopened since",
        summary="How long tickets took to be resolved",
        description="From the ticket's creation to its latest resolution, waiting included.",
    ),
    _Shown(
        Report.SLA,
        SlaRow,
        of="Tickets created in the range",
        summary="Which SLA promises were kept",
        description="Metrics that are still running, and those that nothing was promised for, count for neither side.",
    ),
    _Shown(
        Report.ESCALATION,
        DurationRow,
        of="Tickets that a rule, the assistant, a flow or a takeover raised in the range",
        summary="How long escalated conversations waited for a human",
        description="From the first decision of a rule on the conversation, else from the ticket's creation, to the"
        " first answer.",
    ),
    _Shown(
        Report.FALSE_ALARMS,
        FalseAlarmRow,
        of="Decisions in the range that had an effect, and the tickets they were of",
        summary="Which rules raise what needs no human",
        description="By rule. A ticket that was resolved and that no human answered did not need one.",
    ),
    _Shown(
        Report.QUEUE,
        QueueRow,
        of="Escalations raised in the range",
        summary="How long conversations waited in the queue for a human",
        description="From the first reason to the first claim; `member` is whose it was at last, `source` that of its"
        " first reason.",
    ),
    _Shown(
        Report.DISMISSALS,
        DismissalRow,
        of="Escalations raised in the range of which a rule was a reason",
        summary="Which versions of rules raise what needs no human",
        description="By rule and version, from what members dismissed.",
    ),
)


def _reading(shown: _Shown) -> Callable[..., Awaitable[Response]]:
    """What answers; reports of rules are always by rule."""

    async def read_by_rule(asked: AskedOfAll, services: AppServices) -> Response:
        return await _report(services, shown, asked)

    async def read(asked: AskedOfGroups, services: AppServices) -> Response:
        return await _report(services, shown, asked)

    return read_by_rule if shown.report in OF_RULES else read


async def _report(services: AppServices, shown: _Shown, asked: Asked) -> Response:
    question, kind = asked.question, shown.row
    async with services.sessions.begin() as session:
        found = await answer(session, shown.report, question, whole=not asked.csv)
    views = [read_row(kind, _local(row, question.zone)) for row in found.rows]
    if asked.csv:
        return csv_response(kind.model_fields, views, shown.report)
    view = ReportView[kind](  # type: ignore[valid-type] # one for each kind of row
        of=shown.of,
        since=question.since,
        until=question.until,
        time_zone=question.zone,
        group_by="rule" if shown.report in OF_RULES else question.group_by,
        bucket=question.bucket,
        rows=views,
        total=read_row(kind, found.whole) if found.whole else None,
    )
    return Response(view.model_dump_json(), media_type=JSONResponse.media_type)


def _local(row: dict[str, Any], zone: str) -> dict[str, Any]:
    """The row with its bucket's beginning as the zone's clocks show it."""
    return {**row, "bucket": row["bucket"].astimezone(ZoneInfo(zone))} if row["bucket"] else row


_NAMES = {Report.ESCALATION: "read_escalation", Report.QUEUE: "read_queue_report"}

for _each in _REPORTS:
    router.add_api_route(
        f"/{_each.report}",
        _reading(_each),
        response_model=ReportView[_each.row],  # type: ignore[name-defined] # one for each kind of row
        responses=_CSV,
        name=_NAMES.get(_each.report, f"read_{_each.report.replace('-', '_')}"),
        summary=_each.summary,
        description=_each.description,
    )
