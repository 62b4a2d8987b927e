"""Policies and calendars laid over clocks: which deadlines come of it, and the arithmetic in words."""

from datetime import UTC, date, datetime, timedelta
from time import process_time

import pytest

from domain.calendar import BusinessCalendar, OwnDate, Weekday
from domain.clocks import ClockEventKind, Clocks, Metric, Verdict, human_reply, opened, reopened, resolved, resumed
from domain.clocks import waiting as wait
from domain.priority import Priority
from domain.sla import SlaPolicy, SlaTime
from domain.sla_planning import FOLD_OVER, explain, in_words, plan
from tests.unit.promises import HOUR, INSTANT, NOW, OFFICE, POLICY, after, kinds, planned, promising, rung, utc, weekly

DAILY = tuple(Weekday)
RESOLUTION, FIRST_RESPONSE = Metric.RESOLUTION, Metric.FIRST_RESPONSE


def in_business_time(target: timedelta, warn_at: float = 0.8) -> SlaPolicy:
    return promising({RESOLUTION: target}, counts=SlaTime.BUSINESS, warn_at=warn_at)


@pytest.mark.parametrize(
    ("calendar", "created", "target", "due", "warned"),
    [
        pytest.param(OFFICE, "2026-11-20T16:30", 1, "2026-11-23T09:30", "2026-11-20T17:00", id="a Friday, 16:30"),
        pytest.param(
            OFFICE, "2026-11-18T07:00", 2, "2026-11-18T11:00", "2026-11-18T10:00", id="a Wednesday, before it opens"
        ),
        pytest.param(OFFICE, "2026-11-20T16:55", 24, "2026-11-25T16:55", "2026-11-24T12:55", id="three working days"),
        pytest.param(
            OFFICE.model_copy(update={"hours": weekly("08:00-12:00", "13:30-18:00")}),
            "2026-11-18T12:30",
            1,
            "2026-11-18T14:30",
            "2026-11-18T14:00",
            id="in the lunch break",
        ),
        pytest.param(
            OFFICE.model_copy(update={"hours": weekly("22:00-06:00", days=DAILY)}),
            "2026-11-18T23:00",
            4,
            "2026-11-19T03:00",
            "2026-11-19T01:00",
            id="over midnight",
        ),
        pytest.param(
            OFFICE.model_copy(update={"dates": (OwnDate(date=date(2026, 11, 23), name="Founding day"),)}),
            "2026-11-20T16:30",
            1,
            "2026-11-24T09:30",
            "2026-11-20T17:00",
            id="a holiday on the Monday",
        ),
        pytest.param(OFFICE, "2026-01-05T09:00", 2200, "2027-01-22T17:00", "2026-07-15T13:00", id="longer than a year"),
        # Clocks go on by an hour at 02:00 on 2027-03-28, and back at 03:00 on 2026-10-25.
        pytest.param(
            BusinessCalendar(time_zone="Europe/Berlin", hours=weekly("00:00-06:00", days=DAILY)),
            "2027-03-27T23:00",
            6,
            "2027-03-28T23:00",  # five hours on Sunday, and the sixth from midnight
            "2027-03-28T02:00",
            id="Berlin springs forward",
        ),
        pytest.param(
            BusinessCalendar(time_zone="Europe/Berlin", hours=weekly("00:00-06:00", days=DAILY)),
            "2026-10-24T22:00",
            7,
            "2026-10-25T05:00",  # 06:00, after seven hours
            "2026-10-25T01:30",
            id="Berlin falls back",
        ),
        # Midnight of 2018-11-04 was 01:00 at once; in 2026 it is midnight.
        pytest.param(
            BusinessCalendar(time_zone="America/Sao_Paulo", hours=weekly("22:00-04:00", days=DAILY)),
            "2018-11-04T01:00",
            5,
            "2018-11-04T06:00",
            "2018-11-04T03:30",
            id="Sao Paulo sprang forward",
        ),
        pytest.param(
            BusinessCalendar(time_zone="America/Sao_Paulo", hours=weekly("22:00-04:00", days=DAILY)),
            "2026-11-01T01:00",
            5,
            "2026-11-01T06:00",
            "2026-11-01T03:30",
            id="Sao Paulo has given it up",
        ),
        # By half an hour: on at 02:00 of 2026-10-04, back at 02:00 of 2027-04-04.
        pytest.param(
            BusinessCalendar(time_zone="Australia/Lord_Howe", hours=weekly("00:00-04:00", days=DAILY)),
            "2026-10-03T13:30",
            3.5,
            "2026-10-03T17:00",
            "2026-10-03T15:15",
            id="Lord Howe springs forward",
        ),
        pytest.param(
            BusinessCalendar(time_zone="Australia/Lord_Howe", hours=weekly("00:00-04:00", days=DAILY)),
            "2027-04-03T13:00",
            4.5,
            "2027-04-03T17:30",
            "2027-04-03T15:15",
            id="Lord Howe falls back",
        ),
    ],
)
def test_warning_at_half_the_target_and_breach(
    calendar: BusinessCalendar, created: str, target: float, due: str, warned: str
) -> None:
    at = utc(created)
    clocks = planned(opened(at).clocks, at, in_business_time(target * HOUR, warn_at=0.5), calendar)
    assert (clocks.resolution.warn_at, clocks.resolution.due_at) == (utc(warned), utc(due))


