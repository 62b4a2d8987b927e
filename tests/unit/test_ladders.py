from datetime import timedelta

import pytest
from pydantic import ValidationError

from domain.errors import InvalidLadder
from domain.ladders import (
    DEFAULT_REMINDERS,
    LONGEST_WAIT,
    MAX_STEPS,
    EscalationLadder,
    LadderRun,
    LadderStep,
    Notify,
    RaisePriority,
    Reassign,
    ReminderAction,
    ReminderLadder,
    ReminderStep,
    Successor,
    Target,
    acknowledgement_ladder,
)
from tests.unit.tickets import NOW, named

HOUR = timedelta(hours=1)
NOTIFY = Notify(targets=(Target.SUPERVISORS,))


def reminders(*steps: tuple[timedelta, ReminderAction]) -> ReminderLadder:
    return ReminderLadder(name="Ours", steps=tuple(ReminderStep(after=after, action=action) for after, action in steps))


def escalation(*steps: LadderStep, repeat: int = 0) -> EscalationLadder:
    return EscalationLadder(name="Ours", steps=steps, repeat=repeat)


REMIND, RESOLVE = ReminderAction.REMIND, ReminderAction.RESOLVE


def test_default_reminders_are_those_of_the_contract() -> None:
    assert [(step.after.days, step.action) for step in DEFAULT_REMINDERS.checked().steps] == [
        (1, REMIND),
        (3, REMIND),
        (7, RESOLVE),
    ]


@pytest.mark.parametrize(
    "ladder",
    [
        reminders((HOUR, REMIND)),  # reminds once and never gives up
        reminders((HOUR, RESOLVE)),  # gives up without a reminder
        reminders((LONGEST_WAIT, REMIND)),
        reminders(*((n * HOUR, REMIND) for n in range(1, MAX_STEPS + 1))),
    ],
)
def test_reminder_ladder_that_can_run_is_accepted(ladder: ReminderLadder) -> None:
    assert ladder.checked() is ladder


@pytest.mark.parametrize(
    ("ladder", "step"),
    [
        (reminders(), None),
        (reminders(*((n * HOUR, REMIND) for n in range(1, MAX_STEPS + 2))), None),
        (reminders((timedelta(0), REMIND)), 1),  # at once
        (reminders((-HOUR, REMIND)), 1),  # before it began
        (reminders((HOUR, REMIND), (HOUR, RESOLVE)), 2),  # two steps at one moment
        (reminders((2 * HOUR, REMIND), (HOUR, RESOLVE)), 2),  # back in time
        (reminders((HOUR, RESOLVE), (2 * HOUR, REMIND)), 1),  # reminds after it has resolved
        (reminders((LONGEST_WAIT + HOUR, REMIND)), 1),
    ],
)
def test_reminder_ladder_that_cannot_run_is_refused_at_its_step(ladder: ReminderLadder, step: int | None) -> None:
    with pytest.raises(InvalidLadder) as refusal:
        ladder.checked()
    assert refusal.value.context.get("step") == step


@pytest.mark.parametrize(
    "ladder",
    [
        acknowledgement_ladder(HOUR),
        escalation(LadderStep(wait=timedelta(0), actions=(NOTIFY,))),  # acts at once
        escalation(LadderStep(wait=HOUR, actions=(NOTIFY, RaisePriority(), Reassign())), repeat=MAX_STEPS),
    ],
)
def test_escalation_ladder_that_can_run_is_accepted(ladder: EscalationLadder) -> None:
    assert ladder.checked() is ladder


@pytest.mark.parametrize(
    ("ladder", "step"),
    [
        (escalation(), None),
        (escalation(*(LadderStep(wait=HOUR, actions=(NOTIFY,)) for _ in range(MAX_STEPS + 1))), None),
        (escalation(LadderStep(wait=HOUR, actions=())), 1),
        (escalation(LadderStep(wait=HOUR, actions=(NOTIFY,)), LadderStep(wait=-HOUR, actions=(NOTIFY,))), 2),
        (escalation(LadderStep(wait=LONGEST_WAIT + HOUR, actions=(NOTIFY,))), 1),
        (escalation(LadderStep(wait=HOUR, actions=(Reassign(), Reassign(to=Successor.SUPERVISOR)))), 1),
        (escalation(LadderStep(wait=HOUR, actions=(NOTIFY,)), repeat=-1), None),
        (escalation(LadderStep(wait=HOUR, actions=(NOTIFY,)), repeat=MAX_STEPS + 1), None),
        (escalation(LadderStep(wait=timedelta(0), actions=(NOTIFY,)), repeat=1), None),  # would spin
    ],
)
def test_escalation_ladder_that_cannot_run_is_refused_at_its_step(ladder: EscalationLadder, step: int | None) -> None:
    with pytest.raises(InvalidLadder) as refusal:
        ladder.checked()
    assert refusal.value.context.get("step") == step


def test_ladders_are_kept_and_read_again_as_json() -> None:
    ladder = escalation(LadderStep(wait=HOUR, actions=(NOTIFY, RaisePriority(), Reassign(to=Successor.SUPERVISOR))))
    assert EscalationLadder.model_validate(ladder.model_dump(mode="json")) == ladder
    with pytest.raises(ValidationError):
        EscalationLadder.model_validate({**ladder.model_dump(mode="json"), "unknown": 1})


def test_step_names_who_has_to_be_found() -> None:
    assert LadderStep(wait=HOUR, actions=(NOTIFY, Reassign(to=Successor.SUPERVISOR))).successor is Successor.SUPERVISOR
    assert LadderStep(wait=HOUR, actions=(NOTIFY,)).successor is None


# Climbing

CALLS = escalation(
    LadderStep(wait=HOUR, actions=(NOTIFY,)), LadderStep(wait=2 * HOUR, actions=(RaisePriority(),)), repeat=1
)


def test_run_visits_every_step_of_every_round_and_ends() -> None:
    run, seen = LadderRun.begin(CALLS, episode=1, at=NOW), []
    while run.due_at:
        seen.append((run.position, run.current.actions[0].kind, run.due_at - NOW))
        run = run.advanced(run.due_at)
    assert seen == [
        (1, "notify", HOUR),
        (2, "raise_priority", 3 * HOUR),
        (3, "notify", 4 * HOUR),
        (4, "raise_priority", 6 * HOUR),
    ]


def test_steps_missed_in_an_outage_follow_in_order_from_when_they_were_due() -> None:
    back_again = NOW + timedelta(days=1)
    run = LadderRun.begin(CALLS, episode=1, at=NOW).advanced(back_again)
    assert run.due_at == NOW + 3 * HOUR


def test_next_owner_has_the_whole_wait_from_the_moment_they_got_the_ticket() -> None:
    late = NOW + timedelta(days=1)
    run = LadderRun.begin(acknowledgement_ladder(HOUR), episode=1, at=NOW).advanced(late)
    assert run.due_at == late + HOUR


def test_run_remembers_who_had_a_turn() -> None:
    run = LadderRun.begin(acknowledgement_ladder(HOUR), 1, NOW, (named("Ana"),)).advanced(NOW, (named("Ben"),))
    assert run.tried == (named("Ana"), named("Ben"))
    assert run.current.successor is Successor.SUPERVISOR
    assert run.advanced(NOW).due_at is None
