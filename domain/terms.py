"""The organization's rules as they apply to one ticket, and how a ticket takes them on."""

from datetime import timedelta
from uuid import UUID

from pydantic import Field

from domain import deadlines
from domain.clocks import Metric
from domain.deadlines import ClockPlan
from domain.ladders import EscalationLadder, Frozen, LadderRun, ReminderLadder
from domain.story import with_ladders_stopped
from domain.ticket import BreachLadder, Status, Ticket, WaitingRun


class SlaTerms(Frozen):
    """Deadlines for what had been ``asked`` of a ticket."""

    asked: int
    plan: ClockPlan


class Terms(Frozen):
    """What the read model's writer found in the organization's settings; ``None`` where not asked for or not set."""

    reminders: ReminderLadder | None = None
    acknowledgement: EscalationLadder | None = None
    team_id: UUID | None = None
    """Whose ladder ``acknowledgement`` is."""
    auto_close_after: timedelta | None = None
    reopen_window: timedelta | None = None
    sla: SlaTerms | None = None
    breach_ladders: dict[Metric, EscalationLadder | None] = Field(default_factory=dict)
    """By the metric that was breached; ``None`` where the policy's ladder is gone."""


class Wanted(Frozen):
    """Which terms a ticket has to know before its next timers can be set."""

    reminders: bool = False
    acknowledgement: bool = False
    auto_close: bool = False
    reopen_window: bool = False
    sla: bool = False
    breach_ladders: tuple[Metric, ...] = ()

    def __bool__(self) -> bool:
        return self != Wanted()


def wanted(ticket: Ticket) -> Wanted:
    """What is still to be set for the ticket as it stands."""
    return Wanted(
        reminders=ticket.status is Status.WAITING and ticket.reminders is None,
        acknowledgement=ticket.status is Status.OPEN
        and ticket.assignee_id is not None
        and ticket.acknowledgement is None,
        auto_close=ticket.status is Status.RESOLVED and ticket.auto_close_at is None,
        reopen_window=ticket.status is Status.CLOSED and ticket.reopen_until is None and ticket.merged_into is None,
        sla=ticket.sla_asked != ticket.sla_planned or deadlines.needs_plan(ticket.clocks),
        breach_ladders=tuple(
            metric for metric in deadlines.escalating(ticket.clocks) if not _has_ladder(ticket, metric)
        ),
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
    own = terms.team_id == ticket.team_id  # another team may have got the ticket while these were read
    if need.acknowledgement and terms.acknowledgement and own and ticket.assignee_id and ticket.assigned_at:
        changes["acknowledgement"] = LadderRun.begin(
            terms.acknowledgement, ticket.assignment_episode, ticket.assigned_at, (ticket.assignee_id,)
        )
    if need.auto_close and terms.auto_close_after is not None and ticket.resolved_at:
        changes["auto_close_at"] = ticket.resolved_at + terms.auto_close_after
    if need.reopen_window and terms.reopen_window is not None and ticket.closed_at:
        changes["reopen_until"] = ticket.closed_at + terms.reopen_window
    if terms.sla:
        changes["clocks"] = deadlines.adopt(ticket.clocks, terms.sla.plan)
        changes["sla_planned"] = max(ticket.sla_planned, terms.sla.asked)
    begun = [
        _begun(ticket, metric, ladder)
        for metric, ladder in terms.breach_ladders.items()
        if metric in need.breach_ladders
    ]
    if begun:
        kept = [ladder for ladder in ticket.breach_ladders if ladder.metric not in terms.breach_ladders]
        changes["breach_ladders"] = (*kept, *begun)
    return with_ladders_stopped(ticket.model_copy(update=changes)) if changes else ticket


def _has_ladder(ticket: Ticket, metric: Metric) -> bool:
    """Whether the metric's episode has had its ladder, be it stopped."""
    episode = ticket.clocks.of(metric).episode
    return any(ladder.metric is metric and ladder.episode == episode for ladder in ticket.breach_ladders)


def _begun(ticket: Ticket, metric: Metric, ladder: EscalationLadder | None) -> BreachLadder:
    clock = ticket.clocks.of(metric)
    since = clock.escalates_from or clock.breached_at
    assert since is not None
    tried = (ticket.assignee_id,) if ticket.assignee_id else ()
    run = LadderRun.begin(ladder, clock.episode, since, tried) if ladder else None
    return BreachLadder(metric=metric, episode=clock.episode, run=run)
