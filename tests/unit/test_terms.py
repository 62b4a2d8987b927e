from datetime import timedelta

import pytest

from domain import lifecycle
from domain.ladders import ReminderAction, ReminderLadder, ReminderStep, acknowledgement_ladder
from domain.terms import Terms, adopt, wanted
from domain.ticket import Status, Ticket
from tests.unit.tickets import LATER, LIMIT, NOW, TERMS, assign_to, named, recorded, ticket_in, to

NO_TERMS = Terms()
HASTY = Terms(
    reminders=ReminderLadder(
        name="Hasty", steps=(ReminderStep(after=timedelta(hours=1), action=ReminderAction.REMIND),)
    ),
    acknowledgement=acknowledgement_ladder(timedelta(minutes=1)),
    auto_close_after=timedelta(hours=1),
    reopen_window=timedelta(days=1),
)


@pytest.mark.parametrize(
    ("status", "assignee", "needs"),
    [
        (Status.OPEN, "Ana", {"acknowledgement"}),
        (Status.OPEN, None, set()),  # nobody to wait for
        (Status.IN_PROGRESS, "Ana", set()),
        (Status.WAITING, "Ana", {"reminders"}),
        (Status.WAITING, None, {"reminders"}),
        (Status.RESOLVED, "Ana", {"auto_close"}),
        (Status.CLOSED, "Ana", {"reopen_window"}),
    ],
)
def test_each_status_asks_for_the_rules_it_waits_by(status: Status, assignee: str | None, needs: set[str]) -> None:
    ticket = ticket_in(status, assignee=assignee, terms=NO_TERMS)
    assert {name for name, needed in wanted(ticket) if needed} == needs
    assert bool(wanted(ticket)) is bool(needs)
    assert not wanted(recorded(ticket))


@pytest.mark.parametrize("status", Status)
def test_adopting_twice_is_adopting_once_and_the_first_rules_stay(status: Status) -> None:
    once = adopt(ticket_in(status, terms=NO_TERMS), TERMS)
    assert adopt(once, TERMS) == once
    assert adopt(once, HASTY) == once


@pytest.mark.parametrize("status", Status)
def test_rules_nobody_has_set_change_nothing(status: Status) -> None:
    ticket = ticket_in(status, terms=NO_TERMS)
    assert adopt(ticket, NO_TERMS) == ticket


def test_deadlines_count_from_the_act_and_not_from_when_the_rules_were_found() -> None:
    waiting = adopt(lifecycle.decide(ticket_in(Status.IN_PROGRESS), to(Status.WAITING), LATER).ticket, TERMS)
    resolved = adopt(lifecycle.decide(waiting, to(Status.RESOLVED), LATER).ticket, TERMS)
    closed = adopt(lifecycle.decide(resolved, to(Status.CLOSED), LATER).ticket, TERMS)
    assigned = adopt(
        lifecycle.decide(ticket_in(Status.OPEN, assignee=None), assign_to("Ben"), LATER).ticket,
        TERMS,
    )
    assert waiting.reminders is not None
    assert waiting.reminders.due_at == LATER + timedelta(days=1)
    assert resolved.auto_close_at == LATER + timedelta(days=3)
    assert closed.reopen_until == LATER + timedelta(days=30)
    assert assigned.acknowledgement is not None
    assert assigned.acknowledgement.due_at == LATER + LIMIT
    assert assigned.acknowledgement.tried == (named("Ben"),)


def test_limit_of_a_team_that_has_lost_the_ticket_is_not_the_next_teams() -> None:
    ticket = ticket_in(Status.OPEN, terms=NO_TERMS)
    of_another_team = TERMS.model_copy(update={"team_id": named("Bugs")})
    assert adopt(ticket, of_another_team).acknowledgement is None
    assert adopt(ticket, TERMS).acknowledgement is not None


def test_rules_found_for_a_state_that_has_ended_change_nothing() -> None:
    found_for_waiting = Terms(reminders=TERMS.reminders)
    moved_on: Ticket = lifecycle.decide(ticket_in(Status.WAITING), to(Status.IN_PROGRESS), LATER).ticket
    assert adopt(moved_on, found_for_waiting) == moved_on


def test_changed_window_counts_from_when_the_ticket_was_resolved() -> None:
    resolved = ticket_in(Status.RESOLVED).model_copy(update={"auto_close_at": None})
    assert adopt(resolved, HASTY).auto_close_at == NOW + timedelta(hours=1)
