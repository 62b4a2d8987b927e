import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from domain.clocks import ClockState, Metric, Verdict
from domain.commands import AgentReplied
from domain.ladders import Notify, RaisePriority, Reassign, Target
from domain.priority import Priority
from domain.ticket import Status
from tests.workflows.acts import ask, edit, left, note, of_the_sla, reply
from tests.workflows.life import Life
from tests.workflows.office import Office
from tests.workflows.rules import Rules, step

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
FIRST_RESPONSE, NEXT_RESPONSE, RESOLUTION = Metric.FIRST_RESPONSE, Metric.NEXT_RESPONSE, Metric.RESOLUTION


RACES = pytest.mark.parametrize(
    "races",
    [["act", "timer", "none", "none"], pytest.param(["act", "timer"] + ["none"] * 6, marks=pytest.mark.slow)],
    ids=len,
)
"""Who has a head start when an act and a timer meet in one instant: by turns each, then neither."""

SUPERVISORS = Notify(targets=(Target.SUPERVISORS,))


async def test_first_response_warns_breaches_and_climbs_its_ladder_to_the_end(rules: Rules) -> None:
    ladder = await rules.ladder(
        step(timedelta(0), SUPERVISORS), step(HOUR, RaisePriority()), step(HOUR, Reassign()), repeat=1
    )
    await rules.policy({FIRST_RESPONSE: 10 * HOUR}, escalation_ladder_id=ladder)
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(8 * HOUR - MINUTE)
    assert await of_the_sla(life) == []
    await life.let_pass(2 * MINUTE)
    assert await of_the_sla(life) == [("sla_warning", "first_response")]
    assert (await life.told())[1:] == [("Ana", "sla_warning")]
    ticket = await life.let_pass(2 * HOUR)
    assert ticket.breached
    assert (await of_the_sla(life))[1:] == [("sla_breached", "first_response"), ("ladder_step", "first_response")]
    assert (await life.told())[2:] == [("Ana", "sla_breached"), ("Sue", "ticket_escalated")]

    ticket = await life.let_pass(HOUR)
    assert (ticket.priority, ticket.assignee_name) == (Priority.HIGH, "Ana")
    ticket = await life.let_pass(HOUR)
    assert (ticket.priority, ticket.assignee_name) == (Priority.HIGH, "Ben")
    ticket = await life.let_pass(30 * DAY)
    assert (ticket.priority, ticket.assignee_name, ticket.status) == (Priority.URGENT, "Sue", Status.OPEN)
    assert [kind for kind, _ in await of_the_sla(life)][2:] == ["ladder_step", "ladder_step", "reassigned"] * 2
    assert (await life.live()).timers == ()


# What stops it


async def _resolve(life: Life) -> None:
    await life.move(Status.RESOLVED, "Ana")


@pytest.mark.parametrize(
    ("act", "of_act", "stops"),
    [
        pytest.param(reply, ["agent_replied", "start"], True, id="an answer"),
        pytest.param(_resolve, ["resolve", "close"], True, id="resolving"),
        pytest.param(note, ["note_added"], False, id="a note does not"),
        pytest.param(ask, ["customer_replied"], False, id="nor does the customer"),
        pytest.param(lambda life: life.move(Status.WAITING), ["wait"], False, id="nor does waiting"),
    ],
)
async def test_ladder_stops_with_the_act_that_fulfils_its_metric(
    rules: Rules, act: Callable[[Life], Awaitable[object]], of_act: list[str], stops: bool
) -> None:
    ladder = await rules.ladder(step(HOUR, SUPERVISORS), step(HOUR, RaisePriority()))
    await rules.policy({FIRST_RESPONSE: 10 * HOUR}, escalation_ladder_id=ladder)
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(11 * HOUR + MINUTE)
    await act(life)
    await life.let_pass(5 * DAY)
    first = ["created", "sla_warning", "sla_breached", "ladder_step"]
    story = [kind for kind in await life.story() if kind != "reminder_sent"]
    assert sorted(story) == sorted([*first, *of_act, *([] if stops else ["ladder_step"])])


