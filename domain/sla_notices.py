"""Who is told that a metric's time is running out, or has run out."""

from collections.abc import Iterable

from domain.clocks import ClockEvent, ClockEventKind, ClockState, Metric
from domain.deadlines import escalating
from domain.events import Notice, NoticeKind
from domain.ladders import Target
from domain.ticket import Ticket

METRIC_WORDS = {
    Metric.FIRST_RESPONSE: "The first response",
    Metric.NEXT_RESPONSE: "The next response",
    Metric.RESOLUTION: "The resolution",
}


def overdue(metric: Metric) -> str:
    """Why somebody is told of a breach."""
    return f"{METRIC_WORDS[metric]} is overdue."


def due_soon(metric: Metric) -> str:
    """Why somebody is warned."""
    return f"{METRIC_WORDS[metric]} is due soon."


def sla_notices(ticket: Ticket, events: Iterable[ClockEvent]) -> list[Notice]:
    """What follows from clock events for ``ticket`` as they left it; nothing where nobody can act on it any more.

    So an answer that comes after the deadline, and before the timer that a stopped worker owed, wakes
    nobody; but a breach found when the ticket begins to wait does.
    """
    found = []
    for event in events:
        if event.kind is ClockEventKind.BREACH and event.metric in escalating(ticket.clocks):
            found.append(_notice(ticket, event, "breach", NoticeKind.SLA_BREACHED, overdue(event.metric)))
        elif event.kind is ClockEventKind.WARN and ticket.clocks.of(event.metric).state is ClockState.RUNNING:
            found.append(_notice(ticket, event, "warning", NoticeKind.SLA_WARNING, due_soon(event.metric)))
    return found


def _notice(ticket: Ticket, event: ClockEvent, word: str, kind: NoticeKind, why: str) -> Notice:
    targets = [Target.ASSIGNEE if ticket.assignee_id else Target.TEAM]
    policy = ticket.clocks.of(event.metric).policy
    if kind is NoticeKind.SLA_BREACHED and not (policy and policy.escalation_ladder_id):
        targets.append(Target.SUPERVISORS)  # with a ladder, its steps say who is told
    targets.append(Target.WATCHERS)
    return Notice(key=f"{word}:{event.metric}:{event.episode}", kind=kind, why=why, targets=tuple(targets))
