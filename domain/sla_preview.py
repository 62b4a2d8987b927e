"""When a ticket that might be would be due, and why."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from domain.calendar import BusinessCalendar, add, measure
from domain.clocks import Metric
from domain.ladders import Frozen
from domain.priority import Priority
from domain.sla import SlaPolicy, SlaTime
from domain.sla_planning import in_words

SHOWN_DAYS = 14
"""Days listed one by one, at each end of a long target."""


class WorkedDay(Frozen):
    """How much of a target a day takes."""

    date: date
    counted: timedelta


class Preview(Frozen):
    """A metric's deadlines; ``days`` are the calendar's own dates, those without working time left out."""

    metric: Metric
    target: timedelta
    warn_at: datetime
    due_at: datetime
    days: tuple[WorkedDay, ...]
    why: str


def preview(
    policy: SlaPolicy, calendar: BusinessCalendar | None, priority: Priority, created_at: datetime
) -> list[Preview]:
    """The deadlines of a ticket created at ``created_at`` that nobody touches; raises ``BeyondHorizon``."""
    counted = calendar if policy.counts is SlaTime.BUSINESS else None
    found = []
    for metric in (Metric.FIRST_RESPONSE, Metric.RESOLUTION):
        target = policy.target(metric, priority)
        if target is None:
            continue
        due_at = add(counted, created_at, target)
        days = _days(counted, created_at, due_at)
        found.append(
            Preview(
                metric=metric,
                target=target,
                warn_at=add(counted, created_at, target * policy.warn_at),
                due_at=due_at,
                days=days,
                why=_why(counted, target, days),
            )
        )
    return found


def _days(calendar: BusinessCalendar | None, start: datetime, end: datetime) -> tuple[WorkedDay, ...]:
    zone = ZoneInfo(calendar.time_zone) if calendar else UTC
    first, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    spans = (last - first).days + 1
    if spans > 4 * SHOWN_DAYS:
        shown = [*range(2 * SHOWN_DAYS), *range(spans - 2 * SHOWN_DAYS, spans)]
    else:
        shown = list(range(spans))
    found = []
    for offset in shown:
        day = first + timedelta(days=offset)
        opens = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        following = day + timedelta(days=1)
        closes = datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
        counted = measure(calendar, max(opens, start), min(closes, end))
        if counted:
            found.append(WorkedDay(date=day, counted=counted))
    return tuple(found)


def _why(calendar: BusinessCalendar | None, target: timedelta, days: tuple[WorkedDay, ...]) -> str:
    where = f"business time in {calendar.time_zone}" if calendar else "calendar time (UTC)"
    listed = [f"{in_words(day.counted)} on {day.date:%a %Y-%m-%d}" for day in days]
    if len(listed) > 2 * SHOWN_DAYS:
        listed = [*listed[:SHOWN_DAYS], "…", *listed[-SHOWN_DAYS:]]
    return f"{in_words(target)} of {where}: {', '.join(listed)}"
