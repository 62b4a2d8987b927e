"""What a ticket waits for: its timers, and what each does when it comes due."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import JsonValue

from domain import deadlines
from domain.clocks import ClockEventKind, Metric
from domain.deadlines import Deadline
from domain.events import SYSTEM, CustomerMessage, CustomerMessageKind, EventKind, Notice, NoticeKind
from domain.ladders import Frozen, LadderRun, Notify, RaisePriority, Reassign, ReminderAction, Successor, Target
from domain.lifecycle import move
from domain.sla_notices import METRIC_WORDS, due_soon, overdue
from domain.story import Story
from domain.ticket import Status, Ticket, WaitingRun


class TimerKind(StrEnum):
    """What a timer is for."""

    REMINDER = "reminder"
    AUTO_RESOLVE = "auto_resolve"
    AUTO_CLOSE = "auto_close"
    ACKNOWLEDGEMENT = "acknowledgement"
    SLA_WARNING = "sla_warning"
    SLA_BREACH = "sla_breach"
    SLA_LADDER = "sla_ladder"


_ORDER = (
    TimerKind.SLA_WARNING,
    TimerKind.SLA_BREACH,
    TimerKind.SLA_LADDER,
    TimerKind.ACKNOWLEDGEMENT,
    TimerKind.REMINDER,
    TimerKind.AUTO_RESOLVE,
    TimerKind.AUTO_CLOSE,
)
"""What comes first of things due in the same instant."""

_UNACKNOWLEDGED = "The ticket was assigned and not taken up in time."


class Timer(Frozen):
    """Something that will happen by itself at ``due_at``; ``summary`` says it in words."""

    kind: TimerKind
    due_at: datetime
    summary: str
    metric: Metric | None = None
    """Whose warning, breach or ladder it is."""
    successor: Successor | None = None
    """Who has to be found before the timer can act."""


class Choice(Frozen):
    """The answer to "who is next?": nobody, when nobody is free to take the ticket."""

    member_id: UUID | None = None
    name: str | None = None


def timers(ticket: Ticket) -> list[Timer]:
    """Everything the ticket waits for, the earliest first; a closed ticket waits for nothing."""
    if ticket.status is Status.CLOSED:
        return []
    found = [_deadline_timer(deadline) for deadline in deadlines.deadlines(ticket.clocks)]
    run = ticket.reminders
    if run and run.current and run.due_at:
        found.append(_reminder_timer(run, run.due_at))
    if ticket.auto_close_at and ticket.status is Status.RESOLVED:
        found.append(Timer(kind=TimerKind.AUTO_CLOSE, due_at=ticket.auto_close_at, summary="Close the ticket"))
    ladder = ticket.acknowledgement
    if ladder and ladder.due_at:
        found.append(
            Timer(
                kind=TimerKind.ACKNOWLEDGEMENT,
                due_at=ladder.due_at,
                summary=f"Not acknowledged: {_step_in_words(ladder)}",
                successor=ladder.current.successor,
            )
        )
    for breached in ticket.breach_ladders:
        climbed = breached.run
        if climbed and climbed.due_at:
            found.append(
                Timer(
                    kind=TimerKind.SLA_LADDER,
                    due_at=climbed.due_at,
                    summary=f"{METRIC_WORDS[breached.metric]} breached: {_step_in_words(climbed)}",
                    metric=breached.metric,
                    successor=climbed.current.successor,
                )
            )
    return sorted(found, key=lambda timer: (timer.due_at, _ORDER.index(timer.kind)))


def run_of(ticket: Ticket, timer: Timer) -> LadderRun | None:
    """The ladder whose step a timer is."""
    if timer.kind is TimerKind.ACKNOWLEDGEMENT:
        return ticket.acknowledgement
    return next((ladder.run for ladder in ticket.breach_ladders if ladder.metric is timer.metric), None)


def fire(ticket: Ticket, timer: Timer, now: datetime, choice: Choice | None = None) -> Story:
    """What the timer does to the ticket; without events when the ticket no longer waits for it.

    A timer that names a ``successor`` needs a ``choice``. Between due and now somebody may have
    acted: the timer is looked up again, so an act in the same instant wins if it came first.
    """
    story = Story(ticket, now, SYSTEM)
    if timer not in timers(ticket) or timer.due_at > now:
        return story
    if timer.kind is TimerKind.AUTO_CLOSE:
        move(story, Status.CLOSED, "Resolved and left alone.")
    elif timer.kind in (TimerKind.ACKNOWLEDGEMENT, TimerKind.SLA_LADDER):
        _climb(story, timer, choice or Choice())
    elif timer.metric:
        _pass_deadline(story, timer, timer.metric)
    else:
        _remind(story, timer)
    return story


def lateness(timer: Timer, now: datetime) -> dict[str, JsonValue]:
    """When it was due and by how many seconds it is late, for the event."""
    return {"due_at": timer.due_at.isoformat(), "late_seconds": round((now - timer.due_at).total_seconds(), 3)}


def _reminder_timer(run: WaitingRun, due_at: datetime) -> Timer:
    if run.current and run.current.action is ReminderAction.RESOLVE:
        return Timer(
            kind=TimerKind.AUTO_RESOLVE, due_at=due_at, summary="Resolve the ticket: the customer has not answered"
        )
    reminders = sum(step.action is ReminderAction.REMIND for step in run.ladder.steps)
    return Timer(kind=TimerKind.REMINDER, due_at=due_at, summary=f"Remind the customer ({run.step + 1} of {reminders})")


def _remind(story: Story, timer: Timer) -> None:
    run = story.ticket.reminders
    assert run is not None
    if timer.kind is TimerKind.AUTO_RESOLVE:
        move(story, Status.RESOLVED, "The customer did not answer.")
        return
    story.tell(
        EventKind.REMINDER_SENT,
        reason="The customer has not answered.",
        about={"step": run.step + 1, "episode": run.episode, **lateness(timer, story.now)},
        notices=[
            Notice(
                key=f"reminder:{run.episode}:{run.step + 1}",
                kind=NoticeKind.REMINDER_SENT,
                why="A customer you wait for was reminded.",
                targets=(Target.ASSIGNEE,),
            )
        ],
        customer_messages=[
            CustomerMessage(key=f"reminder:{run.episode}:{run.step + 1}", kind=CustomerMessageKind.REMINDER)
        ],
        changes={"reminders": run.model_copy(update={"step": run.step + 1})},
    )


def _pass_deadline(story: Story, timer: Timer, metric: Metric) -> None:
    """A metric's warning or breach; the story tells whoever can still do something about it."""
    ticket, clock = story.ticket, story.ticket.clocks.of(metric)
    about: dict[str, JsonValue] = {"metric": metric.value, "episode": clock.episode, **lateness(timer, story.now)}
    if clock.policy:
        about |= {"policy": clock.policy.name, "policy_version": clock.policy.version}
    breached = timer.kind is TimerKind.SLA_BREACH
    story.tell(
        EventKind.SLA_BREACHED if breached else EventKind.SLA_WARNING,
        reason=overdue(metric) if breached else due_soon(metric),
        about=about,
        clocks=(deadlines.breach if breached else deadlines.warn)(ticket.clocks, metric, story.now),
    )


