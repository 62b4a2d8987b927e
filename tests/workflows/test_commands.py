import asyncio
from collections import Counter
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.commands import Command, Escalate, NoteAdded
from domain.priority import Priority
from domain.ticket import Status, legal_targets
from settings import Settings
from tests.workflows.life import API, Life
from tests.workflows.office import Office


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """In the sandbox."""
    return settings.model_copy(update={"worker_sandboxed": True})


async def refused(life: Life, command: Command) -> ApplicationError:
    """The refusal of a command that must not work."""
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await life.obey(command)
    assert isinstance(refusal.value.cause, ApplicationError)
    return refusal.value.cause


async def test_commands_change_the_ticket_and_answer_with_it(office: Office) -> None:
    life = await (await office.open()).ticket()
    assert (await life.assign("Ana")).ticket.assignee_name == "Ana"
    assert (await life.obey(life.edit("Refund twice"))).ticket.title == "Refund twice"
    escalated = await life.obey(Escalate(request_id="e", fingerprint="e", actor=API, reason="Angry"))
    assert (escalated.ticket.priority, escalated.version) == (Priority.HIGH, 4)
    assert (await life.move(Status.IN_PROGRESS, "Ana")).ticket.status is Status.IN_PROGRESS
    assert await life.story() == ["created", "assigned", "edited", "escalated", "start"]


@pytest.mark.parametrize("status", [Status.OPEN, Status.IN_PROGRESS, Status.WAITING, Status.RESOLVED])
async def test_refused_move_names_the_legal_ones_and_leaves_no_event(office: Office, status: Status) -> None:
    life = await (await office.open()).ticket()
    if status is not Status.OPEN:
        await life.move(status)
    before = await life.history_length()
    illegal = [target for target in Status if target.value not in legal_targets(status)]
    for target in illegal:
        refusal = await refused(life, life.to(target))
        assert refusal.type == "illegal_transition"
        assert refusal.details[0]["legal"] == legal_targets(status)
    assert illegal
    assert await life.history_length() == before


async def test_command_for_an_old_version_is_refused_and_leaves_no_event(office: Office) -> None:
    life = await (await office.open()).ticket()
    await life.move(Status.IN_PROGRESS)
    before = await life.history_length()
    refusal = await refused(life, life.to(Status.RESOLVED, if_version=1))
    assert (refusal.type, refusal.details[0]) == ("version_mismatch", {"version": 2})
    assert await life.history_length() == before
    assert (await life.move(Status.RESOLVED, if_version=2)).version == 3


async def test_command_sent_twice_has_one_effect_and_one_answer(office: Office) -> None:
    life = await (await office.open()).ticket()
    command = life.edit("Once")
    answers = [await life.obey(command) for _ in range(2)]
    answers += await asyncio.gather(*(life.obey(command) for _ in range(3)))
    assert len({answer.model_dump_json() for answer in answers}) == 1
    assert await life.story() == ["created", "edited"]


async def test_request_repeated_under_another_update_is_noticed_by_the_ticket(office: Office) -> None:
    life = await (await office.open()).ticket()
    command = life.edit("Once")
    first = await life.obey(command)
    await life.obey(life.edit("Twice"))
    again = await life.obey(command, update_id=str(uuid4()))
    assert (again.version, again.fingerprint, again.repeated) == (first.version, first.fingerprint, True)
    assert (again.ticket.title, again.ticket.version) == ("Twice", 3)


async def test_key_used_for_another_request_is_refused(office: Office) -> None:
    life = await (await office.open()).ticket()
    await life.obey(life.edit("Once", request_id="key"))
    other = life.edit("Other", request_id="key")
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await life.obey(other, update_id="another update")
    assert isinstance(refusal.value.cause, ApplicationError)
    assert refusal.value.cause.type == "idempotency_key_reused"
    outcome = await life.obey(other)  # the server knows the update's id and answers for the first request
    assert outcome.fingerprint != other.fingerprint


async def test_ten_commands_at_once_are_all_answered_without_a_gap(office: Office) -> None:
    life = await (await office.open()).ticket()
    outcomes = await asyncio.gather(*(life.obey(life.edit(f"Title {number}")) for number in range(10)))
    assert sorted(outcome.version for outcome in outcomes) == list(range(2, 12))
    for outcome in outcomes:
        assert outcome.ticket.version == outcome.version
    assert Counter(await life.story()) == {"created": 1, "edited": 10}


async def test_contradicting_commands_at_once_have_one_winner(office: Office) -> None:
    life = await (await office.open()).ticket()
    moves = [life.to(Status.WAITING), life.to(Status.IN_PROGRESS), life.to(Status.IN_PROGRESS), life.to(Status.WAITING)]
    answers = await asyncio.gather(*(life.obey(move) for move in moves), return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {type(refusal) for refusal in refusals} <= {WorkflowUpdateFailedError}
    ticket = await life.settled()
    assert ticket.version == 1 + len(answers) - len(refusals)


# Commands and facts whose sender does not wait


async def test_submitted_command_takes_effect_once(office: Office) -> None:
    life = await (await office.open()).ticket()
    command = life.edit("Later")
    for _ in range(3):
        await life.submit(command)
    assert (await life.settled()).title == "Later"
    assert await life.story() == ["created", "edited"]
    (_, edited) = await life.events()
    assert (edited.request_id, edited.fingerprint, edited.actor_name) == (command.request_id, "edit Later", "Program")


async def test_refused_submitted_command_is_told_in_the_story(office: Office) -> None:
    life = await (await office.open()).ticket()
    command = life.to(Status.CLOSED, "Ana")
    await life.submit(command)
    assert (await life.settled()).status is Status.OPEN
    (_, event) = await life.events()
    assert event.kind == "command_refused"
    assert event.about == {"command": "change_status", "code": "illegal_transition"}
    assert event.reason == "A ticket that is open cannot become closed; it can become in_progress, waiting, resolved."
    assert (event.actor_name, event.request_id) == ("Ana", command.request_id)


async def test_fact_told_twice_counts_once(office: Office) -> None:
    life = await (await office.open()).ticket(assignee="Ana")
    message = await life.customer_writes()
    note = NoteAdded(note_id=uuid4(), at=message.at, actor=office.members["Ben"])
    await asyncio.gather(life.tell(message), life.tell(note), life.tell(note))
    assert (await life.settled()).unanswered_since == message.at
    assert Counter(await life.story()) == {"created": 1, "customer_replied": 1, "note_added": 1}
    assert await life.told() == [("Ana", "ticket_assigned"), ("Ana", "customer_replied")]
