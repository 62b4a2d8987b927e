from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import pytest

from tests.chaos.conftest import CALM_COMMANDS, CalmRun
from tests.chaos.damages import DAMAGES, DOUBLED_EVENT, NOT_UNIQUE, Damage
from tests.chaos.evidence import Evidence
from tests.chaos.journal import Answered, Command, Received, Repeated, Verdict, What
from tests.chaos.reading import EscalationReading, Row, Tables, WorkflowReading
from tests.chaos.report import Report, Wrong
from tests.chaos.retelling import Fate
from tests.chaos.rows import by
from tests.chaos.talk_damages import TALK_DAMAGES


def found(run: CalmRun, tables: Tables | None = None) -> Report:
    return run.check(replace(run.reading, tables=tables) if tables else None)


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
        if command.sent.what.of_conversation:
            continue
        place = command.sent.client, command.ticket
        earlier, last[place] = last.get(place), command
        both = [each for each in (earlier, command) if each and each.answered and each.answered.version]
        if earlier and len(both) == 2 and earlier.sent.what is not What.CREATE:
            return earlier, command
    raise AssertionError("no client did two things on one ticket")


async def test_undisturbed_run_keeps_every_promise(calm_run: CalmRun) -> None:
    report = found(calm_run)
    assert report.findings == []
    assert (report.acknowledged >= CALM_COMMANDS, report.refused > 0, report.repeated > 0) == (True, True, True)
    assert len(report.timers(Fate.FIRED)) >= 30
    assert report.tickets == len(calm_run.reading.tables.tickets)
    talks = report.talks
    assert min(talks.raised, talks.taken, talks.contested, talks.returned, talks.steps, talks.replies) > 0, talks
    assert talks.requests > talks.deliveries > talks.replies


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


@pytest.mark.parametrize("damage", [*DAMAGES, *TALK_DAMAGES], ids=lambda damage: damage.name)
async def test_damaged_tables_are_found_and_nothing_else(calm_run: CalmRun, damage: Damage) -> None:
    report = found(calm_run, await calm_run.altered(*damage.statements))
    wrong = {finding.wrong for finding in report.findings}
    assert damage.wrong <= wrong <= damage.wrong | damage.beside, report.findings


@pytest.mark.parametrize("what", [What.EDIT, What.STATUS, What.CUSTOMER_MESSAGE])
async def test_refused_command_that_has_an_effect_left_a_trace(calm_run: CalmRun, what: What) -> None:
    command = next(each for each in calm_run.history.of(Verdict.ACKNOWLEDGED) if each.sent.what is what)
    with answered(command, verdict=Verdict.REFUSED):
        findings = found(calm_run).findings
    assert {finding.wrong for finding in findings} == {Wrong.TRACE}


@pytest.mark.parametrize(
    ("waits", "code", "wrong"), [(False, "own", False), (False, "other", True), (True, "own", True)]
)
async def test_only_a_refusal_nobody_waited_for_is_on_record(
    calm_run: CalmRun, waits: bool, code: str, wrong: bool
) -> None:
    command = edits(calm_run)[0]
    tables = await calm_run.altered(
        f"""UPDATE ticket_events SET kind = 'command_refused', about = '{{"code": "own"}}'
        WHERE request_id = '{command.key}'"""
    )
    sent, command.sent = command.sent, command.sent.model_copy(update={"waits": waits})
    try:
        with answered(command, verdict=Verdict.REFUSED, code=code):
            findings = found(calm_run, tables).findings
    finally:
        command.sent = sent
    assert any(each.wrong is Wrong.TRACE for each in findings) == wrong


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


@pytest.mark.parametrize(
    ("status", "on_record", "wrong"),
    [(409, True, False), (202, False, False), (202, True, True), (200, False, True)],
)
async def test_refusal_nobody_waited_for_is_told_to_whoever_asks_again_once_it_is_on_record(
    calm_run: CalmRun, status: int, on_record: bool, wrong: bool
) -> None:
    command = next(each for each in edits(calm_run) if each.answered and not each.answered.pending)
    assert command.answered
    tables = await calm_run.altered(
        f"UPDATE ticket_events SET kind = 'command_refused' WHERE request_id = '{command.key}'"
    )
    asked_at = command.answered.at if on_record else command.sent.at
    before = list(command.repeated)
    command.repeated = [Repeated(command=command.key, asked_at=asked_at, status=status)]
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
    findings = calm_run.check(replace(reading, workflows=workflows)).findings
    assert {finding.wrong for finding in findings} == {Wrong.MISMATCH}
    assert [any(str(id_) in finding.text for finding in findings) for id_ in (one, other, extra)] == [True] * 3


async def test_api_that_shows_another_state_or_others_tickets_is_found(calm_run: CalmRun) -> None:
    reading = calm_run.reading
    organization, listed = next((id_, listed) for id_, listed in reading.api.items() if listed.versions)
    ticket = next(iter(listed.versions))
    shown = replace(listed, versions={**listed.versions, ticket: 999}, strangers=[str(UUID(int=1))])
    findings = calm_run.check(replace(reading, api={**reading.api, organization: shown})).findings
    assert {finding.wrong for finding in findings} == {Wrong.MISMATCH, Wrong.FOREIGN}


# Conversations


def of(run: CalmRun, verdict: Verdict, *whats: What) -> list[Command]:
    return [command for command in run.history.of(verdict) if command.sent.what in whats]


