"""What an escalation waits for: its timers, what each does when it comes due, and the terms they are set by."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import JsonValue

from domain.escalation import Climb, Escalation, EscalationStatus
from domain.escalation_commands import Spoken
from domain.escalation_lifecycle import ABSENT, SILENT, give_back, spoken_changes
from domain.escalation_story import ChangeKind, EscalationStory, QueueNotice
from domain.events import SYSTEM, NoticeKind
from domain.ladders import EscalationLadder, Frozen, LadderAction, Notify, RaisePriority, Successor, Target

UNCLAIMED = "Nobody has taken the conversation."


class EscalationTimerKind(StrEnum):
    """What a timer is for."""

    LADDER = "ladder"
    SILENCE = "silence"
    ABSENCE = "absence"


class EscalationTimer(Frozen):
    """Something that will happen by itself at ``due_at``; ``summary`` says it in words."""

    kind: EscalationTimerKind
    due_at: datetime
    summary: str


class Look(Frozen):
    """What Postgres says just before an owner is taken an escalation from: facts whose signals may have got lost."""

    spoken: Spoken = Spoken()
    absent: bool = False


def escalation_timers(escalation: Escalation) -> list[EscalationTimer]:
    """Everything the escalation waits for, the earliest first; one that has ended waits for nothing."""
    found = []
    if escalation.status is EscalationStatus.QUEUED and escalation.climb and escalation.climb.due_at:
        found.append(
            EscalationTimer(
                kind=EscalationTimerKind.LADDER,
                due_at=escalation.climb.due_at,
                summary=f"Unclaimed: {step_in_words(escalation.climb)}",
            )
        )
    if escalation.status is EscalationStatus.CLAIMED and escalation.silence_limit is not None:
        limit, back = escalation.silence_limit, "Back to the queue"
        if escalation.silent_since:
            silent = EscalationTimerKind.SILENCE
            found.append(
                EscalationTimer(
                    kind=silent, due_at=escalation.silent_since + limit, summary=f"{back}: the customer is left waiting"
                )
            )
        if escalation.absent_since:
            absent = EscalationTimerKind.ABSENCE
            found.append(
                EscalationTimer(
                    kind=absent, due_at=escalation.absent_since + limit, summary=f"{back}: its owner is offline"
                )
            )
    return sorted(found, key=lambda timer: (timer.due_at, timer.kind))


def fire(escalation: Escalation, timer: EscalationTimer, now: datetime, look: Look | None = None) -> EscalationStory:
    """What the timer does; without changes when the escalation no longer waits for it.

    A timer that gives an escalation back needs a ``look``. Between due and now somebody may have acted: the timer is
    looked up again, so a claim in the same instant wins if it came first.
    """
    story = EscalationStory(escalation, now, SYSTEM)
    if timer not in escalation_timers(escalation) or timer.due_at > now:
        return story
    if timer.kind is EscalationTimerKind.LADDER:
        _climb(story, timer)
        return story
    look = look or Look()
    news = spoken_changes(escalation, look.spoken)
    came_back = timer.kind is EscalationTimerKind.ABSENCE and not look.absent
    if news or came_back:
        changes = {**news, **({"absent_since": None} if came_back else {})}
        story.tell(ChangeKind.WAITING_CHANGED if news else ChangeKind.PRESENCE_CHANGED, changes=changes)
        still = [each for each in escalation_timers(story.escalation) if each.kind is timer.kind]
        if not still or still[0].due_at > now:
            return story
    give_back(story, SILENT if timer.kind is EscalationTimerKind.SILENCE else ABSENT)
    return story


def step_in_words(climb: Climb) -> str:
    """What the ladder's current step does."""
    words = []
    for action in climb.run.current.actions:
        if isinstance(action, RaisePriority):
            words.append("raise the priority")
        else:
            named = ", ".join(target.value for target in _targets(action))
            words.append(f"notify {named or 'members'}")
    return " and ".join(words)


def receivers_of_step(climb: Climb) -> tuple[tuple[Target, ...], tuple[UUID, ...]]:
    """Whom the ladder's current step tells: targets, and members by name."""
    targets: list[Target] = []
    members: list[UUID] = []
    for action in climb.run.current.actions:
        targets += _targets(action)
        members += action.member_ids if isinstance(action, Notify) else ()
    return tuple(dict.fromkeys(targets)), tuple(dict.fromkeys(members))


