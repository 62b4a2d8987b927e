"""What holds for clocks through any life: judged against the story their events tell."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import BusinessCalendar, measure
from domain.clocks import (
    Change,
    ClockEvent,
    ClockEventKind,
    Clocks,
    ClockState,
    Metric,
    Verdict,
    customer_message,
    human_reply,
    opened,
    reopened,
    resolved,
    resumed,
    waiting,
)
from domain.deadlines import ClockPlan, adopt, deadlines, escalating, needs_plan
from domain.priority import Priority
from domain.sla import SlaPolicy, SlaTime
from domain.sla_planning import plan
from tests.unit.promises import HOUR, INSTANT, NOW, OFFICE, POLICY, planned, rung

TRANSITIONS: dict[str, Callable[[Clocks, datetime], Change]] = {
    "message": customer_message,
    "reply": human_reply,
    "wait": waiting,
    "resume": resumed,
    "resolve": resolved,
    "reopen": reopened,
}
BUSINESS = POLICY.model_copy(update={"counts": SlaTime.BUSINESS})
STARTS = {ClockEventKind.ACTIVATE, ClockEventKind.RESUME}
ENDS = {ClockEventKind.PAUSE, ClockEventKind.FULFIL}

# Quarters of an hour, so that acts often fall on the very instant of a deadline, and several on one another.
gaps = st.one_of(st.sampled_from([0, 1, 3, 4, 8, 64, 80]), st.integers(0, 200)).map(lambda number: number * HOUR / 4)
acts = st.tuples(gaps, st.sampled_from(sorted(TRANSITIONS)))
policies = st.sampled_from([POLICY, BUSINESS, POLICY.model_copy(update={"enabled": False}), None])
changes = st.tuples(policies, st.sampled_from([Priority.NORMAL, Priority.HIGH, Priority.URGENT]))
named = st.sampled_from([*TRANSITIONS, "late message", "late reply", "begin plan", "end plan"])
Stirring = tuple[timedelta, str | tuple[SlaPolicy | None, Priority], bool]
stirrings: st.SearchStrategy[Stirring] = st.tuples(gaps, named | changes, st.booleans())
"""How long after the one before, what, and whether the clocks are planned and fired then."""


class Life:
    """A ticket's clocks as a workflow would hold them, and every event they gave."""

    def __init__(self) -> None:
        self.now = NOW
        self.clocks, events = opened(NOW)
        self.events = list(events)
        self.under_way: ClockPlan | None = None
        self.policy: SlaPolicy | None = POLICY
        self.priority = Priority.NORMAL
        self.asked = False

    def step(self, stirring: Stirring) -> None:
        gap, what, settled = stirring
        self.now += gap
        if isinstance(what, tuple):
            self.policy, self.priority = what
            self.asked = True
        elif what == "begin plan":
            self.under_way = self._plan()
        elif what == "end plan":
            self.clocks = adopt(self.clocks, self.under_way or self._plan())
            self.under_way = None
        elif what.startswith("late "):
            self._take(TRANSITIONS[what.removeprefix("late ")](self.clocks, self.now - 3 * HOUR / 4))
        else:
            self._take(TRANSITIONS[what](self.clocks, self.now))
        if settled:
            self.settle()

    def settle(self) -> None:
        """Plan what is not planned and record what is due, as a workflow does before it waits."""
        if self.asked or needs_plan(self.clocks):
            self.clocks = adopt(self.clocks, self._plan())
        self.asked = False
        self._take(rung(self.clocks, self.now))

    def due(self) -> bool:
        """Whether a warning or a breach waits to be recorded."""
        return any(deadline.at <= self.now for deadline in deadlines(self.clocks))

    def _plan(self) -> ClockPlan:
        return plan(self.clocks, self.policy, OFFICE, self.priority, self.now)

    def _take(self, change: Change) -> None:
        self.clocks = change.clocks
        self.events += change.events


lives = st.lists(stirrings, max_size=25)


@settings(max_examples=150, deadline=None)
@given(lives)
def test_an_episode_is_warned_and_breached_at_most_once_and_is_met_or_breached(
    story: list[Stirring],
) -> None:
    life, verdicts = Life(), dict[tuple[Metric, int], Verdict]()
    for stirring in story:
        seen = len(life.events)
        life.step(stirring)
        for event in life.events[seen:]:
            if event.kind is ClockEventKind.ACTIVATE:
                verdicts.pop((event.metric, event.episode), None)  # reopened: it is judged again
        for clock in life.clocks.all():
            episode = (clock.metric, clock.episode)
            if clock.state is ClockState.FULFILLED and clock.planned and not life.due():
                assert verdicts.setdefault(episode, clock.verdict) is clock.verdict
            told = Counter(event.kind for event in life.events if (event.metric, event.episode) == episode)
            assert told[ClockEventKind.WARN] <= 1
            assert told[ClockEventKind.BREACH] <= 1
            assert bool(told[ClockEventKind.BREACH]) is (clock.verdict is Verdict.BREACHED)
        breached = {clock.metric for clock in life.clocks.all() if clock.verdict is Verdict.BREACHED}
        running = {clock.metric for clock in life.clocks.all() if not clock.fulfilled_at}
        assert set(escalating(life.clocks)) <= breached & running


