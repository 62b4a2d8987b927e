from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

import pytest

from domain import escalation_lifecycle as lifecycle
from domain.errors import ClaimedByAnother, DomainError, EscalationOver, NotClaimed, VersionMismatch
from domain.escalation import (
    ESCALATION_TRANSITIONS,
    LIVE,
    MOST_REASONS,
    Escalation,
    EscalationStatus,
)
from domain.escalation_commands import (
    AttachTicket,
    Dismiss,
    EscalationCommand,
    HandBack,
    PresenceChanged,
    Raise,
    Released,
    Resolve,
    Spoken,
)
from domain.escalation_story import ChangeKind
from domain.ids import escalation_id
from domain.ladders import Target
from domain.priority import Priority
from domain.ticket import Source
from tests.unit.escalations import ANA, BEN, MINUTE, NOW, TEAM, claim, claimed, conversation, queued, reason

LATER = NOW + 7 * MINUTE


def resolved() -> Escalation:
    return lifecycle.decide(claimed(), Resolve(request_id="r", actor=ANA), LATER).escalation


def dismissed() -> Escalation:
    return lifecycle.decide(queued(), Dismiss(request_id="d", actor=ANA), LATER).escalation


MAKE: dict[EscalationStatus, Callable[[], Escalation]] = {
    EscalationStatus.QUEUED: queued,
    EscalationStatus.CLAIMED: claimed,
    EscalationStatus.RESOLVED: resolved,
    EscalationStatus.DISMISSED: dismissed,
}
COMMANDS: dict[str, tuple[EscalationCommand, EscalationStatus]] = {
    "claim": (claim(BEN), EscalationStatus.CLAIMED),
    "hand back": (HandBack(request_id="h", actor=ANA), EscalationStatus.QUEUED),
    "resolve": (Resolve(request_id="r", actor=ANA), EscalationStatus.RESOLVED),
    "dismiss": (Dismiss(request_id="d", actor=ANA), EscalationStatus.DISMISSED),
}


@pytest.mark.parametrize("status", EscalationStatus)
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_are_refused_exactly_where_the_table_has_no_move(status: EscalationStatus, name: str) -> None:
    escalation = MAKE[status]()
    assert escalation.status is status
    command, target = COMMANDS[name]
    if target in ESCALATION_TRANSITIONS[status]:
        lifecycle.check(escalation, command)
        after = lifecycle.decide(escalation, command, LATER).escalation
        assert after.version == escalation.version + 1
        assert after.status is (EscalationStatus.RESOLVED if name == "hand back" else target)
    else:
        with pytest.raises(DomainError):
            lifecycle.check(escalation, command)


def test_live_are_those_that_can_go_on() -> None:
    assert set(LIVE) == {EscalationStatus.QUEUED, EscalationStatus.CLAIMED}


def test_an_escalation_is_known_by_its_first_reason_and_tells_its_team() -> None:
    raising = Raise(reason=reason(priority=Priority.HIGH), team_id=TEAM)
    story = lifecycle.begin(conversation(), raising, NOW)
    assert story.escalation.id == escalation_id(raising.reason.id)
    assert (story.escalation.status, story.escalation.priority) == (EscalationStatus.QUEUED, Priority.HIGH)
    (change,) = story.events
    assert (change.kind, change.request_id, change.reasons) == (
        ChangeKind.RAISED,
        str(raising.reason.id),
        (raising.reason,),
    )
    assert [notice.targets for notice in change.notices] == [(Target.TEAM,)]


def test_one_without_a_team_tells_supervisors() -> None:
    story = lifecycle.begin(conversation(), Raise(reason=reason()), NOW)
    assert story.events[0].notices[0].targets == (Target.SUPERVISORS,)


def test_further_reasons_raise_the_priority_and_tell_those_they_name_by_the_same_key() -> None:
    escalation = queued()
    member = uuid4()
    raising = Raise(reason=reason(Source.RULE, priority=Priority.URGENT), notify_member_ids=(member,))
    story = lifecycle.added(escalation, raising, LATER)
    assert story.escalation.priority is Priority.URGENT
    assert [each.source for each in story.escalation.reasons] == [Source.ASSISTANT, Source.RULE]
    (notice,) = story.events[0].notices
    assert (notice.key, notice.member_ids, notice.targets) == ("raised:1", (member,), ())


def test_a_reason_that_names_nobody_tells_nobody_again() -> None:
    assert lifecycle.added(queued(), Raise(reason=reason()), LATER).events[0].notices == ()


def test_a_lower_priority_changes_nothing() -> None:
    escalation = queued(priority=Priority.HIGH)
    story = lifecycle.added(escalation, Raise(reason=reason(priority=Priority.LOW)), LATER)
    assert story.escalation.priority is Priority.HIGH


def test_a_team_that_is_found_later_begins_its_own_ladder_and_is_told() -> None:
    story = lifecycle.added(queued(team_id=None), Raise(reason=reason(), team_id=TEAM), LATER)
    after = story.escalation
    assert (after.team_id, after.climb, after.queued_at) == (TEAM, None, LATER)
    assert story.events[0].notices[0].targets == (Target.TEAM,)


def test_a_team_stays() -> None:
    story = lifecycle.added(queued(), Raise(reason=reason(), team_id=uuid4()), LATER)
    assert (story.escalation.team_id, story.escalation.climb) == (TEAM, queued().climb)


def test_only_so_many_reasons_are_carried_along() -> None:
    escalation = queued()
    for _ in range(MOST_REASONS + 4):
        escalation = lifecycle.added(escalation, Raise(reason=reason()), LATER).escalation
    assert (len(escalation.reasons), escalation.further_reasons) == (MOST_REASONS, 5)