async def test_answer_in_time_leaves_nothing_to_warn_of(rules: Rules) -> None:
    await rules.policy({FIRST_RESPONSE: 10 * HOUR, NEXT_RESPONSE: 5 * HOUR})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(7 * HOUR)
    await reply(life)
    for _ in range(2):
        await life.let_pass(DAY)
        await ask(life)
        await life.let_pass(3 * HOUR)
        await ask(life)  # again; the first message is the one that waits
        await life.let_pass(30 * MINUTE)
        await reply(life)
    ticket = await life.let_pass(30 * DAY)
    assert await of_the_sla(life) == []
    assert (ticket.clocks.first_response.verdict, ticket.clocks.next_response.verdict) == (Verdict.MET, Verdict.MET)
    assert ticket.clocks.next_response.episode == 2


async def test_each_unanswered_message_is_warned_of_and_breached_once(rules: Rules) -> None:
    await rules.policy({NEXT_RESPONSE: 5 * HOUR})
    life = await rules.office.ticket(assignee="Ana")
    await reply(life)
    for episode in (1, 2):
        await ask(life)
        ticket = await life.let_pass(DAY)
        assert await of_the_sla(life) == [("sla_warning", "next_response"), ("sla_breached", "next_response")] * episode
        assert ticket.breached
        assert not (await reply(life)).clocks.next_response.running_since
    assert not (await ask(life)).breached  # a new episode, and a new chance
    # Without a ladder the supervisor is told of a breach at once.
    told = Counter(await life.told())
    assert (told["Ana", "sla_warning"], told["Ana", "sla_breached"], told["Sue", "sla_breached"]) == (2, 2, 2)


@RACES
async def test_answer_in_the_instant_of_the_breach_is_in_time_or_late_and_the_ladder_agrees(
    rules: Rules, races: list[str]
) -> None:
    ladder = await rules.ladder(step(timedelta(0), SUPERVISORS), step(HOUR, SUPERVISORS))
    await rules.policy({FIRST_RESPONSE: HOUR}, warn_at=0.5, escalation_ladder_id=ladder)
    lives = [await rules.office.ticket(assignee="Ana") for _ in races]
    await asyncio.gather(
        *(_answer_at_the_breach(life, head_start) for life, head_start in zip(lives, races, strict=True))
    )
    for life, head_start in zip(lives, races, strict=True):
        ticket, kinds = await life.settled(), [kind for kind, _ in await of_the_sla(life)]
        verdict, told = ticket.clocks.first_response.verdict, Counter(kind for _, kind in await life.told())
        if verdict is Verdict.MET:
            assert (kinds, told["sla_breached"], told["ticket_escalated"]) == (["sla_warning"], 0, 0)
        else:
            assert kinds[:2] == ["sla_warning", "sla_breached"]
            assert kinds[2:] in ([], ["ladder_step"])
            assert (told["sla_breached"], told["ticket_escalated"]) == (1, len(kinds[2:]))
        assert verdict in {"act": (Verdict.MET,), "timer": (Verdict.BREACHED,)}.get(
            head_start, (Verdict.MET, Verdict.BREACHED)
        )
        assert ticket.clocks.first_response.state is ClockState.FULFILLED
        assert (await life.live()).timers == ()


async def _answer_at_the_breach(life: Life, head_start: str) -> None:
    """Answer at the very due time, told as the timer rings; one of the two may have a head start."""
    due_at = (await life.settled()).clocks.first_response.due_at
    assert due_at is not None
    answer = AgentReplied(message_id=uuid4(), at=due_at, actor=life.office.members["Ana"])
    await life.let_pass(due_at - MINUTE - await life.now())
    if head_start == "act":
        await life.tell(answer)
    passing = asyncio.create_task(life.let_pass(MINUTE))
    if head_start == "timer":
        await passing
    await life.tell(answer)
    await passing
    await life.let_pass(2 * HOUR)


# Waiting, resolving, reopening


async def test_paused_time_stays_paused_when_the_priority_is_raised(rules: Rules) -> None:
    await rules.policy({RESOLUTION: {Priority.NORMAL: 20 * HOUR, Priority.HIGH: 12 * HOUR}})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(10 * HOUR)
    await life.move(Status.WAITING)
    ticket = await life.let_pass(3 * DAY)
    assert (ticket.clocks.resolution.due_at, await of_the_sla(life)) == (None, [])
    await life.move(Status.IN_PROGRESS, "Ana")
    resumed = (await life.settled()).clocks.resolution
    now = await life.now()
    assert (left(resumed, now), MINUTE * round(resumed.paused / MINUTE)) == (10 * HOUR, 3 * DAY)
    raised = (await edit(life, priority=Priority.HIGH)).clocks.resolution
    assert (left(raised, now), raised.paused) == (2 * HOUR, resumed.paused)
    await life.let_pass(2 * HOUR - MINUTE)
    assert await of_the_sla(life) == [("sla_warning", "resolution")]  # 80 % of 12 h had passed
    await life.let_pass(2 * MINUTE)
    assert (await of_the_sla(life))[1:] == [("sla_breached", "resolution")]


