"""Rules, priorities and tags that change while a ticket's clocks run."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

import pytest

from domain.calendar import BusinessCalendar, OwnDate, Weekday, WeeklyHours
from domain.clocks import Metric, Verdict
from domain.ladders import Notify, RaisePriority, Reassign, Target
from domain.priority import Priority
from domain.sla import SlaTime
from domain.ticket import Status, Ticket
from tests.workflows.acts import edit, left, of_the_sla, reply
from tests.workflows.rules import Rules, step

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRST_RESPONSE, RESOLUTION = Metric.FIRST_RESPONSE, Metric.RESOLUTION
SUPERVISORS = Notify(targets=(Target.SUPERVISORS,))

EVERY_HOUR = BusinessCalendar(
    time_zone="UTC", hours=tuple(WeeklyHours(day=day, opens=time(0), closes=time(0)) for day in Weekday)
)


async def test_policy_switched_off_ends_warnings_breaches_and_ladders(rules: Rules) -> None:
    ladder = await rules.ladder(step(timedelta(0), SUPERVISORS), step(HOUR, RaisePriority()))
    policy = await rules.policy({FIRST_RESPONSE: 10 * HOUR, RESOLUTION: 40 * HOUR}, escalation_ladder_id=ladder)
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(10.5 * HOUR)
    before = ["sla_warning", "sla_breached", "ladder_step"]
    assert [kind for kind, _ in await of_the_sla(life)] == before
    await rules.switch(policy, on=False)
    assert (await rules.roll_out()).told == 1
    ticket = await life.let_pass(60 * HOUR)
    assert [kind for kind, _ in await of_the_sla(life)] == before
    assert (ticket.clocks.resolution.due_at, ticket.breached, (await life.live()).timers) == (None, True, ())

    await rules.switch(policy, on=True)
    await rules.roll_out()
    await life.let_pass(2 * HOUR)
    # What was still to come is told now; the first response has had its breach and its ladder.
    after = (await of_the_sla(life))[len(before) :]
    assert after[:3] == [("sla_warning", "resolution"), ("sla_breached", "resolution"), ("ladder_step", "resolution")]
    assert {metric for _, metric in after} == {"resolution"}


async def test_edited_policy_is_for_new_tickets_until_it_is_applied_to_running_ones(rules: Rules) -> None:
    policy = await rules.policy({FIRST_RESPONSE: 10 * HOUR})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(9 * HOUR)
    promised = (await life.settled()).clocks.first_response
    await rules.edit(policy, {FIRST_RESPONSE: 15 * HOUR})
    assert (await rules.roll_out()).told == 0
    later = await (await rules.office.ticket()).settled()
    assert (await life.settled()).clocks.first_response == promised
    assert (later.clocks.first_response.target, _version(later)) == (15 * HOUR, 2)

    await rules.edit(policy, {FIRST_RESPONSE: 20 * HOUR}, applied=True)
    assert (await rules.roll_out()).told == 2
    applied = await life.settled()
    assert (left(applied.clocks.first_response, await life.now()), _version(applied)) == (11 * HOUR, 3)
    await life.let_pass(12 * HOUR)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]  # warned once, at 8 h
    told = Counter(await life.told())
    assert (told["Ana", "sla_warning"], told["Ana", "sla_breached"]) == (1, 1)


def _version(ticket: Ticket) -> int:
    policy = ticket.clocks.first_response.policy
    assert policy is not None
    return policy.version


async def test_applied_target_that_is_used_up_is_overdue_at_once(rules: Rules) -> None:
    policy = await rules.policy({FIRST_RESPONSE: 10 * HOUR})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(5 * HOUR)
    await rules.edit(policy, {FIRST_RESPONSE: HOUR}, applied=True)
    await rules.roll_out()
    ticket = await life.let_pass(MINUTE)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]
    breach = (await life.events())[-1]
    assert breach.about["late_seconds"] == pytest.approx(4 * 3600, abs=60)
    await rules.edit(policy, {FIRST_RESPONSE: 10 * HOUR}, applied=True)
    await rules.roll_out()
    ticket = await life.let_pass(DAY)
    assert ticket.clocks.first_response.verdict is Verdict.BREACHED  # a breach is not taken back, nor told again
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]


async def test_edited_calendar_counts_the_time_that_is_left_anew(rules: Rules) -> None:
    calendar = await rules.calendar(EVERY_HOUR)
    await rules.policy({RESOLUTION: 100 * HOUR}, counts=SlaTime.BUSINESS)
    life = await rules.office.ticket(assignee="Ana")
    due_at = (await life.settled()).clocks.resolution.due_at
    assert due_at is not None
    await life.let_pass(81 * HOUR)
    for closed in (1, 2):
        days = [
            OwnDate(date=(datetime.now(UTC) + number * DAY).date(), name="Closed") for number in range(1, closed + 1)
        ]
        await rules.edit_calendar(calendar, EVERY_HOUR.model_copy(update={"dates": tuple(days)}))
        assert (await rules.roll_out()).told == 1
        clock = (await life.settled()).clocks.resolution
        assert (clock.due_at, clock.policy and clock.policy.calendar_version) == (due_at + closed * DAY, closed + 1)
    await life.let_pass(21 * HOUR + 2 * DAY)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]  # warned once, at 80 h


@pytest.mark.parametrize(
    ("conditions", "fields", "back"),
    [
        pytest.param({"tags": ["vip"]}, {"tags": ["invoice", "vip"]}, {"tags": ["invoice"]}, id="tags"),
        pytest.param({"priorities": ["urgent"]}, {"priority": "urgent"}, {"priority": "normal"}, id="priority"),
    ],
)
async def test_ticket_that_comes_to_match_another_policy_keeps_the_time_spent(
    rules: Rules, conditions: Mapping[str, object], fields: Mapping[str, object], back: Mapping[str, object]
) -> None:
    await rules.policy({RESOLUTION: 10 * HOUR}, name="Important", conditions=conditions)
    await rules.policy({RESOLUTION: 40 * HOUR}, name="Others", position=2)
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(8.5 * HOUR)
    clock = (await edit(life, **fields)).clocks.resolution
    assert (clock.policy and clock.policy.name, left(clock, await life.now())) == ("Important", 1.5 * HOUR)
    await life.let_pass(MINUTE)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning"]
    clock = (await edit(life, **back)).clocks.resolution
    assert (clock.policy and clock.policy.name, left(clock, await life.now())) == ("Others", 31.5 * HOUR - MINUTE)
    await life.let_pass(32 * HOUR)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]


async def test_raised_and_lowered_priority_moves_the_deadline_and_repeats_no_notice(rules: Rules) -> None:
    hours = {Priority.LOW: 40, Priority.NORMAL: 20, Priority.HIGH: 12, Priority.URGENT: 4}
    await rules.policy({RESOLUTION: {priority: many * HOUR for priority, many in hours.items()}})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(2 * HOUR)
    for priority in (Priority.HIGH, Priority.LOW, Priority.URGENT, Priority.NORMAL):
        clock = (await edit(life, priority=priority)).clocks.resolution
        assert left(clock, await life.now()) == (hours[priority] - 2) * HOUR
    await edit(life, priority=Priority.URGENT)
    await life.let_pass(1.5 * HOUR)  # warned: 80 % of 4 h
    for priority in (Priority.NORMAL, Priority.URGENT, Priority.LOW, Priority.NORMAL):
        await edit(life, priority=priority)
    await life.let_pass(20 * HOUR)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]


async def test_ladder_that_is_climbed_stays_as_it_began(rules: Rules) -> None:
    ladder = await rules.ladder(step(HOUR, SUPERVISORS), step(HOUR, RaisePriority()))
    policy = await rules.policy({FIRST_RESPONSE: HOUR}, escalation_ladder_id=ladder)
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(1.5 * HOUR)
    await rules.edit_ladder(ladder, step(timedelta(0), Reassign()))
    other = await rules.ladder(step(timedelta(0), Reassign()))
    await rules.edit(policy, {FIRST_RESPONSE: HOUR}, applied=True, escalation_ladder_id=other)
    await rules.roll_out()
    ticket = await life.let_pass(DAY)
    assert (ticket.assignee_name, ticket.priority) == ("Ana", Priority.HIGH)


async def test_rollout_reaches_every_running_ticket_page_by_page(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.rollout.PAGE", 2)
    policy = await rules.policy({RESOLUTION: 10 * HOUR})
    lives = [await rules.office.ticket() for _ in range(6)]
    await lives[0].move(Status.RESOLVED)
    await lives[0].move(Status.CLOSED)
    await asyncio.gather(*(life.settled() for life in lives))
    await rules.edit(policy, {RESOLUTION: 20 * HOUR}, applied=True)
    progress = await rules.roll_out()
    assert (progress.examined, progress.told) == (5, 5)
    for life in lives[1:]:
        ticket = await life.settled()
        assert ticket.clocks.resolution.target == 20 * HOUR
        assert (await life.story()).count("policy_changed") == 1
    assert "policy_changed" not in await lives[0].story()
    assert (await rules.roll_out()).told == 0  # nothing differs any more


async def test_rollout_passes_over_a_ticket_whose_workflow_is_gone(rules: Rules) -> None:
    policy = await rules.policy({RESOLUTION: 10 * HOUR})
    gone, life = [await rules.office.ticket() for _ in range(2)]
    await gone.handle.terminate()
    await rules.switch(policy, on=False)
    assert (await rules.roll_out()).examined == 2
    assert (await life.settled()).clocks.resolution.target is None


async def test_answered_metric_keeps_the_target_it_was_judged_by(rules: Rules) -> None:
    policy = await rules.policy({FIRST_RESPONSE: 10 * HOUR, RESOLUTION: 20 * HOUR})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(5 * HOUR)
    await reply(life)
    await rules.edit(policy, {FIRST_RESPONSE: HOUR, RESOLUTION: 30 * HOUR}, applied=True)
    await rules.roll_out()
    clocks = (await life.settled()).clocks
    assert (clocks.first_response.target, clocks.first_response.verdict) == (10 * HOUR, Verdict.MET)
    assert clocks.resolution.target == 30 * HOUR
