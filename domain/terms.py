"""The organization's rules as they apply to one ticket, and how a ticket takes them on."""

from datetime import timedelta

from domain.ladders import EscalationLadder, Frozen, LadderRun, ReminderLadder
from domain.ticket import Status, Ticket, WaitingRun


class Terms(Frozen):
    """What the read model's writer found in the organization's settings; ``None`` where not asked for or not set."""

    reminders: ReminderLadder | None = None
    acknowledgement: EscalationLadder | None = None
    auto_close_after: timedelta | None = None
    reopen_window: timedelta | None = None


class Wanted(Frozen):
    """Which terms a ticket has to know before its next timers can be set."""

    reminders: bool = False
    acknowledgement: bool = False
    auto_close: bool = False
    reopen_window: bool = False

    def __bool__(self) -> bool:
        return self.reminders or self.acknowledgement or self.auto_close or self.reopen_window


def wanted(ticket: Ticket) -> Wanted:
    """What is still to be set for the ticket as it stands."""
    return Wanted(
        reminders=ticket.status is Status.WAITING and ticket.reminders is None,
        acknowledgement=ticket.status is Status.OPEN
        and ticket.assignee_id is not None
        and ticket.acknowledgement is None,
        auto_close=ticket.status is Status.RESOLVED and ticket.auto_close_at is None,
        reopen_window=ticket.status is Status.CLOSED and ticket.reopen_until is None,
    )


def adopt(ticket: Ticket, terms: Terms) -> Ticket:
    """The ticket with its ladders and deadlines begun, each counted from the act that called for it.

    A ladder that runs already stays the one it began with. Terms found for an older state of the
    ticket change nothing that has ended since. Safe to repeat.
    """
    need = wanted(ticket)
    changes: dict[str, object] = {}
    if need.reminders and terms.reminders:
        changes["reminders"] = WaitingRun(
            ladder=terms.reminders, episode=ticket.waiting_episode, began_at=ticket.status_since
        )
    if need.acknowledgement and terms.acknowledgement and ticket.assignee_id and ticket.assigned_at:
        changes["acknowledgement"] = LadderRun.begin(
            terms.acknowledgement, ticket.assignment_episode, ticket.assigned_at, (ticket.assignee_id,)
        )
    if need.auto_close and terms.auto_close_after is not None and ticket.resolved_at:
        changes["auto_close_at"] = ticket.resolved_at + terms.auto_close_after
    if need.reopen_window and terms.reopen_window is not None and ticket.closed_at:
        changes["reopen_until"] = ticket.closed_at + terms.reopen_window
    return ticket.model_copy(update=changes) if changes else ticket