def _climb(story: EscalationStory, timer: EscalationTimer) -> None:
    """One step of the ladder: every action of it, told as one change."""
    escalation, climb = story.escalation, story.escalation.climb
    assert climb is not None
    targets, members = receivers_of_step(climb)
    if escalation.team_id is None:  # nobody's queue in particular
        targets = tuple(dict.fromkeys(Target.SUPERVISORS if each is Target.TEAM else each for each in targets))
    changes: dict[str, object] = {"climb": climb.advanced(story.now)}
    for action in climb.run.current.actions:
        if isinstance(action, RaisePriority):
            changes["priority"] = escalation.priority.raised()
    notices = []
    if targets or members:
        notices.append(
            QueueNotice(
                key=f"ladder:{escalation.stay}:{escalation.queued_at.isoformat()}:{climb.run.position}",
                kind=NoticeKind.ESCALATION_RAISED,
                why=UNCLAIMED,
                targets=targets,
                member_ids=members,
            )
        )
    late = round((story.now - timer.due_at).total_seconds(), 3)
    about: dict[str, JsonValue] = {
        "ladder": climb.run.ladder.name,
        "step": climb.run.position,
        "due_at": timer.due_at.isoformat(),
        "late_seconds": late,
    }
    story.tell(ChangeKind.LADDER_STEP, why=UNCLAIMED, about=about, notices=notices, changes=changes)


def _targets(action: LadderAction) -> tuple[Target, ...]:
    """Whom an action tells. Nobody has a queued escalation, so where a ladder hands over, it tells who would get it."""
    if isinstance(action, Notify):
        return action.targets
    if isinstance(action, RaisePriority):
        return ()
    return (Target.SUPERVISORS if action.to is Successor.SUPERVISOR else Target.TEAM,)


class EscalationTerms(Frozen):
    """What the read model's writer found for an escalation; ``None`` where not asked for.

    ``ladder`` is that of the queue of ``team_id``, for the given ``stay``. ``due_at`` is when the current step is
    due in working time. ``spoken`` are the conversation's times, which come with every record.
    """

    ladder: EscalationLadder | None = None
    business: bool = False
    team_id: UUID | None = None
    stay: int = 0
    due_at: datetime | None = None
    silence_limit: timedelta | None = None
    spoken: Spoken | None = None


class EscalationWants(Frozen):
    """Which terms an escalation has to know before its next timers can be set."""

    ladder: bool = False
    due_at: bool = False
    silence_limit: bool = False


def wanted(escalation: Escalation) -> EscalationWants:
    """What is still to be set for the escalation as it stands."""
    queued = escalation.status is EscalationStatus.QUEUED
    return EscalationWants(
        ladder=queued and escalation.climb is None,
        due_at=queued and escalation.climb is not None and not escalation.climb.planned,
        silence_limit=escalation.status is EscalationStatus.CLAIMED and escalation.silence_limit is None,
    )


def adopt(escalation: Escalation, terms: EscalationTerms) -> Escalation:
    """The escalation with its ladder begun, counted from when it was queued, and its limit set. Safe to repeat.

    Terms found for an older state change nothing that has ended since. The conversation's times are not taken on here:
    they make a change of their own.
    """
    need = wanted(escalation)
    changes: dict[str, object] = {}
    own = (terms.team_id, terms.stay) == (escalation.team_id, escalation.stay)  # it may be another queue by now
    if need.ladder and terms.ladder and own:
        climb = Climb.begin(terms.ladder, escalation.stay, escalation.queued_at, business=terms.business)
        if climb.business and terms.due_at:
            climb = climb.with_due(terms.due_at)
        changes["climb"] = climb
    if need.due_at and terms.due_at and terms.ladder is None and escalation.climb:
        changes["climb"] = escalation.climb.with_due(terms.due_at)
    if need.silence_limit and terms.silence_limit is not None:
        changes["silence_limit"] = terms.silence_limit
    return escalation.model_copy(update=changes) if changes else escalation
