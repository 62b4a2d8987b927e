"""Deadlines: taken on from plans, waited for, and recorded once."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from domain.clocks import (
    Change,
    ClockEventKind,
    Clocks,
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
from domain.deadlines import (
    ClockPlan,
    Deadline,
    adopt,
    breach,
    deadlines,
    escalating,
    needs_plan,
    warn,
)
from domain.priority import Priority
from domain.sla import SlaPolicy
from domain.sla_planning import FOLD_OVER, plan
from tests.unit.promises import HOUR, INSTANT, NOW, POLICY, after, kinds, planned, promising, rung, told

NEW = opened(NOW).clocks
PLANNED = planned(NEW, NOW)
"""First response due after 1 h, resolution after 20 h; warnings at 80 %."""


def plan_for(clocks: Clocks, now: datetime = NOW, priority: Priority = Priority.NORMAL) -> ClockPlan:
    return plan(clocks, POLICY, None, priority, now)


def in_hours(found: list[Deadline]) -> list[tuple[str, str, float]]:
    return [(each.metric, each.kind, round((each.at - NOW) / HOUR, 3)) for each in found]


def test_every_warning_and_breach_to_come_is_listed_the_earliest_first() -> None:
    assert in_hours(deadlines(PLANNED)) == [
        ("first_response", "warn", 0.8),
        ("first_response", "breach", 1),
        ("resolution", "warn", 16),
        ("resolution", "breach", 20),
    ]
    assert deadlines(NEW) == deadlines(resolved(PLANNED, after(0.5)).clocks) == []


def test_a_warning_comes_before_the_breach_of_the_same_instant() -> None:
    # Both lie in time already spent: the priority was raised after ten hours.
    paused = planned(waiting(NEW, after(10)).clocks, after(10))
    clocks = planned(resumed(paused, after(12)).clocks, after(12), priority=Priority.URGENT)
    assert in_hours(deadlines(clocks))[-2:] == [("resolution", "warn", 12), ("resolution", "breach", 12)]
    assert kinds(rung(clocks, after(12)).events) == [ClockEventKind.WARN, ClockEventKind.BREACH]


@pytest.mark.parametrize("record", [warn, breach, lambda clocks, _, now: rung(clocks, now)])
def test_nothing_is_recorded_before_it_is_due(record: Callable[[Clocks, Metric, datetime], Change]) -> None:
    assert record(PLANNED, Metric.FIRST_RESPONSE, after(0.8) - INSTANT) == Change(PLANNED)


def test_each_is_recorded_once_at_its_instant() -> None:
    warned = warn(PLANNED, Metric.FIRST_RESPONSE, after(0.8))
    assert told(warned.events) == ["first_response warn"]
    assert warn(warned.clocks, Metric.FIRST_RESPONSE, after(0.9)) == Change(warned.clocks)
    breached = breach(warned.clocks, Metric.FIRST_RESPONSE, after(1))
    assert told(breached.events) == ["first_response breach"]
    assert [event.late_by for event in (*warned.events, *breached.events)] == [timedelta(0)] * 2
    assert rung(breached.clocks, after(2)) == Change(breached.clocks)


def test_a_breach_leaves_no_warning_to_come() -> None:
    breached = breach(PLANNED, Metric.FIRST_RESPONSE, after(1))
    assert told(breached.events) == ["first_response breach"]
    for clocks in (breached.clocks, planned(breached.clocks, after(1))):
        assert clocks.first_response.warn_at is None
        assert rung(clocks, after(1)) == Change(clocks)


def test_a_deadline_to_come_is_not_late() -> None:
    assert [deadline.late_by(after(0.9)) for deadline in deadlines(PLANNED)[:2]] == [HOUR / 10, timedelta(0)]


def test_a_late_worker_records_all_that_is_due_once_in_order_and_says_how_late() -> None:
    assert told(rung(PLANNED, after(18)).events) == ["first_response warn", "first_response breach", "resolution warn"]
    clocks, events = rung(PLANNED, after(21))
    assert told(events) == ["first_response warn", "first_response breach", "resolution warn", "resolution breach"]
    assert [event.late_by for event in events] == [20.2 * HOUR, 20 * HOUR, 5 * HOUR, HOUR]
    assert [event.due_at for event in events] == [after(0.8), after(1), after(16), after(20)]
    assert {event.at for event in events} == {after(21)}
    assert deadlines(clocks) == []
    assert rung(clocks, after(22)) == Change(clocks)


def test_the_answer_in_the_instant_of_the_breach_wins_when_it_comes_first() -> None:
    answered = human_reply(PLANNED, after(1)).clocks
    assert rung(answered, after(1)) == Change(answered)
    assert answered.first_response.verdict is Verdict.MET
    assert escalating(answered) == ()


def test_the_breach_wins_when_it_comes_first_and_its_ladder_stops_with_the_answer() -> None:
    breached = breach(PLANNED, Metric.FIRST_RESPONSE, after(1)).clocks
    assert escalating(breached) == (Metric.FIRST_RESPONSE,)
    answered, events = human_reply(breached, after(1))
    assert told(events) == ["first_response fulfil"]
    assert answered.first_response.verdict is Verdict.BREACHED
    assert escalating(answered) == ()


@pytest.mark.parametrize("answered_at", [after(1), after(1) + INSTANT, after(1.2)])
@pytest.mark.parametrize("plan_comes_first", [True, False])
def test_the_verdict_does_not_depend_on_when_the_plan_was_found(answered_at: datetime, plan_comes_first: bool) -> None:
    clocks = planned(NEW, NOW) if plan_comes_first else NEW
    clocks, events = human_reply(clocks, answered_at)
    clocks, more = rung(planned(clocks, after(2)), after(2))
    late = answered_at > after(1)
    assert clocks.first_response.verdict is (Verdict.BREACHED if late else Verdict.MET)
    assert [*told(events), *told(more)].count("first_response breach") == late
    assert escalating(clocks) == ()


def test_a_pause_at_the_warning_puts_it_off_until_the_clock_runs_again() -> None:
    paused = waiting(PLANNED, after(16)).clocks
    assert Metric.RESOLUTION not in {each.metric for each in deadlines(paused)}
    again = planned(resumed(paused, after(90)).clocks, after(90))
    assert in_hours(deadlines(again))[-2:] == [("resolution", "warn", 90), ("resolution", "breach", 94)]
    warned, events = warn(again, Metric.RESOLUTION, after(90))
    assert kinds(events) == [ClockEventKind.WARN]
    # and no second one, however often the clock is paused, planned and resumed after it
    more = planned(resumed(waiting(warned, after(91)).clocks, after(99)).clocks, after(99))
    assert in_hours(deadlines(more))[-1:] == [("resolution", "breach", 102)]
    assert ("resolution", "warn") not in {each[:2] for each in in_hours(deadlines(more))}


def test_a_warning_at_the_instant_of_the_pause_is_not_given_again() -> None:
    warned = warn(PLANNED, Metric.RESOLUTION, after(16)).clocks
    again = planned(resumed(waiting(warned, after(16)).clocks, after(90)).clocks, after(90))
    assert kinds(rung(again, after(95)).events) == [ClockEventKind.BREACH]


@pytest.mark.parametrize(
    "clocks",
    [
        pytest.param(resumed(waiting(PLANNED, after(2)).clocks, after(80)).clocks, id="resumed"),
        pytest.param(reopened(resolved(PLANNED, after(2)).clocks, after(80)).clocks, id="reopened"),
    ],
)
def test_a_clock_that_runs_again_has_no_deadline_until_it_is_planned(clocks: Clocks) -> None:
    assert Metric.RESOLUTION not in {each.metric for each in deadlines(clocks)}
    assert needs_plan(clocks)
    assert in_hours(deadlines(planned(clocks, after(80))))[-1] == ("resolution", "breach", 98)


@pytest.mark.parametrize(
    ("clocks", "needed"),
    [
        pytest.param(Clocks(), False, id="nothing runs"),
        pytest.param(NEW, True, id="new"),
        pytest.param(PLANNED, False, id="planned"),
        pytest.param(planned(NEW, NOW, None), False, id="planned without a policy"),
        pytest.param(waiting(PLANNED, after(1)).clocks, False, id="paused"),
        pytest.param(planned(waiting(NEW, after(1)).clocks, after(1)), False, id="planned while paused"),
        pytest.param(waiting(planned(resolved(NEW, NOW).clocks, NOW), after(1)).clocks, False, id="resolved for good"),
        pytest.param(resumed(waiting(PLANNED, after(1)).clocks, after(2)).clocks, True, id="resumed"),
        pytest.param(resolved(PLANNED, after(1)).clocks, False, id="resolved, and judged by its deadline"),
        pytest.param(resolved(NEW, after(1)).clocks, True, id="resolved before it was planned"),
        pytest.param(reopened(resolved(PLANNED, after(1)).clocks, after(2)).clocks, True, id="reopened"),
        pytest.param(
            customer_message(human_reply(PLANNED, after(1)).clocks, after(2)).clocks, True, id="another response owed"
        ),
    ],
)
def test_when_clocks_need_a_plan(clocks: Clocks, needed: bool) -> None:
    assert needs_plan(clocks) is needed


def test_a_clock_paused_before_its_first_plan_learns_its_target() -> None:
    paused = waiting(NEW, after(1)).clocks
    assert needs_plan(paused)
    known = planned(paused, after(1)).resolution
    assert (known.target, known.policy and known.policy.name, known.due_at) == (20 * HOUR, "Standard", None)


def test_adopting_twice_changes_nothing_more() -> None:
    late = plan_for(NEW)
    assert adopt(adopt(NEW, late), late) == adopt(NEW, late)


@pytest.mark.parametrize(
    "since",
    [
        pytest.param(waiting(NEW, after(1)).clocks, id="paused"),
        pytest.param(resumed(waiting(NEW, after(1)).clocks, after(2)).clocks, id="paused and resumed"),
        pytest.param(resolved(NEW, after(1)).clocks, id="resolved"),
    ],
)
def test_a_plan_for_what_the_clock_was_before_changes_nothing(since: Clocks) -> None:
    assert adopt(since, plan_for(NEW)).resolution == since.resolution


def test_a_plan_for_an_earlier_episode_changes_nothing() -> None:
    first = customer_message(human_reply(NEW, after(1)).clocks, after(2)).clocks
    second = customer_message(human_reply(first, after(3)).clocks, after(4)).clocks
    assert adopt(second, plan_for(first, after(2))).next_response == second.next_response


@pytest.mark.parametrize("now", [after(0.1), NOW, NOW - HOUR], ids=["later", "at once", "on a machine that is behind"])
def test_a_plan_replaces_the_one_before(now: datetime) -> None:
    assert in_hours(deadlines(planned(PLANNED, now, priority=Priority.URGENT))) == [
        ("first_response", "warn", 0.2),
        ("first_response", "breach", 0.25),
        ("resolution", "warn", 3.2),
        ("resolution", "breach", 4),
    ]


def test_a_fulfilled_clock_keeps_the_target_it_was_judged_by() -> None:
    answered = human_reply(PLANNED, after(0.5)).clocks
    again = planned(answered, after(0.6), priority=Priority.URGENT)
    assert (again.first_response.target, again.first_response.verdict) == (HOUR, Verdict.MET)
    assert again.resolution.target == 4 * HOUR


def test_notices_given_are_not_given_again_when_the_target_changes() -> None:
    clocks = rung(PLANNED, after(0.9)).clocks
    for target in (0.25, 5, 0.5, 8):
        policy = promising({Metric.FIRST_RESPONSE: target * HOUR, Metric.RESOLUTION: 99 * HOUR})
        clocks = planned(clocks, after(0.9), policy)
        assert {each.kind for each in deadlines(clocks) if each.metric is Metric.FIRST_RESPONSE} == {
            ClockEventKind.BREACH
        }
    clocks, events = rung(clocks, after(9))
    assert told(events) == ["first_response breach"]
    longer = planned(clocks, after(9), promising({Metric.FIRST_RESPONSE: 50 * HOUR}))
    assert rung(longer, after(60)).events == ()
    assert longer.first_response.verdict is Verdict.BREACHED


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(None, id="no policy matches any more"),
        pytest.param(POLICY.model_copy(update={"enabled": False}), id="switched off"),
        pytest.param(promising({Metric.NEXT_RESPONSE: HOUR}), id="it promises nothing here any more"),
    ],
)
def test_a_promise_that_is_gone_stops_warnings_and_the_ladder(policy: SlaPolicy | None) -> None:
    breached = rung(PLANNED, after(1)).clocks
    assert escalating(breached) == (Metric.FIRST_RESPONSE,)
    off = planned(breached, after(2), policy)
    assert escalating(off) == ()
    assert rung(off, after(99)) == Change(off)
    on = planned(off, after(10))
    assert in_hours(deadlines(on)) == [("resolution", "warn", 16), ("resolution", "breach", 20)]


def test_a_ladder_goes_on_while_waiting_and_ends_with_resolving() -> None:
    breached = rung(human_reply(PLANNED, after(0.5)).clocks, after(20)).clocks
    paused = waiting(breached, after(21)).clocks
    done = resolved(paused, after(22)).clocks
    assert [escalating(clocks) for clocks in (breached, paused, done)] == [
        (Metric.RESOLUTION,),
        (Metric.RESOLUTION,),
        (),
    ]


def test_reopening_a_breached_resolution_gives_no_second_breach() -> None:
    breached = rung(PLANNED, after(20)).clocks
    again = planned(reopened(resolved(breached, after(21)).clocks, after(30)).clocks, after(30))
    assert deadlines(again) == []
    assert rung(again, after(99)).events == ()


def test_what_ran_out_while_paused_is_told_when_the_clock_runs_again_or_ends() -> None:
    paused = waiting(human_reply(PLANNED, after(0.5)).clocks, after(10)).clocks
    urgent = planned(paused, after(11), priority=Priority.URGENT)
    assert urgent.resolution.missed_at == after(4)
    assert deadlines(urgent) == []
    again = planned(resumed(urgent, after(50)).clocks, after(50), priority=Priority.URGENT)
    assert kinds(rung(again, after(50)).events) == [ClockEventKind.WARN, ClockEventKind.BREACH]
    ended = resolved(urgent, after(50))
    assert kinds(ended.events) == [ClockEventKind.BREACH, ClockEventKind.FULFIL]
    assert rung(ended.clocks, after(51)) == Change(ended.clocks)


def test_old_spans_are_folded_without_losing_time_and_folding_twice_is_folding_once() -> None:
    clocks = NEW
    for number in range(FOLD_OVER + 1):
        clocks = resumed(waiting(clocks, after(2 * number + 1)).clocks, after(2 * number + 2)).clocks
    now = after(2 * FOLD_OVER + 2)
    assert len(clocks.resolution.spans) == FOLD_OVER + 1
    folding = plan_for(clocks, now)
    folded = adopt(clocks, folding)
    assert len(folded.resolution.spans) < FOLD_OVER
    assert adopt(folded, folding) == folded
    assert (
        plan_for(folded, now).of(Metric.RESOLUTION).spent
        == folding.of(Metric.RESOLUTION).spent
        == (FOLD_OVER + 1) * HOUR
    )
