"""The deadlines of a ticket's clocks: taken on from a plan, waited for, and recorded when they come due.

As free of calendars as the clocks: ``domain/sla_planning.py`` computes plans, in an activity.
"""

from datetime import datetime, timedelta

from pydantic import AwareDatetime

from domain.clocks import AppliedPolicy, Change, Clock, ClockEvent, ClockEventKind, Clocks, ClockState, Metric
from domain.ladders import Frozen


class MetricPlan(Frozen):
    """What a policy asks of one clock, computed for the ``revision`` it had.

    ``spent`` is in the policy's time (``business`` says which), ``elapsed`` and ``paused`` in calendar time, all up to
    the plan's moment. ``due_at`` and ``warn_at`` are set for running clocks only; ``missed_at`` for stopped ones whose
    target ran out before they stopped. ``fold`` to ``fold_business`` are the clock's carried amounts once its first
    ``fold`` spans are folded. ``problem`` says why a target has no deadline.
    """

    metric: Metric
    state: ClockState
    episode: int
    revision: int
    business: bool = False
    target: timedelta | None = None
    spent: timedelta = timedelta(0)
    elapsed: timedelta = timedelta(0)
    paused: timedelta = timedelta(0)
    warn_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    missed_at: AwareDatetime | None = None
    fold: int = 0
    fold_elapsed: timedelta = timedelta(0)
    fold_business: timedelta = timedelta(0)
    problem: str | None = None


class ClockPlan(Frozen):
    """A policy laid over all clocks at ``planned_at``; ``policy`` is ``None`` when none applies."""

    planned_at: AwareDatetime
    policy: AppliedPolicy | None = None
    metrics: tuple[MetricPlan, ...] = ()

    def of(self, metric: Metric) -> MetricPlan:
        """The plan of a metric; ``KeyError`` when it has none."""
        return {plan.metric: plan for plan in self.metrics}[metric]


class Deadline(Frozen):
    """A warning or a breach that will come at ``at``, or has come due."""

    metric: Metric
    kind: ClockEventKind
    at: AwareDatetime
    episode: int

    def late_by(self, now: datetime) -> timedelta:
        """How long ago it was due; nothing when it is still to come."""
        return max(now - self.at, timedelta(0))


def needs_plan(clocks: Clocks) -> bool:
    """Whether a clock is not planned as it stands: its deadlines, or its verdict, are still to be found."""
    return any(clock.state is not ClockState.IDLE and not clock.planned for clock in clocks.all())


def adopt(clocks: Clocks, plan: ClockPlan) -> Clocks:
    """The clocks with the plan's deadlines. Safe to repeat.

    Metric by metric, a plan for another revision changes nothing: it never sets a deadline on a clock that has stopped
    since. Of two plans for one revision the one adopted last is in force, whatever the clocks of the machines that made
    them said. Notices given stay given: a warned clock is not warned again, a breached one keeps its verdict. A
    fulfilled clock that was judged keeps its target too.
    """
    return clocks.having(*(_adopted(clocks.of(each.metric), each, plan) for each in plan.metrics))


def deadlines(clocks: Clocks) -> list[Deadline]:
    """Every warning and breach still to come, the earliest first; a warning before the breach of its clock."""
    found = [deadline for clock in clocks.all() for deadline in _deadlines(clock)]
    return sorted(found, key=lambda each: (each.at, each.kind is ClockEventKind.BREACH))


def warn(clocks: Clocks, metric: Metric, now: datetime) -> Change:
    """Record the warning if it is due; otherwise, and the second time, nothing changes."""
    return _recorded(clocks, metric, ClockEventKind.WARN, now)


def breach(clocks: Clocks, metric: Metric, now: datetime) -> Change:
    """Record the breach if it is due; otherwise, and the second time, nothing changes."""
    return _recorded(clocks, metric, ClockEventKind.BREACH, now)


def escalating(clocks: Clocks) -> tuple[Metric, ...]:
    """The metrics whose breach calls for its ladder: breached, not yet fulfilled, and with a target still in force.

    Ask after every change: a ladder that runs for a metric no longer named here has to stop. A metric may be named
    here again, after a reopening or with a policy that is switched on again; its episode has had its ladder then.
    """
    return tuple(
        clock.metric
        for clock in clocks.all()
        if clock.breached_at and clock.target is not None and clock.state in (ClockState.RUNNING, ClockState.PAUSED)
    )


def _adopted(clock: Clock, plan: MetricPlan, whole: ClockPlan) -> Clock:
    judged = clock.state is ClockState.FULFILLED and clock.planned
    if plan.revision != clock.revision or judged or clock.state is ClockState.IDLE:
        return clock
    changes: dict[str, object] = {
        "planned_at": whole.planned_at,
        "planned_revision": plan.revision,
        "policy": whole.policy,
        "target": plan.target,
        "warn_at": None if clock.warned_at or clock.breached_at else plan.warn_at,
        "due_at": plan.due_at,
        "missed_at": plan.missed_at,
    }
    if plan.due_at and plan.due_at != clock.due_at and not clock.breached_at:
        changes["escalates_from"] = max(plan.due_at, whole.planned_at)
    if plan.fold:
        changes |= {
            "spans": clock.spans[plan.fold - clock.folded :],
            "folded": plan.fold,
            "carried_elapsed": plan.fold_elapsed,
            "carried_business": plan.fold_business,
        }
    return clock.model_copy(update=changes)


def _deadlines(clock: Clock) -> list[Deadline]:
    if clock.breached_at:
        return []
    found = []
    if clock.warn_at:
        found.append((ClockEventKind.WARN, clock.warn_at))
    # A paused clock waits: what it missed, by a target lowered meanwhile, is due when it runs again or ends.
    ends = {ClockState.RUNNING: clock.due_at, ClockState.FULFILLED: clock.missed_at}.get(clock.state)
    if ends:
        found.append((ClockEventKind.BREACH, ends))
    return [Deadline(metric=clock.metric, kind=kind, at=at, episode=clock.episode) for kind, at in found]


def _recorded(clocks: Clocks, metric: Metric, kind: ClockEventKind, now: datetime) -> Change:
    clock = clocks.of(metric)
    deadline = next((each for each in _deadlines(clock) if each.kind is kind and each.at <= now), None)
    if deadline is None:
        return Change(clocks)
    if kind is ClockEventKind.WARN:
        changes: dict[str, object] = {"warned_at": now, "warn_at": None}
    else:
        changes = {"breached_at": now, "warn_at": None}
    event = ClockEvent(
        metric=metric,
        kind=kind,
        at=now,
        episode=deadline.episode,
        due_at=deadline.at,
        late_by=deadline.late_by(now),
    )
    return Change(clocks.having(clock.model_copy(update=changes)), (event,))
