from datetime import datetime, timedelta
from itertools import product

import pytest

from domain import lifecycle
from domain.commands import AgentReplied, Assign, Command, CustomerReplied, Edit, Escalate, NoteAdded, PolicyChanged
from domain.errors import (
    AssignedToAnother,
    DomainError,
    IllegalTransition,
    TicketClosed,
    TicketNotActive,
    VersionMismatch,
)
from domain.events import Actor, CustomerMessageKind, EventKind, NoticeKind
from domain.ladders import Target
from domain.priority import Priority
from domain.story import Story
from domain.terms import adopt, wanted
from domain.ticket import ACTIVE, TRANSITIONS, Move, Status, Ticket, legal_targets, move_between
from domain.timers import timers
from tests.unit.tickets import (
    ANA,
    API,
    BEN,
    CUSTOMER,
    LATER,
    NOW,
    TERMS,
    assign_to,
    named,
    new_ticket,
    request,
    ticket_in,
    to,
)

# The contract's table, written down a second time: from, to, and what the move is called.
LIFECYCLE = {
    (Status.OPEN, Status.IN_PROGRESS): "start",
    (Status.OPEN, Status.WAITING): "wait",
    (Status.OPEN, Status.RESOLVED): "resolve",
    (Status.IN_PROGRESS, Status.OPEN): "unassign",
    (Status.IN_PROGRESS, Status.WAITING): "wait",
    (Status.IN_PROGRESS, Status.RESOLVED): "resolve",
    (Status.WAITING, Status.OPEN): "unassign",
    (Status.WAITING, Status.IN_PROGRESS): "resume",
    (Status.WAITING, Status.RESOLVED): "resolve",
    (Status.RESOLVED, Status.OPEN): "reopen",
    (Status.RESOLVED, Status.IN_PROGRESS): "reopen",
    (Status.RESOLVED, Status.CLOSED): "close",
    (Status.CLOSED, Status.OPEN): "reopen",
    (Status.CLOSED, Status.IN_PROGRESS): "reopen",
}
LEGAL = {
    Status.OPEN: ["in_progress", "waiting", "resolved"],
    Status.IN_PROGRESS: ["open", "waiting", "resolved"],
    Status.WAITING: ["open", "in_progress", "resolved"],
    Status.RESOLVED: ["open", "in_progress", "closed"],
    Status.CLOSED: ["open", "in_progress"],
}
ILLEGAL = [cell for cell in product(Status, Status) if cell not in LIFECYCLE]


@pytest.mark.parametrize(("current", "target"), LIFECYCLE, ids="-".join)
def test_legal_move_is_one_event_and_one_version(current: Status, target: Status) -> None:
    ticket = ticket_in(current)
    story = lifecycle.decide(ticket, to(target, reason="because"), LATER)
    (event,) = story.events
    assert event.kind is EventKind.STATUS_CHANGED
    assert event.about["move"] == LIFECYCLE[current, target]
    assert (event.changes["status"].before, event.changes["status"].after) == (current, target)
    assert (event.reason, event.at, event.version) == ("because", LATER, ticket.version + 1)
    assert (story.ticket.status, story.ticket.status_since) == (target, LATER)
    assert story.ticket.version == ticket.version + 1


@pytest.mark.parametrize(("current", "target"), ILLEGAL, ids="-".join)
def test_illegal_move_is_refused_with_the_legal_ones(current: Status, target: Status) -> None:
    with pytest.raises(IllegalTransition) as refusal:
        lifecycle.decide(ticket_in(current), to(target), LATER)
    assert refusal.value.context == {"current": current, "requested": target, "legal": LEGAL[current]}
    for status in LEGAL[current]:
        assert status in str(refusal.value)


def test_table_has_every_status_and_no_other_move() -> None:
    assert {(current, target): move.value for current, row in TRANSITIONS.items() for target, move in row.items()} == (
        LIFECYCLE
    )
    assert {status: legal_targets(status) for status in Status} == LEGAL
    assert move_between(Status.CLOSED, Status.OPEN) is Move.REOPEN


def test_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TRANSITIONS[Status.CLOSED][Status.WAITING] = Move.WAIT  # type: ignore[index]


# Creating


def test_creation_is_version_one_and_carries_the_request() -> None:
    story = lifecycle.create(new_ticket(), API, NOW, "key-1", "print")
    (event,) = story.events
    assert (event.kind, event.version, story.ticket.version) == (EventKind.CREATED, 1, 1)
    assert (event.request_id, event.fingerprint, event.actor) == ("key-1", "print", API)
    assert event.about == {"source": "api", "channel": "api"}
    assert not event.notices


