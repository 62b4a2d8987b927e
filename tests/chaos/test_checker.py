from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from tests.chaos.checker import check
from tests.chaos.conftest import CalmRun
from tests.chaos.evidence import by
from tests.chaos.journal import Answered, Command, Repeated, Verdict, What
from tests.chaos.reading import Listed, Row, Tables, WorkflowReading
from tests.chaos.report import Report, Wrong
from tests.chaos.retelling import Fate

DOUBLED_EVENT = """
    INSERT INTO ticket_events (ticket_id, version, organization_id, kind, at, actor_kind, actor_id, actor_name, reason,
                               changes, about, request_id, fingerprint, answer, clock_events)
    SELECT ticket_id, (SELECT max(version) + 1 FROM ticket_events WHERE ticket_id = one.ticket_id), organization_id,
           kind, at, actor_kind, actor_id, actor_name, reason, changes, about, {request}, fingerprint, answer,
           clock_events
    FROM ticket_events AS one WHERE {which}
"""
NOT_UNIQUE = "DROP INDEX uq_ticket_events_request"


def found(run: CalmRun, tables: Tables | None = None) -> Report:
    return check(run.history, replace(run.reading, tables=tables) if tables else run.reading)


@contextmanager
def answered(command: Command, **otherwise: object) -> Iterator[None]:
    """The client noted another answer."""
    noted = command.answered
    assert noted
    command.answered = noted.model_copy(update=otherwise)
    try:
        yield
    finally:
        command.answered = noted


def edits(run: CalmRun) -> list[Command]:
    """Acknowledged by an answer that had waited for the effect."""
    return [each for each in run.history.of(Verdict.ACKNOWLEDGED) if each.sent.what is What.EDIT and each.sent.waits]


def neighbours(run: CalmRun) -> tuple[Command, Command]:
    """Two commands of one client on one ticket, one after the other, whose answers waited for their effect."""
    last: dict[tuple[str, str | None], Command] = {}
    for command in run.history.of(Verdict.ACKNOWLEDGED):
        place = command.sent.client, command.ticket
        earlier, last[place] = last.get(place), command
        both = [each for each in (earlier, command) if each and each.answered and each.answered.version]
        if earlier and len(both) == 2 and earlier.sent.what is not What.CREATE:
            return earlier, command
    raise AssertionError("no client did two things on one ticket")


async def test_undisturbed_run_keeps_every_promise(calm_run: CalmRun) -> None:
    report = found(calm_run)
    assert report.findings == []
    assert (report.acknowledged >= 110, report.refused > 0, report.repeated > 0) == (True, True, True)
    assert len(report.timers(Fate.FIRED)) >= 30
    assert report.tickets == len(calm_run.reading.tables.tickets)


async def test_dropped_event_is_lost_and_doubled_one_doubled(calm_run: CalmRun) -> None:
    dropped, doubled = edits(calm_run)[:2]
    tables = await calm_run.altered(
        NOT_UNIQUE,
        DOUBLED_EVENT.format(request="request_id", which=f"request_id = '{doubled.key}'"),
        f"DELETE FROM ticket_events WHERE request_id = '{dropped.key}'",
    )
    report = found(calm_run, tables)
    lost = [finding.text for finding in report.findings if finding.wrong is Wrong.LOST]
    twice = [finding.text for finding in report.findings if finding.wrong is Wrong.DOUBLED]
    assert [dropped.key in text for text in lost] == [True]
    assert [doubled.key in text for text in twice] == [True]
    assert (report.count(Wrong.GAP), report.count(Wrong.STORY)) == (2, 2)