def _deadline_timer(deadline: Deadline) -> Timer:
    breach = deadline.kind is ClockEventKind.BREACH
    return Timer(
        kind=TimerKind.SLA_BREACH if breach else TimerKind.SLA_WARNING,
        due_at=deadline.at,
        summary=f"{METRIC_WORDS[deadline.metric]} is due" if breach else due_soon(deadline.metric),
        metric=deadline.metric,
    )


def _climb(story: Story, timer: Timer, choice: Choice) -> None:
    """One step of a ladder: every action of it, told as one event."""
    ticket, run = story.ticket, run_of(story.ticket, timer)
    assert run is not None
    what = timer.metric or "acknowledgement"
    key = f"{what}:{run.episode}:{run.position}"
    why = _UNACKNOWLEDGED if timer.metric is None else overdue(timer.metric)
    changes: dict[str, object] = {}
    notices: list[Notice] = []
    for action in run.current.actions:
        if isinstance(action, RaisePriority):
            changes["priority"] = ticket.priority.raised()
        elif isinstance(action, Notify):
            notices.append(
                Notice(
                    key=f"{key}:notify",
                    kind=NoticeKind.TICKET_ESCALATED,
                    why=why,
                    targets=action.targets,
                    member_ids=action.member_ids,
                )
            )
        elif isinstance(action, Reassign):
            notices += _handover(story, choice, key, why, changes)
    tried = (choice.member_id,) if choice.member_id and choice.member_id not in run.tried else ()
    handed_over = "assignee_id" in changes
    advanced = run.advanced(story.now, tried)
    if timer.metric is None:
        changes["acknowledgement"] = advanced
    else:
        changes["breach_ladders"] = tuple(
            ladder.model_copy(update={"run": advanced}) if ladder.metric is timer.metric else ladder
            for ladder in ticket.breach_ladders
        )
        if handed_over:
            changes["acknowledgement"] = None  # the new owner has the team's whole limit
    about: dict[str, JsonValue] = {"metric": timer.metric.value} if timer.metric else {}
    story.tell(
        EventKind.REASSIGNED if handed_over else EventKind.LADDER_STEP,
        reason=why,
        about={**about, "ladder": run.ladder.name, "step": run.position, **lateness(timer, story.now)},
        notices=notices,
        changes=changes,
    )


def _handover(story: Story, choice: Choice, key: str, why: str, changes: dict[str, object]) -> list[Notice]:
    """Add the new owner to ``changes`` and tell the old one, the new one and the supervisors."""
    ticket = story.ticket
    if choice.member_id is None or choice.member_id == ticket.assignee_id:
        return [
            Notice(
                key=f"{key}:nobody",
                kind=NoticeKind.TICKET_ESCALATED,
                why=f"{why} Nobody else could be given it.",
                targets=(Target.SUPERVISORS,),
            )
        ]
    changes |= {
        "assignee_id": choice.member_id,
        "assignee_name": choice.name,
        "assigned_at": story.now,
        "assignment_episode": ticket.assignment_episode + 1,
    }
    told = [
        Notice(key=f"{key}:gained", kind=NoticeKind.TICKET_ASSIGNED, why=why, member_ids=(choice.member_id,)),
    ]
    if ticket.assignee_id:
        told.append(
            Notice(key=f"{key}:lost", kind=NoticeKind.TICKET_REASSIGNED, why=why, member_ids=(ticket.assignee_id,))
        )
    told.append(
        Notice(key=f"{key}:supervisors", kind=NoticeKind.TICKET_REASSIGNED, why=why, targets=(Target.SUPERVISORS,))
    )
    return told


def _step_in_words(run: LadderRun) -> str:
    words = []
    for action in run.current.actions:
        if isinstance(action, Reassign):
            words.append(f"reassign to the {action.to.value.replace('_', ' ')}")
        elif isinstance(action, RaisePriority):
            words.append("raise the priority")
        elif isinstance(action, Notify):
            words.append("notify " + (", ".join(target.value for target in action.targets) or "members"))
    return " and ".join(words)