def test_creation_tells_the_assignee_and_names_the_ticket_it_follows() -> None:
    ticket = new_ticket(assignee_id=named("Ana"), follow_up_of=named("closed"))
    (event,) = lifecycle.create(ticket, API, NOW, "key", "print").events
    assert event.about["follow_up_of"] == str(named("closed"))
    (notice,) = event.notices
    assert (notice.kind, notice.member_ids) == (NoticeKind.TICKET_ASSIGNED, (named("Ana"),))


# Who may, and when


def test_command_for_another_version_is_refused_with_the_present_one() -> None:
    ticket = ticket_in(Status.OPEN)
    with pytest.raises(VersionMismatch) as refusal:
        lifecycle.check(ticket, to(Status.RESOLVED, if_version=ticket.version - 1))
    assert refusal.value.context == {"version": ticket.version}
    lifecycle.check(ticket, to(Status.RESOLVED, if_version=ticket.version))


@pytest.mark.parametrize(
    ("actor", "assignee", "allowed"),
    [
        (ANA, "Ana", True),  # her own
        (ANA, None, True),  # nobody's: taking it up makes it hers
        (BEN, "Ana", False),  # somebody else's
        (API, "Ana", True),  # a program acts for the organization
    ],
)
def test_member_starts_only_what_no_other_member_owns(actor: Actor, assignee: str | None, allowed: bool) -> None:
    ticket = ticket_in(Status.OPEN, assignee=assignee)
    if allowed:
        assert lifecycle.decide(ticket, to(Status.IN_PROGRESS, actor), LATER).ticket.status is Status.IN_PROGRESS
    else:
        with pytest.raises(AssignedToAnother) as refusal:
            lifecycle.decide(ticket, to(Status.IN_PROGRESS, actor), LATER)
        assert refusal.value.context == {"assignee_id": str(named("Ana"))}


def test_starting_a_ticket_of_nobody_makes_the_member_its_owner() -> None:
    ticket = lifecycle.decide(ticket_in(Status.OPEN, assignee=None), to(Status.IN_PROGRESS, BEN), LATER).ticket
    assert (ticket.assignee_id, ticket.assignee_name, ticket.assigned_at) == (BEN.id, "Ben", LATER)
    assert ticket.assignment_episode == 1


def assign_team(name: str | None, **fields: object) -> Assign:
    values = {"team_id": named(name) if name else None, "team_name": name, "fields": {"team"}, **fields}
    return Assign.model_validate({"request_id": request(), "actor": API, **values})