def test_time_that_counts_the_calendar_does_not_ask_for_one() -> None:
    clocks = planned(opened(NOW).clocks, NOW, POLICY, OFFICE)
    assert clocks.resolution.due_at == after(20)
    assert clocks.resolution.policy is not None
    assert clocks.resolution.policy.calendar_version is None


def test_business_time_without_a_calendar_is_calendar_time() -> None:
    assert planned(opened(NOW).clocks, NOW, in_business_time(20 * HOUR), None).resolution.due_at == after(20)


def test_the_policy_that_applied_is_kept_with_its_version_and_its_calendars() -> None:
    policy = in_business_time(HOUR).model_copy(update={"version": 7})
    calendar = OFFICE.model_copy(update={"version": 3})
    applied = planned(opened(NOW).clocks, NOW, policy, calendar).resolution.policy
    assert applied is not None
    assert (applied.id, applied.name, applied.version, applied.calendar_version) == (policy.id, "Standard", 7, 3)


# Open ten hours, then waiting for three days.
WAITED = resumed(wait(planned(opened(NOW).clocks, NOW), after(10)).clocks, after(82)).clocks


@pytest.mark.parametrize(
    ("clocks", "now", "due", "warned"),
    [
        pytest.param(WAITED, 82, 84, 82, id="after it"),
        pytest.param(
            resumed(
                planned(wait(opened(NOW).clocks, after(10)).clocks, after(30), priority=Priority.HIGH),
                after(82),
            ).clocks,
            82,
            84,
            82,
            id="while it waited",
        ),
        pytest.param(WAITED, 83, 84, 82, id="an hour after it"),
    ],
)
def test_the_paused_time_stays_paused_when_the_priority_rises(
    clocks: Clocks, now: float, due: float, warned: float
) -> None:
    # High has twelve hours, of which ten are spent; the warning at 9 h 36 min is overdue.
    raised = planned(clocks, after(now), priority=Priority.HIGH).resolution
    assert (raised.due_at, raised.warn_at) == (after(due), after(warned))
    assert raised.paused == 72 * HOUR


def test_a_target_already_spent_falls_due_when_the_clock_last_began_to_run() -> None:
    raised = planned(WAITED, after(83), priority=Priority.URGENT)
    assert raised.resolution.due_at == after(82)
    events = rung(raised, after(83)).events
    assert kinds(events) == [ClockEventKind.WARN, ClockEventKind.BREACH]
    assert events[-1].late_by == HOUR


def test_in_a_single_stretch_it_falls_due_when_it_was_spent() -> None:
    raised = planned(planned(opened(NOW).clocks, NOW), after(10), priority=Priority.URGENT)
    assert raised.resolution.due_at == after(4)


def test_a_lower_priority_gives_time_back() -> None:
    clocks = planned(opened(NOW).clocks, NOW, priority=Priority.URGENT)
    lowered = planned(clocks, after(3), priority=Priority.NORMAL)
    assert lowered.resolution.due_at == after(20)
    assert planned(lowered, after(4), priority=Priority.LOW).resolution.due_at is None


def test_another_policy_keeps_the_time_already_spent() -> None:
    waited = planned(WAITED, after(82), promising({RESOLUTION: 30 * HOUR}))
    assert waited.resolution.due_at == after(82 + 20)


def test_an_edited_calendar_counts_the_time_already_spent_anew() -> None:
    policy = in_business_time(16 * HOUR)
    clocks = planned(opened(NOW).clocks, NOW, policy, OFFICE)
    assert clocks.resolution.due_at == utc("2026-11-24T17:00")
    mornings = OFFICE.model_copy(update={"hours": weekly("09:00-13:00"), "version": 2})
    edited = planned(clocks, utc("2026-11-24T12:00"), policy, mornings).resolution
    assert edited.due_at == utc("2026-11-26T13:00")  # four mornings from Monday on
    assert edited.policy is not None
    assert edited.policy.calendar_version == 2


