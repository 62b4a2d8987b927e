from datetime import timedelta

import pytest

from domain import escalation_lifecycle as lifecycle
from domain.escalation import QUEUE_LADDER, Escalation, EscalationStatus
from domain.escalation_commands import PresenceChanged, Released, Spoken
from domain.escalation_story import ChangeKind
from domain.escalation_timers import (
    EscalationTerms,
    EscalationTimerKind,
    Look,
    adopt,
    escalation_timers,
    fire,
    wanted,
)
from domain.ladders import EscalationLadder, LadderStep, Notify, RaisePriority, Reassign, Successor, Target
from domain.priority import Priority
from tests.unit.escalations import ANA, MINUTE, NOW, TEAM, claim, claimed, queued

LIMIT = timedelta(minutes=30)


def climb(escalation: Escalation, steps: int) -> tuple[Escalation, list[tuple[float, tuple[Target, ...]]]]:
    """Let timers ring on time; minutes after ``NOW``, and whom each told."""
    told = []
    for _ in range(steps):
        (timer,) = escalation_timers(escalation)
        story = fire(escalation, timer, timer.due_at)
        told.append(((timer.due_at - NOW) / MINUTE, story.events[0].notices[0].targets))
        escalation = story.escalation
    return escalation, told


def test_the_queue_ladder_tells_team_and_supervisors_and_repeats_twice() -> None:
    escalation, told = climb(queued(), 6)
    team, supervisors = (Target.TEAM,), (Target.SUPERVISORS,)
    assert told == [(5, team), (15, supervisors), (20, team), (30, supervisors), (35, team), (45, supervisors)]
    assert escalation_timers(escalation) == []
    assert escalation.status is EscalationStatus.QUEUED


def test_each_step_is_told_by_a_key_of_its_own() -> None:
    escalation, keys = queued(), set()
    for _ in range(6):
        story = fire(escalation, escalation_timers(escalation)[0], NOW + timedelta(days=1))
        keys |= {notice.key for notice in story.events[0].notices}
        escalation = story.escalation
    assert len(keys) == 6


def test_steps_missed_in_an_outage_follow_at_once_and_say_how_late_they_are() -> None:
    escalation, late = queued(), []
    now = NOW + timedelta(hours=2)
    while (timers := escalation_timers(escalation)) and timers[0].due_at <= now:
        story = fire(escalation, timers[0], now)
        late.append(story.events[0].about["late_seconds"])
        escalation = story.escalation
    assert late == [(120 - due) * 60 for due in (5, 15, 20, 30, 35, 45)]


def test_a_claim_between_two_steps_ends_the_ladder() -> None:
    escalation, _ = climb(queued(), 1)
    (timer,) = escalation_timers(escalation)
    after = lifecycle.decide(escalation, claim(), NOW + 6 * MINUTE).escalation
    assert after.climb is None
    assert fire(after, timer, timer.due_at).events == []  # it was due in the same instant, and came second


def test_without_a_team_its_steps_tell_supervisors() -> None:
    _, told = climb(queued(team_id=None), 2)
    assert [targets for _, targets in told] == [(Target.SUPERVISORS,), (Target.SUPERVISORS,)]


def test_a_ladder_raises_the_priority_and_tells_who_would_be_given_it() -> None:
    step = LadderStep(wait=MINUTE, actions=(RaisePriority(), Reassign(to=Successor.SUPERVISOR)))
    escalation, told = climb(queued(ladder=EscalationLadder(name="Louder", steps=(step,))), 1)
    assert (escalation.priority, told) == (Priority.HIGH, [(1, (Target.SUPERVISORS,))])


def test_waits_in_working_time_are_due_when_somebody_with_calendars_says_so() -> None:
    escalation = lifecycle.decide(queued(), claim(), NOW).escalation
    back = lifecycle.released(escalation, _gone(), NOW).escalation
    assert wanted(back).ladder
    monday = NOW + timedelta(days=3)
    terms = EscalationTerms(ladder=QUEUE_LADDER, business=True, team_id=TEAM, stay=2, due_at=monday)
    begun = adopt(back, terms)
    assert [timer.due_at for timer in escalation_timers(begun)] == [monday]
    climbed = fire(begun, escalation_timers(begun)[0], monday).escalation
    assert escalation_timers(climbed) == []
    assert wanted(climbed).due_at
    assert climbed.climb is not None
    assert climbed.climb.since == monday
    planned = adopt(climbed, EscalationTerms(due_at=monday + timedelta(hours=20)))
    assert [timer.due_at for timer in escalation_timers(planned)] == [monday + timedelta(hours=20)]
    assert adopt(planned, EscalationTerms(due_at=monday)) == planned