async def test_effects_in_another_order_than_they_were_acknowledged_are_found(calm_run: CalmRun) -> None:
    first, second = neighbours(calm_run)
    versions = {one.key: one.answered.version for one in (first, second) if one.answered}
    ticket = f"ticket_id = '{first.ticket}'"
    tables = await calm_run.altered(
        f"UPDATE ticket_events SET version = -1 WHERE {ticket} AND request_id = '{first.key}'",
        f"UPDATE ticket_events SET version = {versions[first.key]} WHERE {ticket} AND request_id = '{second.key}'",
        f"UPDATE ticket_events SET version = {versions[second.key]} WHERE {ticket} AND version = -1",
    )
    report = found(calm_run, tables)
    assert {finding.wrong for finding in report.findings} == {Wrong.DISORDERED, Wrong.ANSWER, Wrong.STORY}
    assert report.count(Wrong.DISORDERED) == 1


@dataclass(frozen=True)
class Damage:
    """What is done to the tables, and everything that has to be found."""

    name: str
    statements: tuple[str, ...]
    wrong: frozenset[Wrong]


SOME_OPEN = "(SELECT id FROM tickets WHERE status <> 'closed' ORDER BY id LIMIT 1)"
SOME_CLOSED = "(SELECT id FROM tickets WHERE status = 'closed' ORDER BY id LIMIT 1)"
SOME_REMINDED = "(SELECT ticket_id FROM ticket_events WHERE kind = 'reminder_sent' ORDER BY ticket_id LIMIT 1)"
STRANGER = "(SELECT id FROM organizations WHERE id <> {table}.organization_id ORDER BY id LIMIT 1)"
SYSTEM_CLOSED = "kind = 'status_changed' AND actor_kind = 'system' AND changes -> 'status' ->> 'after' = 'closed'"