@settings(max_examples=100, deadline=None)
@given(lives)
def test_what_is_due_is_recorded_at_once_and_only_what_is_to_come_is_waited_for(
    story: list[Stirring],
) -> None:
    life = Life()
    for stirring in story:
        life.step(stirring)
        life.settle()
        assert not needs_plan(life.clocks)
        assert not life.due()
    for event in life.events:
        assert event.late_by >= timedelta(0)
        assert event.due_at is None or event.due_at + event.late_by == event.at


@settings(max_examples=150, deadline=None)
@given(lives)
def test_time_spent_is_the_sum_of_the_stretches_that_the_events_tell(
    story: list[Stirring],
) -> None:
    life = Life()
    for stirring in story:
        life.step(stirring)
    found = plan(life.clocks, BUSINESS, OFFICE, Priority.NORMAL, life.now)
    for clock in life.clocks.all():
        mine = [event for event in life.events if (event.metric, event.episode) == (clock.metric, clock.episode)]
        stretches = list(_stretches(mine, life.now))
        told = found.of(clock.metric)
        assert told.elapsed == _sum(stretches)
        assert told.spent == _sum(stretches, OFFICE)
        assert told.elapsed + told.paused == _total(mine, life.now)


@settings(max_examples=150, deadline=None)
@given(st.lists(acts, max_size=25), st.sampled_from([POLICY, BUSINESS]))
def test_the_verdict_is_the_same_however_late_the_plan_is_found(
    story: list[tuple[timedelta, str]], policy: SlaPolicy
) -> None:
    prompt, late, now = planned(opened(NOW).clocks, NOW, policy, OFFICE), opened(NOW).clocks, NOW
    for gap, what in [*story, (HOUR, "resolve")]:
        now += gap
        prompt = rung(prompt, now - INSTANT).clocks
        prompt = TRANSITIONS[what](prompt, now).clocks
        prompt = planned(prompt, now, policy, OFFICE) if needs_plan(prompt) else prompt
        late = TRANSITIONS[what](late, now).clocks
    late = planned(late, now, policy, OFFICE)
    judged = [rung(clocks, now).clocks for clocks in (prompt, late)]
    assert [clock.verdict for clock in judged[0].all()] == [clock.verdict for clock in judged[1].all()]


@settings(max_examples=100, deadline=None)
@given(st.lists(acts, max_size=20))
def test_an_act_told_twice_changes_nothing_more(story: list[tuple[timedelta, str]]) -> None:
    clocks, now = opened(NOW).clocks, NOW
    for gap, what in story:
        now += gap
        clocks = TRANSITIONS[what](clocks, now).clocks
        assert TRANSITIONS[what](clocks, now) == Change(clocks)


def _stretches(events: Iterable[ClockEvent], now: datetime) -> Iterable[tuple[datetime, datetime]]:
    """Running time: from each start, or the earliest of several, to the next end."""
    since: datetime | None = None
    for event in events:
        if event.kind in STARTS:
            since = event.at if since is None else min(since, event.at)
        elif event.kind in ENDS and since:
            yield since, event.at
            since = None
    if since:
        yield since, now


def _total(events: Iterable[ClockEvent], now: datetime) -> timedelta:
    """Time from each activation to the next fulfilment, whether the clock ran or not."""
    whole = [
        (event.at, event.kind) for event in events if event.kind in (ClockEventKind.ACTIVATE, ClockEventKind.FULFIL)
    ]
    total = timedelta(0)
    for kind, group in groupby(whole, key=lambda each: each[1]):
        first = min(at for at, _ in group)
        total += -(first - NOW) if kind is ClockEventKind.ACTIVATE else first - NOW
    if whole and whole[-1][1] is ClockEventKind.ACTIVATE:
        total += now - NOW
    return total


def _sum(stretches: Iterable[tuple[datetime, datetime]], calendar: BusinessCalendar | None = None) -> timedelta:
    return sum((measure(calendar, start, end) for start, end in stretches), timedelta(0))
