"""What commands and facts make of an escalation: pure decisions, each an ``EscalationStory``."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from domain.errors import ClaimedByAnother, EscalationOver, VersionMismatch
from domain.escalation import MOST_REASONS, Escalation, EscalationStatus, check_move
from domain.escalation_commands import (
    AttachTicket,
    Claim,
    Dismiss,
    EscalationCommand,
    HandBack,
    PresenceChanged,
    Raise,
    Released,
    Resolve,
    Spoken,
)
from domain.escalation_story import ChangeKind, EscalationStory, QueueNotice
from domain.events import SYSTEM, NoticeKind
from domain.ids import escalation_id
from domain.ladders import Frozen, Target
from domain.priority import Priority
from domain.ticket import ChannelKind

REMOVED = "The member was removed."
SILENT = "The customer was left waiting."
ABSENT = "Whoever had it went offline."

_TARGET = {
    Claim: EscalationStatus.CLAIMED,
    HandBack: EscalationStatus.QUEUED,  # as a return does, it takes a claimed one
    Resolve: EscalationStatus.RESOLVED,
    Dismiss: EscalationStatus.DISMISSED,
}


class Raised(Frozen):
    """The conversation an escalation is made of, as it is at that moment."""

    organization_id: UUID
    conversation_id: UUID
    requester_id: UUID
    channel: ChannelKind = ChannelKind.API
    ticket_id: UUID | None = None
    spoken: Spoken = Spoken()


def begin(of: Raised, raising: Raise, now: datetime) -> EscalationStory:
    """A new escalation, queued; its team is told."""
    reason = raising.reason
    escalation = Escalation(
        id=escalation_id(reason.id),
        organization_id=of.organization_id,
        conversation_id=of.conversation_id,
        requester_id=of.requester_id,
        channel=of.channel,
        team_id=raising.team_id,
        ticket_id=raising.ticket_id or of.ticket_id,
        priority=reason.priority or Priority.NORMAL,
        raised_at=now,
        updated_at=now,
        status_since=now,
        queued_at=now,
        waiting_since=of.spoken.waiting_since,
        answered_at=of.spoken.answered_at,
    )
    story = EscalationStory(escalation, now, raising.actor, raising.request_id)
    notices = [_notice_of(escalation, raising, team=True)]
    story.tell(ChangeKind.RAISED, why=reason.words, reasons=[reason], notices=notices, changes={"reasons": (reason,)})
    return story


def begin_claimed(of: Raised, command: Claim, now: datetime) -> EscalationStory:
    """A new escalation that a member made by taking the conversation over; nobody has to be told."""
    raising = command.raising
    assert raising is not None
    reason = raising.reason
    story = begin(of, raising, now)
    told = EscalationStory(
        story.escalation.model_copy(update={"version": 0}), now, command.actor, command.request_id, command.fingerprint
    )
    told.tell(ChangeKind.RAISED, why=reason.words, reasons=[reason])
    _claim(told, command)
    return told


def added(escalation: Escalation, raising: Raise, now: datetime) -> EscalationStory:
    """One more reason: the priority may rise, a team may be found; whoever it names is told if not told yet."""
    reason = raising.reason
    story = EscalationStory(escalation, now, raising.actor, raising.request_id)
    changes: dict[str, object] = {}
    if len(escalation.reasons) < MOST_REASONS:
        changes["reasons"] = (*escalation.reasons, reason)
    else:
        changes["further_reasons"] = escalation.further_reasons + 1
    if reason.priority and reason.priority.rank > escalation.priority.rank:
        changes["priority"] = reason.priority
    finds_team = escalation.team_id is None and raising.team_id is not None
    if finds_team:
        changes["team_id"] = raising.team_id
        if escalation.status is EscalationStatus.QUEUED:  # the ladder is another one from here on
            changes |= {"climb": None, "queued_at": now}
    if escalation.ticket_id is None and raising.ticket_id is not None:
        changes["ticket_id"] = raising.ticket_id
    team = finds_team and escalation.status is EscalationStatus.QUEUED
    notice = _notice_of(escalation, raising, team=team)
    named = notice.targets or notice.team_ids or notice.member_ids
    story.tell(
        ChangeKind.REASON_ADDED,
        why=reason.words,
        reasons=[reason],
        notices=[notice] if named else [],
        changes=changes,
    )
    return story


def check(escalation: Escalation, command: EscalationCommand) -> None:
    """Refuse what cannot be done as things stand; also what was meant for an escalation before this one."""
    if command.escalation_id not in (None, escalation.id):
        raise EscalationOver("The escalation has ended, and another one is live.", escalation_id=str(escalation.id))
    if command.if_version is not None and command.if_version != escalation.version:
        raise VersionMismatch(
            f"The escalation is at version {escalation.version}, not {command.if_version}.", version=escalation.version
        )
    if isinstance(command, Claim) and escalation.status is EscalationStatus.CLAIMED:
        if escalation.owner_id != command.member_id:
            raise _claimed_by_another(escalation)
        return
    if isinstance(command, AttachTicket):
        if not escalation.is_live:
            raise EscalationOver(f"The escalation is {escalation.status} already.", current=escalation.status.value)
        return
    check_move(escalation.status, _TARGET[type(command)])
    if isinstance(command, HandBack) and not command.forced and command.actor.member_id != escalation.owner_id:
        raise _claimed_by_another(escalation)


def decide(escalation: Escalation, command: EscalationCommand, now: datetime) -> EscalationStory:
    """What a command makes of the escalation, which ``check`` has allowed it; without changes where all is so already.

    Notes of members stay in Postgres, so ``why`` has none of them.
    """
    story = EscalationStory(escalation, now, command.actor, command.request_id, command.fingerprint)
    if isinstance(command, Claim):
        if escalation.owner_id != command.member_id:
            _claim(story, command)
    elif isinstance(command, AttachTicket):
        if escalation.ticket_id != command.ticket_id:
            story.tell(
                ChangeKind.TICKET_ATTACHED,
                about={"ticket_id": str(command.ticket_id), "ticket_number": command.ticket_number},
                changes={"ticket_id": command.ticket_id},
            )
    elif isinstance(command, Dismiss):
        _end(story, ChangeKind.DISMISSED, EscalationStatus.DISMISSED)
    elif isinstance(command, HandBack):
        _end(story, ChangeKind.HANDED_BACK, EscalationStatus.RESOLVED)
    else:
        _end(story, ChangeKind.RESOLVED, EscalationStatus.RESOLVED)
    return story


def acknowledged(escalation: Escalation, command: EscalationCommand, now: datetime) -> EscalationStory:
    """Put on record that a command found all as it asks for: an earlier try of it may still come, after the end."""
    story = EscalationStory(escalation, now, command.actor, command.request_id, command.fingerprint)
    story.tell(ChangeKind.UNCHANGED)
    return story


def spoken(escalation: Escalation, fact: Spoken, now: datetime) -> EscalationStory:
    """The customer wrote, or a person answered; without changes where that was known."""
    story = EscalationStory(escalation, now, SYSTEM)
    news = spoken_changes(escalation, fact)
    if news:
        about = {"waiting_since": news["waiting_since"].isoformat() if news["waiting_since"] else None}
        story.tell(ChangeKind.WAITING_CHANGED, about=about, changes=news)
    return story


def spoken_changes(escalation: Escalation, fact: Spoken) -> Mapping[str, datetime | None]:
    """What the conversation's times change of the escalation's: later answers win, then earlier messages."""
    if not escalation.is_live:
        return {}
    before, after = escalation.answered_at, fact.answered_at
    if before is not None and (after is None or after < before):
        return {}
    waiting = fact.waiting_since
    if after == before and escalation.waiting_since is not None:
        waiting = min(waiting or escalation.waiting_since, escalation.waiting_since)
    if (waiting, after) == (escalation.waiting_since, before):
        return {}
    return {"waiting_since": waiting, "answered_at": after}


def presence_changed(escalation: Escalation, fact: PresenceChanged, now: datetime) -> EscalationStory:
    """Whoever has the conversation went offline or came back; without changes for anybody else."""
    story = EscalationStory(escalation, now, SYSTEM)
    mine = escalation.status is EscalationStatus.CLAIMED and escalation.owner_id == fact.member_id
    if mine and (fact.absent_since is None) != (escalation.absent_since is None):
        about = {"absent_since": fact.absent_since.isoformat() if fact.absent_since else None}
        story.tell(ChangeKind.PRESENCE_CHANGED, about=about, changes={"absent_since": fact.absent_since})
    return story


def released(escalation: Escalation, fact: Released, now: datetime) -> EscalationStory:
    """A member was removed; what they have goes back to the queue."""
    story = EscalationStory(escalation, now, SYSTEM, fact.request_id)
    if escalation.status is EscalationStatus.CLAIMED and escalation.owner_id == fact.member_id:
        give_back(story, REMOVED)
    return story


def give_back(story: EscalationStory, why: str) -> None:
    """Put a claimed escalation back into its queue; the team and who had it are told, and the ladder begins again."""
    before = story.escalation
    check_move(before.status, EscalationStatus.QUEUED)
    stay = before.stay + 1
    notices = [
        QueueNotice(
            key=f"returned:{stay}",
            kind=NoticeKind.ESCALATION_RAISED,
            why=f"A conversation came back to the queue. {why}",
            targets=(_whole_team(before),),
            member_ids=(before.owner_id,) if before.owner_id else (),
        )
    ]
    story.tell(
        ChangeKind.RETURNED,
        why=why,
        about={"owner_id": str(before.owner_id), "owner_name": before.owner_name},
        notices=notices,
        changes={
            "status": EscalationStatus.QUEUED,
            "status_since": story.now,
            "queued_at": story.now,
            "stay": stay,
            **_NOBODY,
        },
    )


_NOBODY: Mapping[str, object] = {
    "owner_id": None,
    "owner_name": None,
    "claimed_at": None,
    "silence_limit": None,
    "absent_since": None,
    "climb": None,
}


def _claim(story: EscalationStory, command: Claim) -> None:
    story.tell(
        ChangeKind.CLAIMED,
        about={"owner_id": str(command.member_id), "owner_name": command.member_name},
        changes={
            **_NOBODY,
            "status": EscalationStatus.CLAIMED,
            "status_since": story.now,
            "owner_id": command.member_id,
            "owner_name": command.member_name,
            "claimed_at": story.now,
            "first_claimed_at": story.escalation.first_claimed_at or story.now,
        },
    )


def _end(story: EscalationStory, kind: ChangeKind, status: EscalationStatus) -> None:
    """Whoever had it stays named, so that lists say whose it was."""
    changes = {
        "status": status,
        "status_since": story.now,
        "closed_at": story.now,
        "climb": None,
        "silence_limit": None,
        "absent_since": None,
    }
    story.tell(kind, changes=changes)


def _notice_of(escalation: Escalation, raising: Raise, *, team: bool) -> QueueNotice:
    """The one notice of this stay in the queue, whichever reason brings it: who has had it gets no other."""
    return QueueNotice(
        key=f"raised:{escalation.stay}",
        kind=NoticeKind.ESCALATION_RAISED,
        why=raising.reason.words,
        targets=(_whole_team(escalation, raising.team_id),) if team else (),
        team_ids=raising.notify_team_ids,
        member_ids=raising.notify_member_ids,
    )


def _whole_team(escalation: Escalation, team_id: UUID | None = None) -> Target:
    """Whose queue it is in; one without a team is its supervisors' business."""
    return Target.TEAM if escalation.team_id or team_id else Target.SUPERVISORS


def _claimed_by_another(escalation: Escalation) -> ClaimedByAnother:
    return ClaimedByAnother(
        f"{escalation.owner_name or 'Another member'} has the conversation.",
        owner_id=str(escalation.owner_id),
        owner_name=escalation.owner_name,
    )