DAMAGES = (
    Damage(
        "row_of_open_ticket",
        (f"UPDATE tickets SET title = 'x' WHERE id = {SOME_OPEN}",),
        frozenset({Wrong.MISMATCH}),
    ),
    Damage(
        "state_of_closed_ticket",
        (f"UPDATE tickets SET state = jsonb_set(state, '{{reopened}}', '9') WHERE id = {SOME_CLOSED}",),
        frozenset({Wrong.MISMATCH, Wrong.STORY}),
    ),
    Damage(
        "event_with_another_content",
        (f"UPDATE ticket_events SET changes = '{{}}' WHERE ticket_id = {SOME_CLOSED} AND {SYSTEM_CLOSED}",),
        frozenset({Wrong.STORY}),
    ),
    Damage(
        "second_effect_without_its_name",
        (DOUBLED_EVENT.format(request="NULL", which="(ticket_id, version) IN (SELECT ticket_id, version FROM "
                              "ticket_events WHERE kind = 'escalated' ORDER BY at LIMIT 1)"),),
        frozenset({Wrong.GAP, Wrong.STORY}),
    ),
    Damage(
        "timer_that_fired_twice",
        (DOUBLED_EVENT.format(request="NULL", which=f"kind = 'reminder_sent' AND about ->> 'step' = '1' AND "
                              f"about ->> 'episode' = '1' AND ticket_id = {SOME_REMINDED}"),),
        frozenset({Wrong.GAP, Wrong.STORY, Wrong.FIRED_TWICE}),
    ),
    Damage(
        "timer_that_never_fired",
        (f"DELETE FROM ticket_events WHERE (ticket_id, version) IN (SELECT id, version FROM tickets) AND "
         f"ticket_id = (SELECT ticket_id FROM ticket_events JOIN tickets ON id = ticket_id AND "
         f"tickets.version = ticket_events.version WHERE {SYSTEM_CLOSED} LIMIT 1)",),
        frozenset({Wrong.GAP, Wrong.STORY, Wrong.UNFIRED}),
    ),
    Damage(
        "reminder_the_customer_never_got",
        (f"DELETE FROM messages WHERE external_id LIKE 'baton:%reminder:1:1' AND ticket_id = {SOME_REMINDED}",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "reminder_the_customer_got_twice",
        ("INSERT INTO messages (id, organization_id, conversation_id, ticket_id, external_id, author_kind, body, "
         "sent_at) SELECT gen_random_uuid(), organization_id, conversation_id, ticket_id, external_id || '0', "
         f"author_kind, body, sent_at FROM messages WHERE external_id LIKE 'baton:%reminder:1:1' AND "
         f"ticket_id = {SOME_REMINDED}",),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "notification_that_was_lost",
        ("DELETE FROM notifications WHERE id = (SELECT min(id) FROM notifications WHERE key LIKE '%:assigned:%')",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "notification_by_mail_that_was_lost",
        ("DELETE FROM notifications WHERE id = "
         "(SELECT min(id) FROM notifications WHERE key LIKE '%:assigned:%' AND medium = 'email')",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "notification_by_a_medium_nobody_wanted",
        ("INSERT INTO notifications (organization_id, key, member_id, ticket_id, ticket_version, medium, kind, why, "
         "created_at) SELECT organization_id, replace(key, '\\:in_app', '\\:email'), member_id, ticket_id, "
         "ticket_version, 'email', kind, why, created_at FROM notifications WHERE kind = 'customer_replied' LIMIT 1",),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "notification_given_twice",
        ("INSERT INTO notifications (organization_id, key, member_id, ticket_id, ticket_version, kind, why, created_at)"
         " SELECT organization_id, replace(key, 'assigned:', 'assigned:7'), member_id, ticket_id, ticket_version, kind,"
         " why, created_at FROM notifications WHERE key LIKE '%:assigned:%' LIMIT 1",),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "message_of_a_stranger",
        (f"UPDATE messages SET organization_id = {STRANGER.format(table='messages')} WHERE id = "
         "(SELECT min(id::text)::uuid FROM messages)",),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "event_of_a_stranger",
        (f"UPDATE ticket_events SET organization_id = {STRANGER.format(table='ticket_events')} WHERE "
         f"ticket_id = {SOME_CLOSED} AND version = 2",),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "requester_of_a_stranger",
        (f"UPDATE requesters SET external_id = 'moved', organization_id = {STRANGER.format(table='requesters')} "
         f"WHERE id = (SELECT requester_id FROM tickets WHERE id = {SOME_CLOSED})",),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "message_nobody_sent",
        ("INSERT INTO messages (id, organization_id, conversation_id, ticket_id, external_id, author_kind, body, "
         "sent_at) SELECT gen_random_uuid(), organization_id, conversation_id, ticket_id, 'nobody', 'customer', 'x', "
         "sent_at FROM messages LIMIT 1",),
        frozenset({Wrong.UNASKED}),
    ),
)  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
async def test_damaged_tables_are_found_and_nothing_else(calm_run: CalmRun, damage: Damage) -> None:
    report = found(calm_run, await calm_run.altered(*damage.statements))
    assert {finding.wrong for finding in report.findings} == damage.wrong, report.findings


@pytest.mark.parametrize("what", [What.EDIT, What.STATUS, What.CUSTOMER_MESSAGE])
async def test_refused_command_that_has_an_effect_left_a_trace(calm_run: CalmRun, what: What) -> None:
    command = next(each for each in calm_run.history.of(Verdict.ACKNOWLEDGED) if each.sent.what is what)
    with answered(command, verdict=Verdict.REFUSED):
        findings = found(calm_run).findings
    assert {finding.wrong for finding in findings} == {Wrong.TRACE}


async def test_refused_message_that_was_stored_but_never_told_left_a_trace(calm_run: CalmRun) -> None:
    command = next(each for each in calm_run.history.of(Verdict.ACKNOWLEDGED) if each.sent.what is What.AGENT_MESSAGE)
    assert command.answered
    tables = await calm_run.altered(
        f"DELETE FROM ticket_events WHERE about ->> 'message_id' = '{command.answered.fact}'"
    )
    with answered(command, verdict=Verdict.REFUSED):
        findings = found(calm_run, tables).findings
    assert [command.key in finding.text for finding in findings if finding.wrong is Wrong.TRACE] == [True]


async def test_answer_that_names_another_version_is_found(calm_run: CalmRun) -> None:
    command = edits(calm_run)[0]
    assert command.answered
    assert command.answered.version
    with answered(command, version=command.answered.version + 1, pending=False):
        findings = found(calm_run).findings
    assert {finding.wrong for finding in findings} == {Wrong.ANSWER}


async def test_assignment_to_whom_it_was_assigned_is_not_lost_even_if_its_answer_shows_what_came_after(
    calm_run: CalmRun,
) -> None:
    command, answer, after = reassigned(calm_run)
    idle = Command(command.sent.model_copy(update={"command": "idle", "at": answer.at}), answered=answer)
    idle.answered = answer.model_copy(update={"command": "idle", "version": after["version"]})
    late = Command(idle.sent.model_copy(update={"command": "late", "at": after["at"]}), answered=idle.answered)
    calm_run.history.commands |= {"idle": idle, "late": late}
    try:
        report = found(calm_run)
    finally:
        del calm_run.history.commands["idle"], calm_run.history.commands["late"]
    assert [(finding.wrong, "late" in finding.text) for finding in report.findings] == [(Wrong.LOST, True)]


def reassigned(run: CalmRun) -> tuple[Command, Answered, Row]:
    """An acknowledged assignment, its answer, and the next event that gave its ticket to somebody else."""
    events = by(run.reading.tables.events, "ticket_id")
    for command in run.history.of(Verdict.ACKNOWLEDGED):
        answer, body = command.answered, command.sent.body
        if command.sent.what is What.ASSIGN and answer and answer.version and "assignee_id" in body:
            for event in events[UUID(command.ticket)]:
                if event["version"] > answer.version and "assignee_id" in event["changes"]:
                    return command, answer, event
    raise AssertionError("no ticket was assigned twice")


@pytest.mark.parametrize(("status", "wrong"), [(409, False), (200, True)])
async def test_refusal_nobody_waited_for_is_told_to_whoever_asks_again(
    calm_run: CalmRun, status: int, wrong: bool
) -> None:
    command = next(each for each in calm_run.history.of(Verdict.ACKNOWLEDGED) if each.sent.what is What.EDIT)
    tables = await calm_run.altered(
        f"UPDATE ticket_events SET kind = 'command_refused' WHERE request_id = '{command.key}'"
    )
    before = list(command.repeated)
    command.repeated = [Repeated(command=command.key, status=status)]
    try:
        findings = found(calm_run, tables).findings
    finally:
        command.repeated = before
    assert any(each.wrong is Wrong.ANSWER for each in findings) == wrong


async def test_workflow_that_is_missing_or_holds_another_state_is_found(calm_run: CalmRun) -> None:
    reading = calm_run.reading
    one, other, extra = *list(reading.workflows)[:2], UUID(int=1)
    ticket = reading.workflows[other].ticket
    assert ticket
    changed = replace(reading.workflows[other], ticket=ticket.model_copy(update={"title": "Other"}))
    workflows = {
        **reading.workflows,
        one: WorkflowReading(None, problem="it has no workflow"),
        other: changed,
        extra: changed,
    }
    findings = check(calm_run.history, replace(reading, workflows=workflows)).findings
    assert {finding.wrong for finding in findings} == {Wrong.MISMATCH}
    assert [any(str(id_) in finding.text for finding in findings) for id_ in (one, other, extra)] == [True] * 3


async def test_api_that_shows_another_state_or_others_tickets_is_found(calm_run: CalmRun) -> None:
    reading = calm_run.reading
    organization, listed = next((id_, listed) for id_, listed in reading.api.items() if listed.versions)
    ticket = next(iter(listed.versions))
    shown = Listed({**listed.versions, ticket: 999}, strangers=[str(UUID(int=1))])
    findings = check(calm_run.history, replace(reading, api={**reading.api, organization: shown})).findings
    assert {finding.wrong for finding in findings} == {Wrong.MISMATCH, Wrong.FOREIGN}