def test_the_second_to_claim_is_told_who_has_it() -> None:
    with pytest.raises(ClaimedByAnother) as refusal:
        lifecycle.check(claimed(ANA), claim(BEN))
    assert refusal.value.context == {"owner_id": str(ANA.id), "owner_name": "Ana"}


def test_claiming_what_one_has_changes_nothing() -> None:
    escalation = claimed(ANA)
    lifecycle.check(escalation, claim(ANA, "again"))
    assert lifecycle.decide(escalation, claim(ANA, "again"), LATER).events == []


def test_only_who_has_it_hands_it_back_unless_forced() -> None:
    with pytest.raises(ClaimedByAnother):
        lifecycle.check(claimed(ANA), HandBack(request_id="h", actor=BEN))
    lifecycle.check(claimed(ANA), HandBack(request_id="h", actor=BEN, forced=True))
    with pytest.raises(NotClaimed):
        lifecycle.check(queued(), HandBack(request_id="h", actor=ANA))


def test_a_takeover_makes_a_claimed_escalation_and_tells_nobody() -> None:
    command = claim(ANA).model_copy(update={"raising": Raise(reason=reason(Source.TAKEOVER, by="Ana"), actor=ANA)})
    story = lifecycle.begin_claimed(conversation(), command, NOW)
    assert [change.kind for change in story.events] == [ChangeKind.RAISED, ChangeKind.CLAIMED]
    assert [change.version for change in story.events] == [1, 2]
    assert all(change.notices == () for change in story.events)
    assert story.events[0].request_id == "claim"
    after = story.escalation
    assert (after.status, after.owner_id, after.first_claimed_at) == (EscalationStatus.CLAIMED, ANA.id, NOW)
    assert [each.source for each in after.reasons] == [Source.TAKEOVER]


def test_commands_for_another_version_are_refused() -> None:
    with pytest.raises(VersionMismatch):
        lifecycle.check(queued(), Resolve(request_id="r", actor=ANA, if_version=9))


def test_a_ticket_is_attached_to_live_ones_once() -> None:
    command = AttachTicket(request_id="t", actor=ANA, ticket_id=uuid4(), ticket_number=3)
    story = lifecycle.decide(queued(), command, LATER)
    assert (story.escalation.ticket_id, story.events[0].about["ticket_number"]) == (command.ticket_id, 3)
    assert lifecycle.decide(story.escalation, command, LATER).events == []
    with pytest.raises(EscalationOver):
        lifecycle.check(dismissed(), command)


@pytest.mark.parametrize(
    ("before", "fact", "after"),
    [
        # the customer writes for the first time, then again
        ((None, None), (NOW, None), (NOW, None)),
        ((NOW, None), (LATER, None), (NOW, None)),
        # an answer ends the waiting; the report that was sent before it comes late and changes nothing
        ((NOW, None), (None, LATER), (None, LATER)),
        ((None, LATER), (NOW, None), (None, LATER)),
        # the customer writes after the answer
        ((None, NOW), (LATER, NOW), (LATER, NOW)),
        # an older answer is known already
        ((LATER, NOW), (None, NOW - MINUTE), (LATER, NOW)),
    ],
)
def test_reports_of_what_was_said_only_move_on(
    before: tuple[datetime | None, datetime | None],
    fact: tuple[datetime | None, datetime | None],
    after: tuple[datetime | None, datetime | None],
) -> None:
    escalation = queued().model_copy(update={"waiting_since": before[0], "answered_at": before[1]})
    told = Spoken(waiting_since=fact[0], answered_at=fact[1])
    story = lifecycle.spoken(escalation, told, LATER)
    assert (story.escalation.waiting_since, story.escalation.answered_at) == after
    assert bool(story.events) == (before != after)
    assert lifecycle.spoken(story.escalation, told, LATER).events == []


def test_only_the_owners_presence_counts() -> None:
    gone = PresenceChanged(member_id=BEN.id or uuid4(), absent_since=LATER)
    assert lifecycle.presence_changed(claimed(ANA), gone, LATER).events == []
    assert lifecycle.presence_changed(claimed(BEN), gone, LATER).escalation.absent_since == LATER
    assert lifecycle.presence_changed(queued(), gone, LATER).events == []


def test_what_a_removed_member_has_goes_back_and_begins_anew() -> None:
    assert ANA.id is not None
    story = lifecycle.released(claimed(ANA), Released(member_id=ANA.id, request_id="left"), LATER)
    after = story.escalation
    assert (after.status, after.owner_id, after.stay, after.queued_at) == (EscalationStatus.QUEUED, None, 2, LATER)
    assert (after.climb, after.first_claimed_at) == (None, NOW)
    (notice,) = story.events[0].notices
    assert (notice.key, notice.targets, notice.member_ids) == ("returned:2", (Target.TEAM,), (ANA.id,))
    assert lifecycle.released(claimed(BEN), Released(member_id=ANA.id, request_id="left"), LATER).events == []


def test_silence_counts_from_the_claim_or_the_first_unanswered_message() -> None:
    escalation = claimed(at=NOW)
    assert escalation.silent_since == NOW
    answered = lifecycle.spoken(escalation, Spoken(answered_at=LATER), LATER).escalation
    assert answered.silent_since is None
    asked = lifecycle.spoken(answered, Spoken(answered_at=LATER, waiting_since=LATER + MINUTE), LATER).escalation
    assert asked.silent_since == LATER + MINUTE
    assert queued().silent_since is None
