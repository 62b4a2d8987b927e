"""What a ticket's life does to its clocks."""

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from domain.clocks import (
    Change,
    ClockEventKind,
    Clocks,
    ClockState,
    Metric,
    Span,
    Verdict,
    customer_message,
    human_reply,
    opened,
    reopened,
    resolved,
    resumed,
    waiting,
)
from domain.sla import SlaPolicy
from tests.unit.promises import HOUR, INSTANT, NOW, POLICY, after, elapsed, planned, told

Transition = Callable[[Clocks, datetime], Change]

MESSAGE, REPLY, WAIT, RESUME, RESOLVE, REOPEN = customer_message, human_reply, waiting, resumed, resolved, reopened


def live(*story: tuple[Transition, float]) -> Change:
    """The clocks after a story that began at ``NOW``, each act at its hour, and all its events but the first two."""
    clocks, events = Change(opened(NOW).clocks)
    for transition, hours in story:
        clocks, more = transition(clocks, after(hours))
        events += more
    return Change(clocks, events)


def test_a_new_ticket_owes_a_first_response_and_a_resolution() -> None:
    clocks, events = opened(NOW)
    assert told(events) == ["first_response activate", "resolution activate"]
    assert [clock.state for clock in clocks.all()] == [ClockState.RUNNING, ClockState.IDLE, ClockState.RUNNING]
    assert all(event.at == NOW and event.episode == 1 for event in events)


@pytest.mark.parametrize(
    ("story", "events"),
    [
        pytest.param([(REPLY, 1)], ["first_response fulfil"], id="the first answer"),
        pytest.param([(MESSAGE, 1), (MESSAGE, 2)], [], id="messages before the first answer ask for nothing more"),
        pytest.param(
            [(MESSAGE, 1), (REPLY, 2)], ["first_response fulfil"], id="the first answer answers what was said before"
        ),
        pytest.param([(REPLY, 1), (REPLY, 2)], ["first_response fulfil"], id="nobody asked for the second answer"),
        pytest.param(
            [(REPLY, 1), (MESSAGE, 2), (MESSAGE, 3), (REPLY, 4), (MESSAGE, 5)],
            ["first_response fulfil", "next_response activate", "next_response fulfil", "next_response activate"],
            id="each unanswered customer is an episode",
        ),
        pytest.param(
            [(REPLY, 1), (MESSAGE, 2), (REPLY, 2)],
            ["first_response fulfil", "next_response activate", "next_response fulfil"],
            id="an answer in the instant of the message",
        ),
        pytest.param(
            [(WAIT, 1), (RESUME, 2), (WAIT, 3)],
            ["resolution pause", "resolution resume", "resolution pause"],
            id="waiting pauses the resolution alone",
        ),
        pytest.param(
            [(WAIT, 1), (WAIT, 2), (RESUME, 3), (RESUME, 4)],
            ["resolution pause", "resolution resume"],
            id="once is enough",
        ),
        pytest.param(
            [(RESOLVE, 1), (RESOLVE, 2), (WAIT, 3), (RESUME, 4)],
            ["first_response fulfil", "resolution fulfil"],
            id="resolving settles the answer that was owed, and nothing moves after it",
        ),
        pytest.param(
            [(REPLY, 1), (MESSAGE, 2), (RESOLVE, 3)],
            ["first_response fulfil", "next_response activate", "next_response fulfil", "resolution fulfil"],
            id="resolving settles a next answer too",
        ),
        pytest.param(
            [(REPLY, 1), (WAIT, 2), (RESOLVE, 3)],
            ["first_response fulfil", "resolution pause", "resolution fulfil"],
            id="resolved while waiting",
        ),
        pytest.param(
            [(REPLY, 1), (REOPEN, 2), (RESOLVE, 3), (REOPEN, 4), (REOPEN, 5)],
            ["first_response fulfil", "resolution fulfil", "resolution activate"],
            id="reopened by a member: the resolution alone goes on",
        ),
        pytest.param(
            [(RESOLVE, 1), (REOPEN, 2), (MESSAGE, 2), (REPLY, 3)],
            [
                "first_response fulfil",
                "resolution fulfil",
                "resolution activate",
                "next_response activate",
                "next_response fulfil",
            ],
            id="reopened by the customer: no first response again, but the next",
        ),
    ],
)
def test_what_a_life_records(story: list[tuple[Transition, float]], events: list[str]) -> None:
    assert told(live(*story).events) == events