def test_time_spent_follows_from_business_to_calendar_time() -> None:
    spent = planned(opened(NOW).clocks, NOW, in_business_time(10 * HOUR), OFFICE)
    assert spent.resolution.due_at == after(26)
    assert planned(spent, after(9), promising({RESOLUTION: 10 * HOUR})).resolution.due_at == after(10)


@pytest.mark.parametrize("policy", [None, POLICY.model_copy(update={"enabled": False})])
def test_without_a_policy_in_force_nothing_is_due_and_the_time_is_still_told(policy: SlaPolicy | None) -> None:
    found = plan(opened(NOW).clocks, policy, OFFICE, Priority.NORMAL, after(24))
    assert found.policy is None
    assert all((each.target, each.due_at, each.warn_at, each.missed_at) == (None,) * 4 for each in found.metrics)
    assert explain(found.of(RESOLUTION)) == "8 h of business time; no target"


def test_reopening_goes_on_from_what_was_spent() -> None:
    clocks = planned(resolved(planned(opened(NOW).clocks, NOW), after(15)).clocks, after(15))
    assert clocks.resolution.verdict is Verdict.MET
    again = planned(reopened(clocks, after(100)).clocks, after(100))
    assert (again.resolution.warn_at, again.resolution.due_at) == (after(101), after(105))
    assert again.first_response == clocks.first_response


@pytest.mark.parametrize(
    ("ended", "missed"),
    [
        pytest.param("2026-11-23T17:00", None, id="at the close of the day it was due by"),
        pytest.param("2026-11-23T17:00:00.000001", "2026-11-23T17:00", id="an instant later, though nobody works"),
    ],
)
def test_a_target_runs_out_with_the_working_day(ended: str, missed: str | None) -> None:
    clocks = resolved(opened(NOW).clocks, utc(ended)).clocks
    judged = planned(clocks, utc(ended), in_business_time(8 * HOUR), OFFICE).resolution
    assert judged.missed_at == (utc(missed) if missed else None)


def test_a_pause_at_the_deadline_is_in_time_only_if_nothing_runs_after_it() -> None:
    at_the_deadline = wait(opened(NOW).clocks, after(20)).clocks
    done = resolved(at_the_deadline, after(30)).clocks
    assert planned(done, after(40)).resolution.missed_at is None
    gone_on = resolved(resumed(at_the_deadline, after(30)).clocks, after(31)).clocks
    assert planned(gone_on, after(40)).resolution.missed_at == after(20)


@pytest.mark.parametrize(
    ("target", "missed"),
    [
        pytest.param(51, None, id="it has not run out"),
        pytest.param(50, 99, id="it ran out after what is folded"),
        pytest.param(1, 34, id="it ran out in what is folded: told with the oldest stretch that is kept"),
    ],
)
def test_folded_time_counts_for_the_verdict(target: int, missed: float | None) -> None:
    clocks = opened(NOW).clocks
    for number in range(FOLD_OVER + 1):
        clocks = resumed(wait(clocks, after(2 * number + 1)).clocks, after(2 * number + 2)).clocks
    folded = planned(clocks, after(98), None)
    assert folded.resolution.folded == 17
    # 49 stretches of an hour, every other hour, and two hours more, whose plan is found only when they are over.
    again = resumed(wait(folded, after(98)).clocks, after(98)).clocks
    judged = planned(resolved(again, after(100)).clocks, after(100), promising({RESOLUTION: target * HOUR}))
    assert judged.resolution.missed_at == (None if missed is None else after(missed))


def test_a_clock_that_has_not_begun_promises_nothing() -> None:
    found = plan(opened(NOW).clocks, POLICY, None, Priority.NORMAL, after(1)).of(Metric.NEXT_RESPONSE)
    assert (found.target, found.due_at, found.spent) == (None, None, timedelta(0))


def test_a_calendar_that_cannot_be_worked_by_leaves_the_ticket_without_a_deadline_and_says_so() -> None:
    never = OFFICE.model_copy(update={"hours": ()})
    clocks = opened(NOW).clocks
    found = plan(clocks, in_business_time(HOUR), never, Priority.NORMAL, after(1))
    assert found.of(RESOLUTION).due_at is None
    assert explain(found.of(RESOLUTION)).endswith(
        "the target is 1 h. The calendar does not reach that much working time within 20 years."
    )
    unknown = OFFICE.model_copy(update={"time_zone": "Europe/Atlantis"})
    assert "no time zone 'Europe/Atlantis'" in explain(
        plan(clocks, in_business_time(HOUR), unknown, Priority.NORMAL, after(1)).of(RESOLUTION)
    )