COMMANDS: list[Command] = [
    assign_to("Ben"),
    Edit(request_id="edit", title="Another title"),
    Escalate(request_id="escalate", reason="The customer is angry"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.kind)
def test_closed_ticket_refuses_all_but_reopening(command: Command) -> None:
    with pytest.raises(TicketClosed) as refusal:
        lifecycle.decide(ticket_in(Status.CLOSED), command, LATER)
    assert refusal.value.context == {"current": "closed", "legal": ["open", "in_progress"]}
    assert lifecycle.decide(ticket_in(Status.RESOLVED, assignee="Ana"), COMMANDS[0], LATER).events


@pytest.mark.parametrize("status", Status)
def test_only_active_tickets_escalate(status: Status) -> None:
    escalate = Escalate(request_id=request(), reason="The customer is angry")
    if status in ACTIVE:
        assert lifecycle.decide(ticket_in(status), escalate, LATER).ticket.escalated == 1
    else:
        with pytest.raises((TicketNotActive, TicketClosed)) as refusal:
            lifecycle.decide(ticket_in(status), escalate, LATER)
        assert refusal.value.context["legal"] == LEGAL[status]


# Assigning


def test_assigning_does_not_start_work_and_begins_a_new_episode() -> None:
    ticket = ticket_in(Status.OPEN, assignee=None)
    story = lifecycle.decide(ticket, assign_to("Ana", BEN, reason="She knows refunds"), LATER)
    assert (story.ticket.status, story.ticket.assignee_id) == (Status.OPEN, named("Ana"))
    assert (story.ticket.assigned_at, story.ticket.assignment_episode) == (LATER, 1)
    (notice,) = story.events[0].notices
    assert (notice.member_ids, notice.why) == ((named("Ana"),), "She knows refunds")


def test_reassigning_tells_both_and_ends_the_first_ladder() -> None:
    ticket = ticket_in(Status.OPEN)
    assert ticket.acknowledgement is not None
    story = lifecycle.decide(ticket, assign_to("Ben"), LATER)
    assert story.ticket.acknowledgement is None
    assert {notice.kind: notice.member_ids for notice in story.events[0].notices} == {
        NoticeKind.TICKET_ASSIGNED: (named("Ben"),),
        NoticeKind.TICKET_REASSIGNED: (named("Ana"),),
    }


def test_nobody_is_told_of_an_assignment_they_made_themselves() -> None:
    taken = lifecycle.decide(ticket_in(Status.OPEN, assignee=None), assign_to("Ana", ANA), LATER)
    given_away = lifecycle.decide(ticket_in(Status.OPEN), assign_to(None, ANA), LATER)
    assert [story.events[0].notices for story in (taken, given_away)] == [(), ()]


@pytest.mark.parametrize("status", [Status.IN_PROGRESS, Status.WAITING])
def test_taking_the_assignee_away_opens_the_ticket_again(status: Status) -> None:
    ticket = lifecycle.decide(ticket_in(status), assign_to(None), LATER).ticket
    assert (ticket.status, ticket.status_since, ticket.assignee_id) == (Status.OPEN, LATER, None)
    assert (ticket.reminders, ticket.assigned_at, ticket.assignee_name) == (None, None, None)


def test_unassigning_by_moving_to_open_leaves_nobody_on_it() -> None:
    ticket = lifecycle.decide(ticket_in(Status.IN_PROGRESS), to(Status.OPEN), LATER).ticket
    assert (ticket.assignee_id, ticket.assigned_at, timers(ticket)) == (None, None, [])


def test_another_team_makes_the_ticket_nobodys() -> None:
    ticket = lifecycle.decide(ticket_in(Status.IN_PROGRESS), assign_team("Bugs"), LATER).ticket
    assert (ticket.team_name, ticket.assignee_id, ticket.status) == ("Bugs", None, Status.OPEN)


def test_team_and_member_can_be_set_together() -> None:
    who = {"fields": {"team", "assignee"}, "assignee_id": named("Ben"), "assignee_name": "Ben"}
    ticket = lifecycle.decide(ticket_in(Status.IN_PROGRESS), assign_team("Bugs", **who), LATER).ticket
    assert (ticket.team_name, ticket.assignee_name, ticket.status) == ("Bugs", "Ben", Status.IN_PROGRESS)


def test_member_who_keeps_the_ticket_is_not_told_again() -> None:
    who = {"fields": {"team", "assignee"}, "assignee_id": named("Ana"), "assignee_name": "Ana"}
    story = lifecycle.decide(ticket_in(Status.OPEN), assign_team("Bugs", **who), LATER)
    assert story.events[0].notices == ()
    assert story.ticket.assignment_episode == 1


@pytest.mark.parametrize(
    "command",
    [
        assign_to("Ana"),
        assign_team(None),
        Edit(request_id="same", title="Refund for order 1001", priority=Priority.NORMAL, tags=()),
        Edit(request_id="nothing"),
    ],
    ids=["assignee", "team", "edit", "empty edit"],
)
def test_asking_for_what_already_is_changes_nothing(command: Command) -> None:
    ticket = ticket_in(Status.OPEN)
    story = lifecycle.decide(ticket, command, LATER)
    assert (story.events, story.ticket) == ([], ticket)


# Editing and escalating


def test_edit_shows_each_field_before_and_after() -> None:
    command = Edit(request_id="edit", title="Refund twice", priority=Priority.HIGH, tags=("refund",))
    (event,) = lifecycle.decide(ticket_in(Status.OPEN), command, LATER).events
    assert event.kind is EventKind.EDITED
    assert {name: (change.before, change.after) for name, change in event.changes.items()} == {
        "title": ("Refund for order 1001", "Refund twice"),
        "priority": ("normal", "high"),
        "tags": ([], ["refund"]),
    }


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        (Priority.NORMAL, None, Priority.HIGH),
        (Priority.URGENT, None, Priority.URGENT),  # there is nothing above
        (Priority.LOW, Priority.URGENT, Priority.URGENT),
        (Priority.HIGH, Priority.LOW, Priority.HIGH),  # escalating never calms down
    ],
)
def test_escalating_raises_the_priority(before: Priority, asked: Priority | None, after: Priority) -> None:
    ticket = ticket_in(Status.OPEN).model_copy(update={"priority": before})
    story = lifecycle.decide(ticket, Escalate(request_id="one", reason="Angry", priority=asked), LATER)
    assert story.ticket.priority is after
    (notice,) = story.events[0].notices
    assert (notice.targets, notice.why) == ((Target.ASSIGNEE, Target.SUPERVISORS), "Angry")