async def test_priority_raised_while_waiting_counts_when_the_ticket_runs_again(rules: Rules) -> None:
    await rules.policy({RESOLUTION: {Priority.NORMAL: 20 * HOUR, Priority.URGENT: 4 * HOUR}})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(10 * HOUR)
    await life.move(Status.WAITING)
    await edit(life, priority=Priority.URGENT)
    await life.let_pass(12 * HOUR)
    assert await of_the_sla(life) == []  # nobody is to blame while the customer has it
    await life.move(Status.IN_PROGRESS, "Ana")
    await life.let_pass(MINUTE)
    assert await of_the_sla(life) == [("sla_warning", "resolution"), ("sla_breached", "resolution")]


@RACES
async def test_pause_in_the_instant_of_the_warning_leaves_one_warning_before_it_or_after_the_resume(
    rules: Rules, races: list[str]
) -> None:
    await rules.policy({RESOLUTION: 10 * HOUR})
    lives = [await rules.office.ticket(assignee="Ana") for _ in races]
    warned_before = await asyncio.gather(
        *(_pause_at_the_warning(life, at) for life, at in zip(lives, races, strict=True))
    )
    assert warned_before[:2] == [False, True]
    for life in lives:
        assert await of_the_sla(life) == [("sla_warning", "resolution")]
        assert Counter(await life.told())["Ana", "sla_warning"] == 1


async def _pause_at_the_warning(life: Life, head_start: str) -> bool:
    """Pause as the timer rings, resume, and pause again; whether the warning had come before the resume."""
    warn_at = (await life.settled()).clocks.resolution.warn_at
    assert warn_at is not None
    await life.let_pass(warn_at - MINUTE - await life.now())
    if head_start == "act":
        await life.submit(life.to(Status.WAITING))
    passing = asyncio.create_task(life.let_pass(MINUTE))
    if head_start == "timer":
        await passing
    if head_start != "act":
        await life.submit(life.to(Status.WAITING))
    await passing
    await life.let_pass(12 * HOUR)
    warned = bool(await of_the_sla(life))
    for _ in range(2):
        await life.move(Status.IN_PROGRESS, "Ana")
        await life.let_pass(30 * MINUTE)
        await life.move(Status.WAITING)
        await life.let_pass(12 * HOUR)
    return warned


async def test_reopened_ticket_goes_on_with_the_time_spent_and_owes_no_first_response(rules: Rules) -> None:
    await rules.policy({FIRST_RESPONSE: HOUR, RESOLUTION: 10 * HOUR})
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(30 * MINUTE)
    await reply(life)
    await life.let_pass(2 * HOUR + 30 * MINUTE)
    await life.move(Status.RESOLVED, "Ana")
    ticket = await life.let_pass(2 * DAY)
    assert (ticket.status, ticket.clocks.resolution.verdict) == (Status.RESOLVED, Verdict.MET)
    ticket = await ask(life)
    assert ticket.status is Status.OPEN
    assert left(ticket.clocks.resolution, await life.now()) == 7 * HOUR
    await life.let_pass(7 * HOUR + MINUTE)
    assert await of_the_sla(life) == [("sla_warning", "resolution"), ("sla_breached", "resolution")]


async def test_closed_ticket_that_is_reopened_goes_on_too(office: Office) -> None:
    await office.open()
    await Rules(office).policy({FIRST_RESPONSE: HOUR, RESOLUTION: 10 * HOUR})
    life = await office.ticket(assignee="Ana")
    await life.tell(AgentReplied(message_id=uuid4(), at=datetime.now(UTC), actor=office.members["Ana"]))
    await life.move(Status.RESOLVED, "Ana")
    await life.move(Status.CLOSED)
    before = (await life.settled()).clocks
    await life.reopen()
    after = (await life.settled()).clocks
    assert after.first_response == before.first_response
    (spent,) = after.resolution.spans
    assert (after.resolution.spans, after.resolution.episode) == (before.resolution.spans, 1)
    assert after.resolution.due_at
    assert after.resolution.running_since
    assert after.resolution.due_at == after.resolution.running_since + 10 * HOUR - (spent.end - spent.start)