def test_a_ticket_that_waits_a_hundred_times_stays_small_and_exact() -> None:
    policy, clocks, worked = in_business_time(2000 * HOUR), opened(NOW).clocks, timedelta(0)
    for day in range(100):
        # Daily it runs from 08:00 to 12:00: three hours of which are working time from Monday to Friday.
        morning = NOW - HOUR + timedelta(days=day)
        clocks = planned(resumed(clocks, morning).clocks, morning, policy, OFFICE)
        clocks = wait(clocks, morning + 4 * HOUR).clocks
        worked += 3 * HOUR if morning.weekday() < 5 else timedelta(0)
        assert len(clocks.resolution.spans) <= FOLD_OVER + 1
    found = plan(clocks, policy, OFFICE, Priority.NORMAL, NOW + timedelta(days=200)).of(RESOLUTION)
    assert found.spent == worked
    # On the first day it ran from 09:00.
    assert found.elapsed == 99 * 4 * HOUR + 3 * HOUR
    assert found.elapsed + found.paused == timedelta(days=200)


@pytest.mark.parametrize(
    ("target", "policy", "now", "words"),
    [
        (4, SlaTime.BUSINESS, 2 + 1 / 6, "2 h 10 min of business time; the target is 4 h"),
        (4, SlaTime.CALENDAR, 24, "24 h of calendar time; the target is 4 h, exceeded by 20 h"),
        (9, SlaTime.BUSINESS, 25.5, "9 h 30 min of business time; the target is 9 h, exceeded by 30 min"),
        (4, SlaTime.CALENDAR, 4, "4 h of calendar time; the target is 4 h"),
    ],
)
def test_the_arithmetic_in_words(target: float, policy: SlaTime, now: float, words: str) -> None:
    found = plan(
        opened(NOW).clocks, promising({RESOLUTION: target * HOUR}, counts=policy), OFFICE, Priority.LOW, after(now)
    )
    assert explain(found.of(RESOLUTION)) == words


def test_the_arithmetic_tells_the_pause_also_while_it_lasts() -> None:
    policy = in_business_time(4 * HOUR)
    paused = wait(opened(NOW).clocks, after(1)).clocks
    paused_for = timedelta(hours=1, minutes=2)
    words = "1 h of business time, paused 1 h 02 min; the target is 4 h"
    during = plan(paused, policy, OFFICE, Priority.LOW, after(1) + paused_for)
    since = plan(resumed(paused, after(1) + paused_for).clocks, policy, OFFICE, Priority.LOW, after(1) + paused_for)
    assert [explain(found.of(RESOLUTION)) for found in (during, since)] == [words, words]


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(0), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(seconds=60), "1 min"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=4), "4 h"),
        (timedelta(days=1, hours=2, minutes=5), "26 h 05 min"),
    ],
)
def test_a_length_in_words(length: timedelta, words: str) -> None:
    assert in_words(length) == words


def test_the_verdict_of_an_answer_given_before_any_plan() -> None:
    clocks = human_reply(opened(NOW).clocks, after(1) + INSTANT).clocks
    assert clocks.first_response.verdict is Verdict.NONE
    judged = rung(planned(clocks, after(2)), after(2))
    assert kinds(judged.events, FIRST_RESPONSE) == [ClockEventKind.BREACH]
    assert judged.events[0].due_at == after(1)


def test_planning_ten_thousand_due_times_stays_cheap() -> None:
    calendar = BusinessCalendar(
        time_zone="Europe/Berlin", hours=weekly("08:00-12:00", "13:30-18:00"), country="DE", subdivision="BE"
    )
    policy = promising({RESOLUTION: 40 * HOUR}, counts=SlaTime.BUSINESS)
    tickets = [
        opened(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=53 * number)).clocks for number in range(5000)
    ]
    plan(tickets[0], policy, calendar, Priority.NORMAL, NOW)  # the holidays package takes half a second to load
    began = process_time()  # of this process alone, whatever else the machine does
    found = [plan(clocks, policy, calendar, Priority.NORMAL, NOW).of(RESOLUTION) for clocks in tickets]
    took = process_time() - began
    # A warning and a breach each, with the time spent and the models around them.
    assert sum((each.due_at is not None) + (each.warn_at is not None) for each in found) == 10_000
    print(f"10,000 due times in {took:.3f} s: {took * 100:.0f} us each")
    assert took < 3  # five times what it takes; the arithmetic alone is held to a second with the calendar's tests
