"""Promises to test clocks by: policies, a calendar, and clocks that have taken on a plan."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.calendar import BusinessCalendar, Weekday, WeeklyHours
from domain.clocks import Change, Clock, ClockEvent, ClockEventKind, Clocks, Metric
from domain.deadlines import adopt
from domain.priority import Priority
from domain.sla import SlaConditions, SlaPolicy, SlaTime
from domain.sla_planning import plan
from domain.timers import fire, timers
from tests.unit.tickets import new_ticket

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
"""A Monday, and when ``OFFICE`` opens."""

WORKDAYS = tuple(Weekday)[:5]
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)

POLICY = SlaPolicy(
    id=UUID("5a0c6f7e-3f64-4a57-9d2b-0c8f1f0d2a11"),
    name="Standard",
    targets={
        Metric.FIRST_RESPONSE: {Priority.NORMAL: HOUR, Priority.URGENT: HOUR / 4},
        Metric.NEXT_RESPONSE: {Priority.NORMAL: 2 * HOUR},
        Metric.RESOLUTION: {Priority.NORMAL: 20 * HOUR, Priority.HIGH: 12 * HOUR, Priority.URGENT: 4 * HOUR},
    },
    counts=SlaTime.CALENDAR,
)
"""In calendar time; it promises nothing for ``low``, and a next response for ``normal`` alone."""


def after(hours: float) -> datetime:
    """So many hours after ``NOW``."""
    return NOW + hours * HOUR


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def weekly(*spans: str, days: Iterable[Weekday] = WORKDAYS) -> tuple[WeeklyHours, ...]:
    """``weekly("09:00-17:00")``."""
    return tuple(
        WeeklyHours.model_validate({"day": day, "opens": span[:5], "closes": span[6:]})
        for day in days
        for span in spans
    )


OFFICE = BusinessCalendar(time_zone="UTC", hours=weekly("09:00-17:00"))


def promising(
    targets: Mapping[Metric, timedelta],
    *,
    counts: SlaTime = SlaTime.CALENDAR,
    warn_at: float = 0.8,
    conditions: SlaConditions | None = None,
) -> SlaPolicy:
    """A policy with these targets, whatever the priority."""
    return POLICY.model_copy(
        update={
            "targets": {metric: dict.fromkeys(Priority, target) for metric, target in targets.items()},
            "counts": counts,
            "warn_at": warn_at,
            "conditions": conditions or SlaConditions(),
        }
    )


def planned(
    clocks: Clocks,
    now: datetime,
    policy: SlaPolicy | None = POLICY,
    calendar: BusinessCalendar | None = None,
    priority: Priority = Priority.NORMAL,
) -> Clocks:
    """The clocks with the deadlines of a plan found and adopted at ``now``."""
    return adopt(clocks, plan(clocks, policy, calendar, priority, now))


def rung(clocks: Clocks, now: datetime) -> Change:
    """What the timers of a ticket with these clocks record when it looks at them at ``now``, one after the other."""
    ticket, events = new_ticket(clocks=clocks), list[ClockEvent]()
    while (waits := timers(ticket)) and waits[0].due_at <= now:
        story = fire(ticket, waits[0], now)
        assert story.events, "a timer that is due and does nothing would ring without end"
        ticket = story.ticket
        events += [each for event in story.events for each in event.clocks]
    return Change(ticket.clocks, tuple(events))


def told(events: Iterable[ClockEvent]) -> list[str]:
    """Each event in short: "first_response activate"."""
    return [f"{event.metric} {event.kind}" for event in events]


def kinds(events: Iterable[ClockEvent], metric: Metric = Metric.RESOLUTION) -> list[ClockEventKind]:
    """What happened to one metric's clock."""
    return [event.kind for event in events if event.metric is metric]


def elapsed(clock: Clock) -> timedelta:
    """The length of the spans a clock keeps, in calendar time."""
    return sum((span.end - span.start for span in clock.spans), timedelta(0))
