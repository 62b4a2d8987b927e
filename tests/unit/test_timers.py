from datetime import datetime, timedelta

import pytest

from domain import lifecycle
from domain.events import CustomerMessageKind, EventKind, NoticeKind
from domain.ladders import (
    EscalationLadder,
    LadderRun,
    LadderStep,
    Notify,
    RaisePriority,
    Reassign,
    ReminderAction,
    ReminderLadder,
    ReminderStep,
    Successor,
    Target,
)
from domain.priority import Priority
from domain.terms import Terms, adopt
from domain.ticket import Status, Ticket
from domain.timers import Choice, Timer, TimerKind, fire, timers
from tests.unit.tickets import LIMIT, NOW, named, ticket_in, to

DAY = timedelta(days=1)
BEN = Choice(member_id=named("Ben"), name="Ben")
SUE = Choice(member_id=named("Sue"), name="Sue")


def only(ticket: Ticket) -> Timer:
    (timer,) = timers(ticket)
    return timer


@pytest.mark.parametrize(
    ("status", "kind", "due_at", "summary"),
    [
        (Status.OPEN, TimerKind.ACKNOWLEDGEMENT, NOW + LIMIT, "Not acknowledged: reassign to the next member"),
        (Status.WAITING, TimerKind.REMINDER, NOW + DAY, "Remind the customer (1 of 2)"),
        (Status.RESOLVED, TimerKind.AUTO_CLOSE, NOW + 3 * DAY, "Close the ticket"),
    ],
)
def test_status_waits_for_its_timer(status: Status, kind: TimerKind, due_at: datetime, summary: str) -> None:
    timer = only(ticket_in(status))
    assert (timer.kind, timer.due_at, timer.summary) == (kind, due_at, summary)


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.CLOSED])
def test_status_waits_for_nothing(status: Status) -> None:
    assert timers(ticket_in(status)) == []


def test_timers_come_earliest_first_and_in_a_fixed_order_at_one_moment() -> None:
    ladder = EscalationLadder(name="L", steps=(LadderStep(wait=LIMIT, actions=(RaisePriority(),)),))
    waiting = ticket_in(Status.WAITING)

    def kinds(due_at: datetime) -> list[TimerKind]:
        run = LadderRun.begin(ladder, episode=1, at=NOW).model_copy(update={"due_at": due_at})
        return [timer.kind for timer in timers(waiting.model_copy(update={"acknowledgement": run}))]

    assert kinds(NOW + LIMIT) == [TimerKind.ACKNOWLEDGEMENT, TimerKind.REMINDER]
    assert kinds(NOW + 2 * DAY) == [TimerKind.REMINDER, TimerKind.ACKNOWLEDGEMENT]
    assert kinds(NOW + DAY) == [TimerKind.ACKNOWLEDGEMENT, TimerKind.REMINDER]


def test_reminder_ladder_runs_to_the_resolution() -> None:
    ticket, told = ticket_in(Status.WAITING), []
    while waits := timers(ticket):
        if waits[0].kind is TimerKind.AUTO_CLOSE:
            break
        story = fire(ticket, waits[0], waits[0].due_at)
        told.append((story.now - NOW, story.events[0].kind, [m.key for m in story.events[0].customer_messages]))
        ticket = adopt(story.ticket, Terms(auto_close_after=3 * DAY))
    assert told == [
        (DAY, EventKind.REMINDER_SENT, ["reminder:1:1"]),
        (3 * DAY, EventKind.REMINDER_SENT, ["reminder:1:2"]),
        (7 * DAY, EventKind.STATUS_CHANGED, ["resolved:0"]),
    ]
    assert (ticket.status, ticket.resolved_at, ticket.reminders) == (Status.RESOLVED, NOW + 7 * DAY, None)


def test_ladder_without_resolution_reminds_and_then_waits_on() -> None:
    step = ReminderStep(after=DAY, action=ReminderAction.REMIND)
    ticket = ticket_in(Status.WAITING, terms=Terms(reminders=ReminderLadder(name="Once", steps=(step,))))
    ticket = fire(ticket, only(ticket), NOW + DAY).ticket
    assert (ticket.status, timers(ticket)) == (Status.WAITING, [])


def test_auto_close_closes_and_leaves_no_timer() -> None:
    ticket = ticket_in(Status.RESOLVED)
    story = fire(ticket, only(ticket), NOW + 3 * DAY)
    assert (story.ticket.status, story.ticket.closed_at, timers(story.ticket)) == (Status.CLOSED, NOW + 3 * DAY, [])
    assert story.events[0].about["move"] == "close"


def test_late_timer_says_how_late_it_is() -> None:
    ticket = ticket_in(Status.WAITING)
    (event,) = fire(ticket, only(ticket), NOW + DAY + timedelta(minutes=2)).events
    assert event.about == {"step": 1, "episode": 1, "due_at": "2026-03-03T09:00:00+00:00", "late_seconds": 120.0}
    (message,) = event.customer_messages
    assert message.kind is CustomerMessageKind.REMINDER


