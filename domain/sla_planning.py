"""Laying an SLA policy over a ticket's clocks; needs calendars, so activities and the API call it, workflows never."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from domain.calendar import BusinessCalendar, add, measure
from domain.clocks import AppliedPolicy, Clock, Clocks, ClockState, Span
from domain.deadlines import ClockPlan, MetricPlan
from domain.errors import DomainError
from domain.priority import Priority
from domain.sla import SlaPolicy, SlaTime

FOLD_OVER, FOLD_TO = 48, 32
"""A plan folds a clock's oldest spans when it keeps more than the first number, down to the second."""

_NOTHING = timedelta(0)


def plan(
    clocks: Clocks,
    policy: SlaPolicy | None,
    calendar: BusinessCalendar | None,
    priority: Priority,
    now: datetime,
) -> ClockPlan:
    """The deadlines of all clocks under ``policy``, the time already spent kept; to be taken on with ``adopt``.

    No policy, or one that is switched off, plans no deadlines. Time spent is measured anew under ``calendar``, but for
    what was folded long ago. What would fall due in time already spent, because a target was lowered or a clock paused
    at that very moment, falls due when the clock last began to run. A calendar that cannot be worked by leaves the
    metric without a deadline and says so in ``problem``: the ticket goes on.
    """
    if policy is None or not policy.enabled:
        return ClockPlan(
            planned_at=now, metrics=tuple(_planned(clock, None, calendar, calendar, now) for clock in clocks.all())
        )
    counted = calendar if policy.counts is SlaTime.BUSINESS else None
    return ClockPlan(
        planned_at=now,
        policy=AppliedPolicy(
            id=policy.id,
            name=policy.name,
            version=policy.version,
            escalation_ladder_id=policy.escalation_ladder_id,
            calendar_version=counted.version if counted else None,
        ),
        metrics=tuple(
            _planned(clock, _Promise.of(policy, clock, priority), counted, calendar, now) for clock in clocks.all()
        ),
    )


def explain(metric: MetricPlan) -> str:
    """The arithmetic in words: "2 h 10 min of business time, paused 1 h 02 min; the target is 4 h"."""
    words = f"{in_words(metric.spent)} of {'business' if metric.business else 'calendar'} time"
    if metric.paused:
        words += f", paused {in_words(metric.paused)}"
    if metric.target is None:
        return f"{words}; no target"
    words += f"; the target is {in_words(metric.target)}"
    if metric.spent > metric.target:
        words += f", exceeded by {in_words(metric.spent - metric.target)}"
    return f"{words}. {metric.problem}" if metric.problem else words


def in_words(length: timedelta) -> str:
    """Hours and minutes, begun ones left out: "45 s", "10 min", "4 h", "26 h 05 min"; never days, which differ."""
    seconds = length // timedelta(seconds=1)
    if seconds < 60:
        return f"{seconds} s"
    hours, minutes = divmod(seconds // 60, 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes:02} min" if minutes else f"{hours} h"


class _Promise(NamedTuple):
    target: timedelta
    warn_after: timedelta

    @classmethod
    def of(cls, policy: SlaPolicy, clock: Clock, priority: Priority) -> "_Promise | None":
        target = None if clock.state is ClockState.IDLE else policy.target(clock.metric, priority)
        return None if target is None else cls(target, target * policy.warn_at)


def _planned(
    clock: Clock,
    promise: _Promise | None,
    counted: BusinessCalendar | None,
    calendar: BusinessCalendar | None,
    now: datetime,
) -> MetricPlan:
    """``counted`` is what the promise counts by; ``calendar`` what folded spans are measured by in any case."""
    elapsed = _spent(clock, None, now)
    base = MetricPlan(
        metric=clock.metric,
        state=clock.state,
        episode=clock.episode,
        revision=clock.revision,
        target=promise.target if promise else None,
        spent=elapsed,
        elapsed=elapsed,
        paused=clock.paused + (max(now - clock.paused_since, _NOTHING) if clock.paused_since else _NOTHING),
    )
    changes: dict[str, object] = {}
    try:
        changes |= {"spent": _spent(clock, counted, now), "business": counted is not None}
        changes |= _folded(clock, calendar)
        if promise:
            changes |= _deadlines(clock, promise, counted)
    except DomainError as error:
        changes["problem"] = str(error)
    return base.model_copy(update=changes)


def _spent(clock: Clock, counted: BusinessCalendar | None, now: datetime) -> timedelta:
    spent = _sum(clock.spans, counted, _carried(clock, counted))
    return spent + measure(counted, clock.running_since, now) if clock.running_since else spent


def _carried(clock: Clock, counted: BusinessCalendar | None) -> timedelta:
    return clock.carried_elapsed if counted is None else clock.carried_business


def _sum(spans: Iterable[Span], counted: BusinessCalendar | None, carried: timedelta) -> timedelta:
    return sum((measure(counted, span.start, span.end) for span in spans), carried)


def _deadlines(clock: Clock, promise: _Promise, counted: BusinessCalendar | None) -> dict[str, object]:
    since = clock.running_since
    if since is None:
        return {"missed_at": _ran_out(clock, promise.target, counted)}
    spent = _sum(clock.spans, counted, _carried(clock, counted))
    return {
        "due_at": add(counted, since, max(promise.target - spent, _NOTHING)),
        "warn_at": add(counted, since, max(promise.warn_after - spent, _NOTHING)),
    }


def _ran_out(clock: Clock, target: timedelta, counted: BusinessCalendar | None) -> datetime | None:
    """When a stopped clock's target ran out; ``None`` when it stopped in time, at the deadline itself included."""
    left = target - _carried(clock, counted)
    for span in clock.spans:
        worked = measure(counted, span.start, span.end)
        if worked >= left:
            ran_out = add(counted, span.start, max(left, _NOTHING))
            return ran_out if ran_out < clock.spans[-1].end else None
        left -= worked
    return None


def _folded(clock: Clock, calendar: BusinessCalendar | None) -> dict[str, object]:
    if len(clock.spans) <= FOLD_OVER:
        return {}
    oldest = clock.spans[:-FOLD_TO]
    return {
        "fold": clock.folded + len(oldest),
        "fold_elapsed": _sum(oldest, None, clock.carried_elapsed),
        "fold_business": _sum(oldest, calendar, clock.carried_business),
    }