@pytest.mark.parametrize(
    ("story", "episode", "since"),
    [
        pytest.param([(REPLY, 1), (MESSAGE, 3), (MESSAGE, 2)], 1, 2, id="an older message moves the start back"),
        pytest.param([(REPLY, 2), (MESSAGE, 1)], 0, None, id="a message the answer came after"),
        pytest.param([(REPLY, 1), (MESSAGE, 3), (REPLY, 2)], 1, 3, id="a reply from before it"),
        pytest.param(
            [(REPLY, 1), (MESSAGE, 2), (MESSAGE, 4), (REPLY, 3)], 2, 4, id="a reply to the first message only"
        ),
        pytest.param([(MESSAGE, 2), (REPLY, 1)], 1, 2, id="a message after the first response"),
        pytest.param([(MESSAGE, 2), (RESOLVE, 3), (REPLY, 1)], 0, None, id="resolving settled that message"),
    ],
)
def test_what_is_told_late_counts_from_when_it_was_written(
    story: list[tuple[Transition, float]], episode: int, since: float | None
) -> None:
    clock = live(*story).clocks.next_response
    assert clock.episode == episode
    assert clock.running_since == (None if since is None else after(since))
    assert clock.activated_at == clock.running_since


def test_an_answered_episode_and_the_one_that_begins_with_it_are_two() -> None:
    clocks, events = live((REPLY, 1), (MESSAGE, 2), (MESSAGE, 4), (REPLY, 3))
    assert [(event.kind, event.episode, event.at) for event in events[1:]] == [
        (ClockEventKind.ACTIVATE, 1, after(2)),
        (ClockEventKind.FULFIL, 1, after(3)),
        (ClockEventKind.ACTIVATE, 2, after(4)),
    ]
    assert clocks.next_response.spans == ()


def test_running_time_is_kept_as_spans_and_waiting_is_not() -> None:
    clock = live((WAIT, 10), (RESUME, 82), (WAIT, 84), (RESOLVE, 90)).clocks.resolution
    assert clock.spans == (Span(start=NOW, end=after(10)), Span(start=after(82), end=after(84)))
    assert clock.paused == 78 * HOUR
    assert elapsed(clock) + clock.paused == after(90) - NOW


def test_reopening_goes_on_from_what_was_spent_and_leaves_out_the_time_between() -> None:
    clock = live((RESOLVE, 3), (REOPEN, 50), (RESOLVE, 54)).clocks.resolution
    assert (elapsed(clock), clock.paused, clock.episode) == (7 * HOUR, timedelta(0), 1)
    assert live((RESOLVE, 3), (REOPEN, 50)).clocks.resolution.fulfilled_at is None


@pytest.mark.parametrize(
    ("story", "at"),
    [
        pytest.param([(WAIT, -1)], 0, id="pause"),
        pytest.param([(WAIT, 2), (RESUME, 1)], 2, id="resume"),
        pytest.param([(RESOLVE, -1)], 0, id="resolve"),
        pytest.param([(WAIT, 2), (RESOLVE, 1)], 2, id="resolve while waiting"),
        pytest.param([(RESOLVE, 2), (REOPEN, 1)], 2, id="reopen"),
        pytest.param([(REPLY, -1)], 0, id="reply"),
    ],
)
def test_an_act_before_the_one_it_follows_takes_no_time_away(story: list[tuple[Transition, float]], at: float) -> None:
    clocks, events = live(*story)
    assert events[-1].at == after(at)
    assert all(span.start < span.end for clock in clocks.all() for span in clock.spans)
    assert clocks.resolution.paused == timedelta(0)


