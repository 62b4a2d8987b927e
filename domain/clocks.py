"""The clocks of a ticket's metrics, and what the ticket's life does to them; deadlines are in ``domain/deadlines.py``.

Pure and free of calendars, so a workflow holds the clocks and calls the transitions itself. Every
transition can be repeated or come when it does not apply: it then changes nothing and has no events.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from pydantic import AwareDatetime

from domain.ladders import Frozen


class Metric(StrEnum):
    """What is measured, in Zendesk's meaning.

    ``first_response``: creation to the first public human reply; never pauses, asked once.
    ``next_response``: the oldest unanswered customer message to the next public human reply, a new
    episode each time; it begins only after the first response, which answers whatever was said before.
    ``resolution``: creation to resolved, paused in ``waiting``; after a reopening it goes on.
    """

    FIRST_RESPONSE = "first_response"
    NEXT_RESPONSE = "next_response"
    RESOLUTION = "resolution"


class ClockState(StrEnum):
    """Whether a clock runs."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    FULFILLED = "fulfilled"


class ClockEventKind(StrEnum):
    """What happened to a clock."""

    ACTIVATE = "activate"
    RESUME = "resume"
    WARN = "warn"
    BREACH = "breach"
    PAUSE = "pause"
    FULFIL = "fulfil"


class Verdict(StrEnum):
    """How a clock's episode stands. ``none``: nothing was ever asked of it, so it counts for no report."""

    NONE = "none"
    RUNNING = "running"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"


class ClockEvent(Frozen):
    """One line of a clock's story. ``late_by`` is how long after ``due_at`` a warning or a breach was recorded."""

    metric: Metric
    kind: ClockEventKind
    at: AwareDatetime
    episode: int
    due_at: AwareDatetime | None = None
    late_by: timedelta = timedelta(0)


class AppliedPolicy(Frozen):
    """The policy a clock's target came from, as it was then; ``calendar_version`` is ``None`` in calendar time."""

    id: UUID
    name: str
    version: int
    escalation_ladder_id: UUID | None = None
    calendar_version: int | None = None


class Span(Frozen):
    """A stretch of running time that has ended."""

    start: AwareDatetime
    end: AwareDatetime


class Clock(Frozen):
    """One metric's clock: when it ran, and the deadlines a policy lays over it.

    ``revision`` counts changes of when it ran, over all episodes; ``planned_revision`` is the one the
    deadlines were computed for. The ``folded`` oldest spans are kept as the amounts ``carried_elapsed``
    (calendar time) and ``carried_business`` (under the calendar in force when they were folded).
    ``warn_at`` and ``due_at`` are those of a running clock; a fulfilled one keeps the ``due_at`` it was held to.
    ``missed_at`` is when the target of a stopped one ran out, in time already spent. ``escalates_from`` is from when
    what follows a breach counts: from the deadline, or from the plan that put it into the past.
    """

    metric: Metric
    state: ClockState = ClockState.IDLE
    episode: int = 0
    revision: int = 0
    activated_at: AwareDatetime | None = None
    running_since: AwareDatetime | None = None
    paused_since: AwareDatetime | None = None
    fulfilled_at: AwareDatetime | None = None
    spans: tuple[Span, ...] = ()
    folded: int = 0
    carried_elapsed: timedelta = timedelta(0)
    carried_business: timedelta = timedelta(0)
    paused: timedelta = timedelta(0)

    planned_at: AwareDatetime | None = None
    planned_revision: int | None = None
    policy: AppliedPolicy | None = None
    target: timedelta | None = None
    warn_at: AwareDatetime | None = None
    due_at: AwareDatetime | None = None
    missed_at: AwareDatetime | None = None
    warned_at: AwareDatetime | None = None
    breached_at: AwareDatetime | None = None
    escalates_from: AwareDatetime | None = None

    @property
    def planned(self) -> bool:
        """Whether the deadlines are those of the clock as it ran last."""
        return self.planned_revision == self.revision

    @property
    def verdict(self) -> Verdict:
        """Breached once is breached, however it ends; met only where there was a target to meet."""
        if self.breached_at:
            return Verdict.BREACHED
        if self.state is ClockState.RUNNING:
            return Verdict.RUNNING
        if self.state is ClockState.PAUSED:
            return Verdict.PAUSED
        return Verdict.MET if self.state is ClockState.FULFILLED and self.target is not None else Verdict.NONE