def test_timer_does_nothing_before_it_is_due() -> None:
    ticket = ticket_in(Status.WAITING)
    assert fire(ticket, only(ticket), NOW + DAY - timedelta(microseconds=1)).events == []


@pytest.mark.parametrize("status", [Status.OPEN, Status.WAITING, Status.RESOLVED])
def test_timer_the_ticket_no_longer_waits_for_does_nothing(status: Status) -> None:
    ticket = ticket_in(status)
    timer = only(ticket)
    acted = lifecycle.decide(ticket, to(Status.IN_PROGRESS), NOW).ticket
    story = fire(acted, timer, NOW + 30 * DAY, BEN)
    assert (story.events, story.ticket) == ([], acted)


def test_timer_fires_once() -> None:
    ticket = ticket_in(Status.WAITING)
    timer = only(ticket)
    after = fire(ticket, timer, NOW + DAY).ticket
    assert fire(after, timer, NOW + DAY).events == []


# Unacknowledged


def test_unacknowledged_ticket_goes_to_the_next_member_and_then_to_the_supervisor() -> None:
    ticket = ticket_in(Status.OPEN)
    first = fire(ticket, only(ticket), NOW + LIMIT, BEN)
    second_timer = only(first.ticket)
    second = fire(first.ticket, second_timer, NOW + 2 * LIMIT, SUE)
    assert (ticket.assignee_name, first.ticket.assignee_name, second.ticket.assignee_name) == ("Ana", "Ben", "Sue")
    assert (second_timer.successor, second_timer.due_at) == (Successor.SUPERVISOR, NOW + 2 * LIMIT)
    assert [story.events[0].kind for story in (first, second)] == [EventKind.REASSIGNED] * 2
    assert second.ticket.status is Status.OPEN
    assert timers(second.ticket) == []  # the ladder has ended; there is nobody above


def test_everyone_is_told_why_the_ticket_changed_hands() -> None:
    ticket = ticket_in(Status.OPEN)
    (event,) = fire(ticket, only(ticket), NOW + LIMIT, BEN).events
    assert {(notice.kind, notice.member_ids, notice.targets) for notice in event.notices} == {
        (NoticeKind.TICKET_ASSIGNED, (named("Ben"),), ()),
        (NoticeKind.TICKET_REASSIGNED, (named("Ana"),), ()),
        (NoticeKind.TICKET_REASSIGNED, (), (Target.SUPERVISORS,)),
    }
    assert {notice.why for notice in event.notices} == {"The ticket was assigned and not taken up in time."}


@pytest.mark.parametrize("choice", [None, Choice(), Choice(member_id=named("Ana"), name="Ana")])
def test_ticket_stays_with_its_owner_when_nobody_else_is_there(choice: Choice | None) -> None:
    ticket = ticket_in(Status.OPEN)
    story = fire(ticket, only(ticket), NOW + LIMIT, choice)
    assert story.ticket.assignee_name == "Ana"
    assert story.events[0].kind is EventKind.LADDER_STEP
    assert [notice.targets for notice in story.events[0].notices] == [(Target.SUPERVISORS,)]
    assert only(story.ticket).successor is Successor.SUPERVISOR  # the ladder goes on


def test_one_step_may_do_several_things_as_one_event() -> None:
    step = LadderStep(
        wait=LIMIT, actions=(RaisePriority(), Notify(targets=(Target.TEAM,), member_ids=(named("Zoe"),)), Reassign())
    )
    terms = Terms(acknowledgement=EscalationLadder(name="All at once", steps=(step,)))
    ticket = ticket_in(Status.OPEN, terms=terms)
    timer = only(ticket)
    assert timer.summary == "Not acknowledged: raise the priority and notify team and reassign to the next member"
    story = fire(ticket, timer, NOW + LIMIT, BEN)
    (event,) = story.events
    assert event.changes.keys() == {"priority", "assignee_id"}
    assert story.ticket.priority is Priority.HIGH
    assert event.notices[0].member_ids == (named("Zoe"),)
    assert event.about["ladder"] == "All at once"


def test_keys_of_notices_differ_in_every_step_and_round() -> None:
    step = LadderStep(wait=LIMIT, actions=(Notify(targets=(Target.TEAM,)), Reassign()))
    terms = Terms(acknowledgement=EscalationLadder(name="Round", steps=(step, step), repeat=2))
    ticket, keys = ticket_in(Status.OPEN, terms=terms), []
    choices = [BEN, SUE, BEN, SUE, Choice(), BEN]
    for choice in choices:
        timer = only(ticket)
        story = fire(ticket, timer, timer.due_at, choice)
        keys += [notice.key for notice in story.events[0].notices]
        ticket = story.ticket
    assert timers(ticket) == []
    assert len(set(keys)) == len(keys)