@pytest.mark.parametrize("transition", [REPLY, RESOLVE])
def test_an_act_after_the_deadline_records_the_breach_first(transition: Transition) -> None:
    clocks, events = transition(planned(opened(NOW).clocks, NOW), after(1) + INSTANT)
    assert told(events)[:2] == ["first_response breach", "first_response fulfil"]
    assert (events[0].due_at, events[0].late_by) == (after(1), INSTANT)
    assert clocks.first_response.verdict is Verdict.BREACHED


@pytest.mark.parametrize("transition", [REPLY, RESOLVE])
def test_an_act_at_the_deadline_is_in_time(transition: Transition) -> None:
    clocks, events = transition(planned(opened(NOW).clocks, NOW), after(1))
    assert told(events)[0] == "first_response fulfil"
    assert clocks.first_response.verdict is Verdict.MET


def test_a_pause_after_the_deadline_records_the_breach_first() -> None:
    clocks = planned(opened(NOW).clocks, NOW)
    assert told(waiting(clocks, after(20)).events) == ["resolution pause"]
    late = waiting(clocks, after(21))
    assert told(late.events) == ["resolution breach", "resolution pause"]
    assert late.clocks.resolution.verdict is Verdict.BREACHED
    assert told(resolved(late.clocks, after(99)).events)[-1:] == ["resolution fulfil"]  # no second breach


@pytest.mark.parametrize(
    ("story", "policy", "verdict"),
    [
        pytest.param([], POLICY, Verdict.RUNNING, id="running"),
        pytest.param([(WAIT, 1)], POLICY, Verdict.PAUSED, id="paused"),
        pytest.param([(RESOLVE, 1)], POLICY, Verdict.MET, id="met"),
        pytest.param([(WAIT, 1), (RESOLVE, 99)], POLICY, Verdict.MET, id="met, since it waited"),
        pytest.param([(RESOLVE, 30)], POLICY, Verdict.BREACHED, id="breached"),
        pytest.param([(RESOLVE, 30), (REOPEN, 31)], POLICY, Verdict.BREACHED, id="breached once is breached"),
        pytest.param([(RESOLVE, 1), (REOPEN, 2)], POLICY, Verdict.RUNNING, id="met, but reopened"),
        pytest.param([(RESOLVE, 30)], None, Verdict.NONE, id="nothing was promised"),
    ],
)
def test_how_an_episode_stands(
    story: list[tuple[Transition, float]], policy: SlaPolicy | None, verdict: Verdict
) -> None:
    clocks = planned(opened(NOW).clocks, NOW, policy)
    for transition, hours in story:
        clocks = transition(clocks, after(hours)).clocks
    assert clocks.resolution.verdict is verdict


def test_clocks_survive_json() -> None:
    clocks = planned(live((REPLY, 0.5), (MESSAGE, 1), (WAIT, 17.123456), (RESUME, 18)).clocks, after(18))
    assert Clocks.model_validate_json(clocks.model_dump_json()) == clocks
    assert clocks.of(Metric.NEXT_RESPONSE).due_at == after(3)


# Pydantic has zoneinfo for itself, so ours is refused only once a model has been made.
REFUSING = """
import sys
from pydantic import BaseModel
class Model(BaseModel): pass
for name in ("zoneinfo", "holidays", "domain.calendar", "domain.time_zones", "domain.public_holidays"):
    sys.modules[name] = None
import {module}
"""


@pytest.mark.parametrize("module", ["domain.clocks", "domain.deadlines", "domain.terms"])
def test_what_a_workflow_imports_knows_no_calendar(module: str) -> None:
    assert _import_without_calendars(module) == ""


def test_the_refusal_of_calendars_is_noticed() -> None:
    assert "import of domain.calendar halted" in _import_without_calendars("domain.sla_planning")


def _import_without_calendars(module: str) -> str:
    """What a fresh interpreter says when ``module`` is imported where calendars cannot be."""
    return subprocess.run(
        [sys.executable, "-c", REFUSING.format(module=module)], capture_output=True, text=True, check=False, timeout=60
    ).stderr
