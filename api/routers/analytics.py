"""Reports on tickets: how many, how soon, how well, by group and by stretch of time."""

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


@router.get(
    "/volumes", response_model=ReportView[VolumesRow], responses=_CSV, summary="How many tickets came and were resolved"
)
async def read_volumes(asked: AskedOfGroups, services: AppServices) -> Response:
    of = "Tickets created in the range, and tickets resolved in the range"
    return await _report(services, Report.VOLUMES, VolumesRow, asked, of)


@router.get(
    "/first-response",
    response_model=ReportView[DurationRow],
    responses=_CSV,
    summary="How long customers waited for the first answer",
)
async def read_first_response(asked: AskedOfGroups, services: AppServices) -> Response:
    """From the ticket's creation to the first public answer by a human."""
    return await _report(services, Report.FIRST_RESPONSE, DurationRow, asked, "Tickets created in the range")


@router.get(
    "/resolution",
    response_model=ReportView[DurationRow],
    responses=_CSV,
    summary="How long tickets took to be resolved",
)
async def read_resolution(asked: AskedOfGroups, services: AppServices) -> Response:
    """From the ticket's creation to its latest resolution, waiting included."""
    of = "Tickets resolved in the range, and not reopened since"
    return await _report(services, Report.RESOLUTION, DurationRow, asked, of)


@router.get("/sla", response_model=ReportView[SlaRow], responses=_CSV, summary="Which SLA promises were kept")
async def read_sla(asked: AskedOfGroups, services: AppServices) -> Response:
    """Metrics that are still running, and those that nothing was promised for, count for neither side."""
    return await _report(services, Report.SLA, SlaRow, asked, "Tickets created in the range")


@router.get(
    "/escalation-to-human",
    response_model=ReportView[DurationRow],
    responses=_CSV,
    summary="How long escalated conversations waited for a human",
)
async def read_escalation(asked: AskedOfGroups, services: AppServices) -> Response:
    """From the first decision of a rule on the conversation, else from the ticket's creation, to the first answer."""
    of = "Tickets that a rule, the assistant, a flow or a takeover raised in the range"
    return await _report(services, Report.ESCALATION, DurationRow, asked, of)


@router.get(
    "/false-alarms",
    response_model=ReportView[FalseAlarmRow],
    responses=_CSV,
    summary="Which rules raise what needs no human",
)
async def read_false_alarms(asked: AskedOfAll, services: AppServices) -> Response:
    """By rule. A ticket that was resolved and that no human answered did not need one."""
    of = "Decisions in the range that had an effect, and the tickets they were of"
    return await _report(services, Report.FALSE_ALARMS, FalseAlarmRow, asked, of)


@router.get(
    "/queue",
    response_model=ReportView[QueueRow],
    responses=_CSV,
    summary="How long conversations waited in the queue for a human",
)
async def read_queue_report(asked: AskedOfGroups, services: AppServices) -> Response:
    """From the first reason to the first claim; `member` is whose it was at last, `source` is of its first reason."""
    return await _report(services, Report.QUEUE, QueueRow, asked, "Escalations raised in the range")


@router.get(
    "/dismissals",
    response_model=ReportView[DismissalRow],
    responses=_CSV,
    summary="Which versions of rules raise what needs no human",
)
async def read_dismissals(asked: AskedOfAll, services: AppServices) -> Response:
    """By rule and version, from what members dismissed."""
    of = "Escalations raised in the range of which a rule was a reason"
    return await _report(services, Report.DISMISSALS, DismissalRow, asked, of)


async def _report(services: AppServices, report: Report, kind: type[BaseModel], asked: Asked, of: str) -> Response:
    question = asked.question
    grouped = question.group_by or question.bucket or report in OF_RULES
    async with services.reads() as session:
        rows = [_local(row, question.zone) for row in await answer(session, report, question)]
        whole = rows
        if grouped and not asked.csv:
            whole = await answer(session, report, replace(question, group_by=None, bucket=None), whole=True)
    views = [read_row(kind, row) for row in rows]
    if asked.csv:
        return csv_response(kind.model_fields, views, report)
    view = ReportView[kind](  # type: ignore[valid-type] # one for each kind of row
        of=of,
        since=question.since,
        until=question.until,
        time_zone=question.zone,
        group_by="rule" if report in OF_RULES else question.group_by,
        bucket=question.bucket,
        rows=views,
        total=read_row(kind, whole[0]) if whole else None,
    )
    return Response(view.model_dump_json(), media_type=JSONResponse.media_type)


def _local(row: dict[str, Any], zone: str) -> dict[str, Any]:
    """The row with its bucket's beginning as the zone's clocks show it."""
    return {**row, "bucket": row["bucket"].astimezone(ZoneInfo(zone))} if row["bucket"] else row