@pytest.mark.parametrize("terms", [{"team_id": None, "stay": 2}, {"team_id": TEAM, "stay": 1}])
def test_a_ladder_found_for_another_queue_is_not_climbed(terms: dict[str, object]) -> None:
    back = lifecycle.released(claimed(), _gone(), NOW).escalation
    found = EscalationTerms.model_validate({"ladder": QUEUE_LADDER, **terms})
    assert adopt(back, found).climb is None
    assert adopt(back, EscalationTerms(ladder=QUEUE_LADDER, team_id=TEAM, stay=2)).climb is not None


def test_an_owner_who_leaves_the_customer_waiting_loses_the_conversation() -> None:
    escalation = claimed(limit=LIMIT)
    (timer,) = escalation_timers(escalation)
    assert (timer.kind, timer.due_at) == (EscalationTimerKind.SILENCE, NOW + LIMIT)
    look = Look(spoken=Spoken(waiting_since=escalation.waiting_since))
    story = fire(escalation, timer, timer.due_at, look)
    assert [change.kind for change in story.events] == [ChangeKind.RETURNED]
    assert (story.escalation.status, story.escalation.owner_id) == (EscalationStatus.QUEUED, None)


def test_an_answer_whose_signal_got_lost_keeps_the_conversation() -> None:
    escalation = claimed(limit=LIMIT)
    (timer,) = escalation_timers(escalation)
    story = fire(escalation, timer, timer.due_at, Look(spoken=Spoken(answered_at=NOW + MINUTE)))
    assert [change.kind for change in story.events] == [ChangeKind.WAITING_CHANGED]
    assert (story.escalation.status, escalation_timers(story.escalation)) == (EscalationStatus.CLAIMED, [])


def test_an_owner_who_went_offline_loses_the_conversation_unless_they_came_back() -> None:
    assert ANA.id is not None
    answered = lifecycle.spoken(claimed(limit=LIMIT), Spoken(answered_at=NOW + MINUTE), NOW + MINUTE).escalation
    gone = PresenceChanged(member_id=ANA.id, absent_since=NOW + 2 * MINUTE)
    escalation = lifecycle.presence_changed(answered, gone, NOW + 2 * MINUTE).escalation
    (timer,) = escalation_timers(escalation)
    assert (timer.kind, timer.due_at) == (EscalationTimerKind.ABSENCE, NOW + 2 * MINUTE + LIMIT)
    spoken = Spoken(answered_at=NOW + MINUTE)
    back = fire(escalation, timer, timer.due_at, Look(spoken=spoken, absent=False))
    assert (back.escalation.status, back.escalation.absent_since) == (EscalationStatus.CLAIMED, None)
    lost = fire(escalation, timer, timer.due_at, Look(spoken=spoken, absent=True))
    assert (lost.escalation.status, lost.events[-1].why) == (EscalationStatus.QUEUED, lifecycle.ABSENT)


def test_nobody_is_timed_before_the_limit_is_known() -> None:
    assert wanted(lifecycle.decide(queued(), claim(), NOW).escalation).silence_limit
    assert escalation_timers(lifecycle.decide(queued(), claim(), NOW).escalation) == []


def test_a_notify_step_names_members_too() -> None:
    ladder = EscalationLadder(name="One", steps=(LadderStep(wait=MINUTE, actions=(Notify(member_ids=(TEAM,)),)),))
    escalation = queued(ladder=ladder)
    (timer,) = escalation_timers(escalation)
    (notice,) = fire(escalation, timer, timer.due_at).events[0].notices
    assert (notice.targets, notice.member_ids, timer.summary) == ((), (TEAM,), "Unclaimed: notify members")


def _gone() -> Released:
    assert ANA.id is not None
    return Released(member_id=ANA.id, request_id="left")