def contested(run: CalmRun) -> Command:
    """A claim that another member has won."""
    claims = of(run, Verdict.REFUSED, What.CLAIM, What.TAKE_OVER)
    return next(claim for claim in claims if claim.answered and claim.answered.owner)


@contextmanager
def received(run: CalmRun, requests: Sequence[Received]) -> Iterator[None]:
    """The receiver noted something else."""
    noted = run.history.received
    run.history.received = [*requests]
    try:
        yield
    finally:
        run.history.received = noted


@pytest.mark.parametrize("what", [What.TAKE_OVER, What.HAND_BACK, What.RESOLVE, What.REPLY])
async def test_refused_command_of_a_conversation_that_has_an_effect_left_a_trace(calm_run: CalmRun, what: What) -> None:
    talks = Evidence(calm_run.history, calm_run.reading).talks
    command = next(
        each for each in of(calm_run, Verdict.ACKNOWLEDGED, what) if talks.effects(each) or what is What.REPLY
    )
    with answered(command, verdict=Verdict.REFUSED, code="escalation_over"):
        wrong = {finding.wrong for finding in found(calm_run).findings}
    assert wrong == ({Wrong.TRACE, Wrong.ANSWER} if what is What.REPLY else {Wrong.TRACE})


async def test_second_winner_of_one_conversation_is_found(calm_run: CalmRun) -> None:
    with answered(contested(calm_run), verdict=Verdict.ACKNOWLEDGED, code=None, owner=None):
        findings = found(calm_run).findings
    assert {finding.wrong for finding in findings} == {Wrong.LOST}


async def test_loser_who_was_not_told_the_winners_name_is_found(calm_run: CalmRun) -> None:
    command = contested(calm_run)
    for owner in (None, f"{command.sent.member}: Agent 1", "7: Nobody"):
        with answered(command, owner=owner):
            findings = found(calm_run).findings
        assert {finding.wrong for finding in findings} == {Wrong.ANSWER}, owner


async def test_request_for_a_human_that_is_answered_with_another_escalation_is_found(calm_run: CalmRun) -> None:
    command = of(calm_run, Verdict.ACKNOWLEDGED, What.RAISE)[0]
    with answered(command, escalation=str(UUID(int=1))):
        wrong = {finding.wrong for finding in found(calm_run).findings}
    assert wrong == {Wrong.ANSWER}


async def test_escalation_unlike_its_workflow_or_its_list_is_found(calm_run: CalmRun) -> None:
    reading = calm_run.reading
    conversation, held = next((id_, held) for id_, held in reading.escalations.items() if held.escalation)
    assert held.escalation
    changed = EscalationReading(held.escalation.model_copy(update={"stay": 9}))
    organization, listed = next((id_, listed) for id_, listed in reading.api.items() if listed.escalations)
    for otherwise in (
        replace(reading, escalations={**reading.escalations, conversation: changed}),
        replace(reading, escalations={**reading.escalations, conversation: EscalationReading(None, "it is gone")}),
        replace(reading, api={**reading.api, organization: replace(listed, escalations={})}),
    ):
        findings = calm_run.check(otherwise).findings
        assert [finding.wrong for finding in findings] == [Wrong.MISMATCH]


async def test_delivery_that_did_not_arrive_as_it_is_recorded_is_found(calm_run: CalmRun) -> None:
    requests = calm_run.history.received
    [*_, last] = [request for request in requests if request.taken]
    others = [request for request in requests if request.delivery != last.delivery]
    other_words = {**last.content, "data": {**last.content["data"], "conversation": {"id": "7"}}}
    for noted, wrong in (
        (others, {Wrong.UNDELIVERED, Wrong.RECORDED}),
        ([*others, last.model_copy(update={"answered": False})], {Wrong.RECORDED}),
        ([*requests, last.model_copy(update={"signed": False})], {Wrong.FORGED}),
        ([*requests, last.model_copy(update={"content": other_words})], {Wrong.DELIVERED_IN_VAIN}),
        ([*requests, last.model_copy(update={"delivery": "dlv_7"})], {Wrong.DELIVERED_IN_VAIN}),
    ):
        with received(calm_run, noted):
            findings = found(calm_run).findings
        assert {finding.wrong for finding in findings} == wrong, findings


async def test_deliveries_of_one_conversation_in_another_order_are_found(calm_run: CalmRun) -> None:
    with received(calm_run, calm_run.history.received[::-1]):
        findings = found(calm_run).findings
    assert {finding.wrong for finding in findings} == {Wrong.DISORDERED}


async def test_answers_of_one_client_that_go_out_in_another_order_are_found(calm_run: CalmRun) -> None:
    talks = Evidence(calm_run.history, calm_run.reading).talks
    pairs: dict[tuple[str, UUID], list[Command]] = {}
    for command in of(calm_run, Verdict.ACKNOWLEDGED, What.REPLY):
        pairs.setdefault((command.sent.client, talks.conversation_id(command)), []).append(command)
    first, second, *_ = next(commands for commands in pairs.values() if len(commands) > 1)
    turns = first.turn, second.turn
    second.turn, first.turn = turns
    try:
        findings = found(calm_run).findings
    finally:
        first.turn, second.turn = turns
    assert {finding.wrong for finding in findings} == {Wrong.DISORDERED}