class Clocks(Frozen):
    """A ticket's three clocks. ``asked_at`` is the latest customer message, ``answered_at`` the latest public reply."""

    first_response: Clock = Clock(metric=Metric.FIRST_RESPONSE)
    next_response: Clock = Clock(metric=Metric.NEXT_RESPONSE)
    resolution: Clock = Clock(metric=Metric.RESOLUTION)
    asked_at: AwareDatetime | None = None
    answered_at: AwareDatetime | None = None

    def of(self, metric: Metric) -> Clock:
        """The clock of a metric."""
        return {
            Metric.FIRST_RESPONSE: self.first_response,
            Metric.NEXT_RESPONSE: self.next_response,
            Metric.RESOLUTION: self.resolution,
        }[metric]

    def all(self) -> tuple[Clock, Clock, Clock]:
        """First response, next response, resolution."""
        return self.first_response, self.next_response, self.resolution

    def having(self, *clocks: Clock) -> "Clocks":
        """These clocks with some replaced."""
        return self.model_copy(update={clock.metric.value: clock for clock in clocks})


class Change(NamedTuple):
    """What a transition made of the clocks, and the events to record, in order."""

    clocks: Clocks
    events: tuple[ClockEvent, ...] = ()


def opened(at: datetime) -> Change:
    """A new ticket's clocks: the first response and the resolution run."""
    clocks = Clocks()
    return _changed(clocks, _activated(clocks.first_response, at), _activated(clocks.resolution, at))


def customer_message(clocks: Clocks, at: datetime) -> Change:
    """A customer wrote (not automatically) at ``at``; messages may be told out of order.

    Nothing changes while the first response is owed, or when a reply has come since. A message older
    than the one being waited on moves the clock's start back, told as a second activation of the episode.
    """
    clocks = clocks.model_copy(update={"asked_at": _later(clocks.asked_at, at)})
    owed = clocks.next_response
    answered = clocks.answered_at is not None and at <= clocks.answered_at
    if clocks.first_response.state is ClockState.RUNNING or answered:
        return Change(clocks)
    if owed.state is not ClockState.RUNNING:
        return _changed(clocks, _activated(owed, at))
    if owed.running_since and at < owed.running_since:
        changes = {"activated_at": at, "running_since": at, "revision": owed.revision + 1}
        earlier = owed.model_copy(update=changes)
        return _changed(clocks, _Step(earlier, (_event(earlier, ClockEventKind.ACTIVATE, at),)))
    return Change(clocks)


def human_reply(clocks: Clocks, at: datetime) -> Change:
    """A member answered in public. Not for notes or a bot's lines: they answer nobody.

    A reply written before a message does not answer it, however late it is told: the next response is then owed from
    the latest message, the only one that is known to have come after the reply.
    """
    clocks = clocks.model_copy(update={"answered_at": _later(clocks.answered_at, at)})
    ended = [_fulfilled(clocks.first_response, at)] if clocks.first_response.state is ClockState.RUNNING else []
    since = clocks.next_response.running_since
    if since and at >= since:
        ended.append(_fulfilled(clocks.next_response, at))
    answered = _changed(clocks, *ended)
    if not ended or clocks.asked_at is None:
        return answered
    asked = customer_message(answered.clocks, clocks.asked_at)
    return Change(asked.clocks, (*answered.events, *asked.events))


def waiting(clocks: Clocks, at: datetime) -> Change:
    """The ticket began to wait for its customer: only the resolution pauses."""
    clock = clocks.resolution
    return _changed(clocks, _paused(clock, at)) if clock.state is ClockState.RUNNING else Change(clocks)


def resumed(clocks: Clocks, at: datetime) -> Change:
    """The ticket waits no longer, whichever way it left ``waiting`` other than by being resolved."""
    clock = clocks.resolution
    if clock.state is not ClockState.PAUSED or clock.paused_since is None:
        return Change(clocks)
    at = max(at, clock.paused_since)
    changes = {**_running(clock, at), "paused_since": None, "paused": clock.paused + (at - clock.paused_since)}
    return _changed(clocks, _Step(clock.model_copy(update=changes), (_event(clock, ClockEventKind.RESUME, at),)))


