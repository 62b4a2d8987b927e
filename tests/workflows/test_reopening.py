import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.commands import CustomerReplied
from domain.ticket import Status, Ticket
from tests.support import eventually
from tests.workflows.life import CUSTOMER, Life
from tests.workflows.office import Office


async def closed(office: Office) -> Life:
    """A ticket of Ana's whose run has ended."""
    life = await office.ticket(assignee="Ana")
    await close(life)
    return life


async def close(life: Life) -> Ticket:
    await life.move(Status.RESOLVED)
    await life.move(Status.CLOSED)
    return await life.handle.result()


async def test_closing_ends_the_run_after_everything_is_recorded(office: Office) -> None:
    life = await closed(await office.open())
    row = await life.row()
    assert row is not None
    assert (row.status, row) == (Status.CLOSED, await life.handle.result())
    assert row.closed_at is not None
    assert row.reopen_until is not None
    assert (row.reopen_until - row.closed_at).days == 30


async def test_reopening_begins_a_run_that_reads_its_state(office: Office) -> None:
    life = await closed(await office.open())
    first_run = (await life.handle.describe()).run_id
    outcome = await life.reopen(life.to(Status.IN_PROGRESS, "Ana"))
    assert (outcome.ticket.status, outcome.ticket.assignee_name) == (Status.IN_PROGRESS, "Ana")
    assert (outcome.version, outcome.ticket.reopened, outcome.ticket.closed_at) == (4, 1, None)
    description = await life.handle.describe()
    assert description.run_id != first_run
    assert description.status is WorkflowExecutionStatus.RUNNING
    assert (await life.obey(life.edit("Goes on"))).version == 5
    assert await life.story() == ["created", "resolve", "close", "reopen", "edited"]


async def test_reopened_run_shows_its_search_attributes(office: Office) -> None:
    life = await closed(await office.open())
    await life.reopen()

    async def shown() -> bool:
        attributes = (await life.handle.describe()).search_attributes
        return attributes.get("TicketStatus") == ["open"] and "TicketAssignee" in attributes

    await eventually(shown)


async def test_reopening_at_once_begins_one_run_with_one_effect(office: Office) -> None:
    life = await closed(await office.open())
    command = life.to(Status.OPEN)
    outcomes = await asyncio.gather(*(life.reopen(command) for _ in range(4)))
    assert {outcome.version for outcome in outcomes} == {4}
    assert (await life.settled()).reopened == 1


async def test_refused_reopening_leaves_the_ticket_closed_and_no_run_behind(office: Office) -> None:
    life = await closed(await office.open())
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await life.reopen(life.to(Status.WAITING))
    assert isinstance(cause := refusal.value.cause, ApplicationError)
    assert (cause.type, cause.details[0]["legal"]) == ("illegal_transition", ["open", "in_progress"])
    assert (await life.handle.result()).status is Status.CLOSED
    assert await life.story() == ["created", "resolve", "close"]


async def test_reopening_a_ticket_that_is_not_closed_meets_its_own_run(office: Office) -> None:
    life = await (await office.open()).ticket()
    await life.move(Status.RESOLVED)
    assert (await life.reopen(life.to(Status.OPEN))).ticket.status is Status.OPEN
    assert await life.story() == ["created", "resolve", "reopen"]


async def test_customer_message_reopens_a_closed_ticket(office: Office) -> None:
    life = await closed(await office.open())
    fact = CustomerReplied(message_id=uuid4(), at=datetime.now(UTC), actor=CUSTOMER)
    await life.reopened_by(fact)
    await eventually(lambda: recorded(life, 5))
    assert await life.story() == ["created", "resolve", "close", "customer_replied", "reopen"]
    ticket = await life.settled()
    assert (ticket.status, ticket.unanswered_since, ticket.assignee_name) == (Status.OPEN, fact.at, "Ana")


async def recorded(life: Life, version: int) -> bool:
    row = await life.row()
    return row is not None and row.version >= version


async def test_automatic_reply_to_a_closed_ticket_is_told_and_leaves_it_closed(office: Office) -> None:
    life = await closed(await office.open())
    await life.reopened_by(CustomerReplied(message_id=uuid4(), at=datetime.now(UTC), actor=CUSTOMER, automatic=True))
    assert (await life.handle.result()).status is Status.CLOSED
    assert await life.story() == ["created", "resolve", "close", "customer_replied"]


async def test_request_of_an_earlier_run_has_no_second_effect_after_a_reopening(office: Office) -> None:
    life = await (await office.open()).ticket()
    command = life.edit("Before it was closed")
    first = await life.obey(command)
    await close(life)
    await life.reopen()
    await life.obey(life.edit("After it was reopened"))
    again = await life.obey(command)
    assert (again.version, again.fingerprint, again.repeated) == (first.version, first.fingerprint, True)
    assert again.ticket.title == "After it was reopened"
    assert (await life.settled()).version == again.ticket.version


async def test_message_told_again_to_a_reopened_ticket_counts_once(office: Office) -> None:
    life = await (await office.open()).ticket()
    fact = await life.customer_writes()
    await close(life)
    await life.reopen()
    await life.tell(fact)
    await life.obey(life.edit("Goes on"))
    await life.settled()
    assert (await life.story()).count("customer_replied") == 1


async def test_ticket_is_reopened_as_often_as_it_is_closed(office: Office) -> None:
    life = await closed(await office.open())
    for number in range(1, 4):
        assert (await life.reopen()).ticket.reopened == number
        await close(life)
    assert (await life.story()).count("reopen") == 3
    assert await life.said_to_customer() == [f"resolved:{number}" for number in range(4)]


async def test_run_without_a_ticket_to_load_fails_instead_of_waiting(office: Office) -> None:
    life = Life(await office.open(), uuid4())
    with pytest.raises(WorkflowUpdateFailedError):
        await life.reopen()
    assert (await life.handle.describe()).status is WorkflowExecutionStatus.FAILED
