from datetime import timedelta

import pytest
from pydantic import ValidationError

from domain.ladders import DEFAULT_REMINDERS
from domain.priority import Priority
from domain.ticket import Status, Ticket, WaitingRun
from tests.unit.tickets import NOW, new_ticket, ticket_in


@pytest.mark.parametrize("status", Status)
def test_state_survives_the_way_through_json(status: Status) -> None:
    ticket = ticket_in(status)
    assert Ticket.model_validate(ticket.model_dump(mode="json")) == ticket
    assert Ticket.model_validate_json(ticket.model_dump_json()) == ticket


def test_state_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError):
        new_ticket().status = Status.CLOSED  # type: ignore[misc]


def test_label_is_number_and_title() -> None:
    assert new_ticket(number=12, title="No invoice").label == "#12 No invoice"


def test_waiting_run_counts_every_step_from_its_beginning() -> None:
    due = []
    for step in range(4):
        run = WaitingRun(ladder=DEFAULT_REMINDERS, episode=1, began_at=NOW, step=step)
        due.append(run.due_at - NOW if run.due_at else None)
    assert due == [timedelta(days=1), timedelta(days=3), timedelta(days=7), None]


def test_priorities_rise_one_by_one_to_urgent() -> None:
    assert [priority.raised() for priority in Priority] == [
        Priority.NORMAL,
        Priority.HIGH,
        Priority.URGENT,
        Priority.URGENT,
    ]
    assert sorted(Priority, key=lambda priority: priority.rank) == ["low", "normal", "high", "urgent"]