def test_each_escalation_is_told_under_its_own_key() -> None:
    ticket, keys = ticket_in(Status.OPEN), []
    for number in range(3):
        story = lifecycle.decide(ticket, Escalate(request_id=str(number), reason="Again"), LATER)
        ticket = story.ticket
        keys.append(story.events[0].notices[0].key)
    assert keys == ["escalated:1", "escalated:2", "escalated:3"]


# Facts


def wrote(name: str, at: datetime = LATER, *, automatic: bool = False) -> CustomerReplied:
    return CustomerReplied(message_id=named(name), at=at, actor=CUSTOMER, automatic=automatic)


@pytest.mark.parametrize(
    ("status", "after"),
    [
        (Status.OPEN, Status.OPEN),
        (Status.IN_PROGRESS, Status.IN_PROGRESS),
        (Status.WAITING, Status.IN_PROGRESS),
        (Status.RESOLVED, Status.OPEN),
        (Status.CLOSED, Status.OPEN),
    ],
    ids="-".join,
)
def test_customer_message_ends_waiting_and_reopens(status: Status, after: Status) -> None:
    story = lifecycle.customer_replied(ticket_in(status), wrote("message"), LATER)
    assert story.ticket.status is after
    assert story.ticket.reminders is None
    assert story.ticket.unanswered_since == LATER
    kinds = [EventKind.CUSTOMER_REPLIED] + ([EventKind.STATUS_CHANGED] if status is not after else [])
    assert [event.kind for event in story.events] == kinds
    assert [event.request_id for event in story.events] == [str(named("message")), None][: len(kinds)]


@pytest.mark.parametrize("status", Status)
def test_automatic_reply_is_told_and_moves_nothing(status: Status) -> None:
    ticket = ticket_in(status)
    story = lifecycle.customer_replied(ticket, wrote("away", automatic=True), LATER)
    (event,) = story.events
    assert (event.about["automatic"], event.notices) == (True, ())
    assert story.ticket == ticket.model_copy(update={"version": ticket.version + 1, "updated_at": LATER})


def test_oldest_unanswered_message_counts_whatever_order_they_arrive_in() -> None:
    ticket = ticket_in(Status.IN_PROGRESS)
    for name, at in (("second", LATER), ("first", NOW), ("third", LATER + timedelta(hours=1))):
        ticket = lifecycle.customer_replied(ticket, wrote(name, at), LATER).ticket
    assert ticket.unanswered_since == NOW
    answer = AgentReplied(message_id=named("answer"), at=LATER, actor=ANA)
    assert lifecycle.agent_replied(ticket, answer, LATER).ticket.unanswered_since is None


@pytest.mark.parametrize(
    ("assignee", "actor", "starts"),
    [
        ("Ana", ANA, True),  # the assignee answers
        (None, BEN, True),  # anybody, where nobody is assigned
        ("Ana", BEN, False),  # a colleague's remark leaves it with its owner
    ],
)
def test_answering_starts_an_open_ticket(assignee: str | None, actor: Actor, starts: bool) -> None:
    fact = AgentReplied(message_id=named("answer"), at=LATER, actor=actor)
    ticket = lifecycle.agent_replied(ticket_in(Status.OPEN, assignee=assignee), fact, LATER).ticket
    assert ticket.status is (Status.IN_PROGRESS if starts else Status.OPEN)
    assert ticket.assignee_name == (assignee or actor.name)


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.OPEN}), ids=str)
def test_answering_moves_no_other_status(status: Status) -> None:
    fact = AgentReplied(message_id=named("answer"), at=LATER, actor=ANA)
    assert lifecycle.agent_replied(ticket_in(status), fact, LATER).ticket.status is status


def test_note_is_part_of_the_story_and_moves_nothing() -> None:
    ticket = ticket_in(Status.WAITING)
    story = lifecycle.note_added(ticket, NoteAdded(note_id=named("note"), at=LATER, actor=BEN), LATER)
    (event,) = story.events
    assert (event.kind, event.about, event.actor) == (EventKind.NOTE_ADDED, {"note_id": str(named("note"))}, BEN)
    assert story.ticket.reminders == ticket.reminders