def resolved(clocks: Clocks, at: datetime) -> Change:
    """The ticket is resolved: nothing is owed any more, so replies that were owed are settled with it."""
    owed = [clock for clock in clocks.all() if clock.state in (ClockState.RUNNING, ClockState.PAUSED)]
    return _changed(clocks, *(_fulfilled(clock, at) for clock in owed))


def reopened(clocks: Clocks, at: datetime) -> Change:
    """The resolution goes on in the same episode with the time already spent; the first response is not asked again.

    A customer's message that reopens is told besides, by ``customer_message``.
    """
    clock = clocks.resolution
    if clock.state is not ClockState.FULFILLED or clock.fulfilled_at is None:
        return Change(clocks)
    at = max(at, clock.fulfilled_at)
    changes = {**_running(clock, at), "fulfilled_at": None}
    return _changed(clocks, _Step(clock.model_copy(update=changes), (_event(clock, ClockEventKind.ACTIVATE, at),)))


class _Step(NamedTuple):
    clock: Clock
    events: tuple[ClockEvent, ...]


def _changed(clocks: Clocks, *steps: _Step) -> Change:
    return Change(
        clocks.having(*(step.clock for step in steps)), tuple(event for step in steps for event in step.events)
    )


def _activated(clock: Clock, at: datetime) -> _Step:
    """A new episode, with nothing of the one before but the count."""
    fresh = Clock(
        metric=clock.metric,
        state=ClockState.RUNNING,
        episode=clock.episode + 1,
        revision=clock.revision + 1,
        activated_at=at,
        running_since=at,
    )
    return _Step(fresh, (_event(fresh, ClockEventKind.ACTIVATE, at),))


def _running(clock: Clock, at: datetime) -> dict[str, object]:
    """On again, without deadlines until the next plan."""
    return {
        "state": ClockState.RUNNING,
        "running_since": at,
        "revision": clock.revision + 1,
        "warn_at": None,
        "due_at": None,
        "missed_at": None,
    }


def _paused(clock: Clock, at: datetime) -> _Step:
    at = max(at, clock.running_since or at)
    late, events = _caught_up(clock, at)
    changes = {**_stopped(late, at), "state": ClockState.PAUSED, "paused_since": at, "due_at": None}
    return _Step(late.model_copy(update=changes), (*events, _event(clock, ClockEventKind.PAUSE, at)))


def _fulfilled(clock: Clock, at: datetime) -> _Step:
    """Fulfilled at or before its deadline is in time; after it, the breach is recorded first, if it was not yet."""
    at = max(at, clock.running_since or clock.paused_since or at)
    late, events = _caught_up(clock, at)
    changes = {**_stopped(late, at), "state": ClockState.FULFILLED, "fulfilled_at": at, "paused_since": None}
    if clock.paused_since:
        changes["paused"] = clock.paused + (at - clock.paused_since)
    return _Step(late.model_copy(update=changes), (*events, _event(clock, ClockEventKind.FULFIL, at)))


def _caught_up(clock: Clock, at: datetime) -> _Step:
    """The clock with the breach it owed before ``at``, for when a timer was not there to say so."""
    deadline = clock.missed_at or clock.due_at
    if clock.breached_at or deadline is None or at <= deadline:
        return _Step(clock, ())
    event = _event(clock, ClockEventKind.BREACH, at, deadline)
    return _Step(clock.model_copy(update={"breached_at": at}), (event,))


def _stopped(clock: Clock, at: datetime) -> dict[str, object]:
    """Off, with the stretch that ended kept; a clock that was judged stays judged."""
    spans = clock.spans
    if clock.running_since and clock.running_since < at:
        spans = (*spans, Span(start=clock.running_since, end=at))
    return {
        "spans": spans,
        "running_since": None,
        "warn_at": None,
        "revision": clock.revision + 1,
        "planned_revision": clock.revision + 1 if clock.planned else clock.planned_revision,
    }


def _later(known: datetime | None, at: datetime) -> datetime:
    return at if known is None else max(known, at)


def _event(clock: Clock, kind: ClockEventKind, at: datetime, due_at: datetime | None = None) -> ClockEvent:
    late_by = at - due_at if due_at else timedelta(0)
    return ClockEvent(metric=clock.metric, kind=kind, at=at, episode=clock.episode, due_at=due_at, late_by=late_by)
