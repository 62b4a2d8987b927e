"""What SLA timers do to a ticket: whom they tell, and the ladders they begin."""

from datetime import datetime

import pytest

from domain import lifecycle
from domain.clocks import Metric
from domain.commands import Edit
from domain.events import NoticeKind
from domain.ladders import EscalationLadder, LadderStep, RaisePriority, Target
from domain.priority import Priority
from domain.sla import SlaPolicy
from domain.terms import Terms, wanted
from domain.ticket import Status, Ticket
from domain.timers import TimerKind, fire, timers
from tests.unit.promises import HOUR, promising
from tests.unit.tickets import API, NOW, named, recorded, request, ticket_in, to

FIRST_RESPONSE = Metric.FIRST_RESPONSE
CLIMB = EscalationLadder(
    name="Climb",
    steps=(LadderStep(wait=HOUR, actions=(RaisePriority(),)), LadderStep(wait=HOUR, actions=(RaisePriority(),))),
)
TOLD = promising({FIRST_RESPONSE: 2 * HOUR})
CLIMBED = TOLD.model_copy(update={"escalation_ladder_id": named("ladder")})
LADDER = Terms(breach_ladders={FIRST_RESPONSE: CLIMB})


def promised(policy: SlaPolicy, assignee: str | None = "Ana") -> Ticket:
    return recorded(ticket_in(Status.OPEN, assignee=assignee, terms=Terms()), LADDER, policy)


def ring(ticket: Ticket, now: datetime, policy: SlaPolicy = CLIMBED) -> Ticket:
    """The ticket once all that is due at ``now`` was done and recorded."""
    while (waits := timers(ticket)) and waits[0].due_at <= now:
        ticket = recorded(fire(ticket, waits[0], now).ticket, LADDER, policy)
    return ticket


def ladder_steps(ticket: Ticket) -> list[float]:
    """When the ladder's next steps are due, in hours from ``NOW``."""
    return [(timer.due_at - NOW) / HOUR for timer in timers(ticket) if timer.kind is TimerKind.SLA_LADDER]


@pytest.mark.parametrize(
    ("policy", "assignee", "warned", "breached"),
    [
        (TOLD, "Ana", (Target.ASSIGNEE,), (Target.ASSIGNEE, Target.SUPERVISORS)),
        (TOLD, None, (Target.TEAM,), (Target.TEAM, Target.SUPERVISORS)),
        (CLIMBED, "Ana", (Target.ASSIGNEE,), (Target.ASSIGNEE,)),  # its steps say who else is told, and when
    ],
)
def test_warning_and_breach_are_told_to_whoever_has_the_ticket(
    policy: SlaPolicy, assignee: str | None, warned: tuple[Target, ...], breached: tuple[Target, ...]
) -> None:
    ticket = promised(policy, assignee)
    warning = fire(ticket, timers(ticket)[0], NOW + 1.6 * HOUR)
    ticket = recorded(warning.ticket, LADDER, policy)
    breach = fire(ticket, timers(ticket)[0], NOW + 2 * HOUR)
    told = [notice for story in (warning, breach) for event in story.events for notice in event.notices]
    assert [(notice.kind, notice.targets) for notice in told] == [
        (NoticeKind.SLA_WARNING, (*warned, Target.WATCHERS)),
        (NoticeKind.SLA_BREACHED, (*breached, Target.WATCHERS)),
    ]
    assert [notice.why for notice in told] == ["The first response is due soon.", "The first response is overdue."]


@pytest.mark.parametrize("recorded_at", [2.0, 2.5, 9.0])
def test_ladder_counts_from_the_due_time_however_late_the_breach_is_recorded(recorded_at: float) -> None:
    ticket = promised(CLIMBED)
    for timer in timers(ticket)[:2]:
        ticket = recorded(fire(ticket, timer, NOW + recorded_at * HOUR).ticket, LADDER, CLIMBED)
    assert ladder_steps(ticket) == [3]
    assert ladder_steps(ring(ticket, NOW + 3.5 * HOUR)) == [4]
    assert ring(ticket, NOW + 9 * HOUR).priority is Priority.URGENT


def test_breach_recorded_by_the_ticket_that_begins_to_wait_has_its_ladder_from_the_due_time_too() -> None:
    policy = CLIMBED.model_copy(update={"targets": {Metric.RESOLUTION: {Priority.NORMAL: 2 * HOUR}}})
    ticket = recorded(ticket_in(Status.OPEN, terms=Terms()), Terms(), policy)
    waiting = lifecycle.decide(ticket, to(Status.WAITING), NOW + 2.5 * HOUR).ticket
    ticket = recorded(waiting, Terms(breach_ladders={Metric.RESOLUTION: CLIMB}), policy)
    assert ladder_steps(ticket) == [3]


def test_ladder_of_a_target_that_was_used_up_when_it_was_set_counts_from_then() -> None:
    policy = promising({FIRST_RESPONSE: 20 * HOUR}).model_copy(update={"escalation_ladder_id": named("ladder")})
    hurried = dict(policy.targets[FIRST_RESPONSE]) | {Priority.URGENT: HOUR}
    policy = policy.model_copy(update={"targets": {FIRST_RESPONSE: hurried}})
    edit = Edit(request_id=request(), actor=API, priority=Priority.URGENT)
    raised = lifecycle.decide(promised(policy), edit, NOW + 5 * HOUR).ticket
    ticket = ring(recorded(raised, LADDER, policy), NOW + 5.1 * HOUR, policy)
    assert ticket.clocks.first_response.breached_at
    assert ladder_steps(ticket) == [6]  # nobody could have climbed the steps of hours that have passed


def test_policy_whose_ladder_is_gone_breaches_without_one_and_does_not_ask_again() -> None:
    ticket = promised(CLIMBED)
    for timer in timers(ticket)[:2]:
        ticket = fire(ticket, timer, NOW + 2 * HOUR).ticket
    assert wanted(ticket).breach_ladders == (FIRST_RESPONSE,)
    ticket = recorded(ticket, Terms(breach_ladders={FIRST_RESPONSE: None}), CLIMBED)
    assert (timers(ticket), wanted(ticket).breach_ladders) == ([], ())
    assert recorded(ticket, LADDER, CLIMBED) == ticket