@pytest.mark.parametrize("status", Status)
def test_changed_policy_asks_anew_for_deadlines_and_leaves_ladders_alone(status: Status) -> None:
    ticket = ticket_in(status)
    fact = PolicyChanged(request_id="policy", reason="Tickets close after five days")
    changed = lifecycle.policy_changed(ticket, fact, LATER).ticket
    assert (changed.reminders, changed.acknowledgement) == (ticket.reminders, ticket.acknowledgement)
    assert wanted(changed).sla
    assert wanted(changed).auto_close is (status is Status.RESOLVED)


def test_refused_command_is_told_and_changes_nothing() -> None:
    ticket, command = ticket_in(Status.CLOSED), to(Status.WAITING, ANA)
    with pytest.raises(IllegalTransition) as refusal:
        lifecycle.check(ticket, command)
    (event,) = (story := lifecycle.refused(ticket, command, refusal.value, LATER)).events
    assert event.about == {"command": "change_status", "code": "illegal_transition"}
    assert (event.kind, event.actor, event.reason) == (EventKind.COMMAND_REFUSED, ANA, str(refusal.value))
    assert (event.changes, story.ticket.status, event.request_id) == ({}, Status.CLOSED, command.request_id)


# Episodes


def test_each_waiting_period_runs_a_fresh_ladder() -> None:
    first = ticket_in(Status.WAITING)
    back = lifecycle.decide(first, to(Status.IN_PROGRESS), LATER).ticket
    second = adopt(lifecycle.decide(back, to(Status.WAITING), LATER + timedelta(hours=1)).ticket, TERMS)
    assert first.reminders is not None
    assert back.reminders is None
    assert second.reminders is not None
    assert (first.reminders.episode, second.reminders.episode) == (1, 2)
    assert second.reminders.began_at == LATER + timedelta(hours=1)


@pytest.mark.parametrize(("tell", "kinds"), [(True, [CustomerMessageKind.RESOLVED]), (False, [])])
def test_customer_is_told_of_the_resolution_unless_asked_not_to(tell: bool, kinds: list[CustomerMessageKind]) -> None:
    story = lifecycle.decide(ticket_in(Status.IN_PROGRESS), to(Status.RESOLVED, tell_customer=tell), LATER)
    assert [message.kind for message in story.events[0].customer_messages] == kinds


def test_each_resolution_is_told_under_its_own_key() -> None:
    keys, ticket = [], ticket_in(Status.IN_PROGRESS)
    for _ in range(3):
        story = lifecycle.decide(ticket, to(Status.RESOLVED), LATER)
        keys.append(story.events[0].customer_messages[0].key)
        ticket = lifecycle.decide(story.ticket, to(Status.IN_PROGRESS), LATER).ticket
    assert keys == ["resolved:0", "resolved:1", "resolved:2"]


@pytest.mark.parametrize("status", [Status.RESOLVED, Status.CLOSED])
@pytest.mark.parametrize("target", [Status.OPEN, Status.IN_PROGRESS])
def test_reopening_forgets_the_end_and_keeps_the_owner(status: Status, target: Status) -> None:
    before = ticket_in(status)
    story = lifecycle.decide(before, to(target, reason="Not solved"), LATER)
    ticket = story.ticket
    assert (ticket.resolved_at, ticket.closed_at, ticket.auto_close_at, ticket.reopen_until) == (None, None, None, None)
    assert (ticket.reopened, ticket.assignee_id) == (1, named("Ana"))
    assert [notice.key for notice in story.events[0].notices] == ["reopened:1"]
    owes_acknowledgement = ticket.assignment_episode == before.assignment_episode + 1
    assert owes_acknowledgement is (target is Status.OPEN)
    assert wanted(ticket).acknowledgement is owes_acknowledgement


def test_system_moves_follow_the_table_too() -> None:
    story = Story(ticket_in(Status.OPEN), LATER, API)
    with pytest.raises(IllegalTransition):
        lifecycle.move(story, Status.CLOSED, "Never")
    assert story.events == []


def test_every_refusal_has_its_own_code() -> None:
    codes = [refusal.code for refusal in DomainError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert "refused" not in codes


def test_deciding_leaves_the_ticket_that_was_given_alone() -> None:
    ticket: Ticket = ticket_in(Status.OPEN)
    kept = ticket.model_dump_json()
    lifecycle.decide(ticket, to(Status.RESOLVED), LATER)
    assert ticket.model_dump_json() == kept
