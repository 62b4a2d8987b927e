import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.signatures import LoadTicket, Recorded, TicketBatch
from activities.ticket_record import TicketRecord
from db.engine import Sessions
from db.models import Message, Notification, TicketEventRow, TicketRow
from domain import lifecycle
from domain.commands import Edit
from domain.story import Story
from domain.terms import adopt
from domain.ticket import Status, Ticket
from domain.timers import timers
from tests.unit.tickets import API, LATER, NOW, to


@pytest.fixture
def record(sessions: Sessions) -> TicketRecord:
    return TicketRecord(sessions)


def created(ticket: Ticket) -> Story:
    return lifecycle.create(ticket, API, NOW, "create", "print")


def batch(*stories: Story, description: str | None = None) -> TicketBatch:
    """What a workflow hands on after ``stories``."""
    after = stories[-1].ticket
    answers = {
        story.events[0].request_id: story.ticket
        for story in stories
        if story.events[0].request_id and story.ticket.version != after.version
    }
    events = tuple(event for story in stories for event in story.events)
    return TicketBatch(ticket=after, events=events, answers=answers, description=description)


async def written(record: TicketRecord, handed_on: TicketBatch) -> Recorded:
    """Run the activity as a worker does."""
    recorded: Recorded = await ActivityEnvironment().run(record.record, handed_on)
    return recorded


def edited(ticket: Ticket, title: str, request_id: str | None = None) -> Story:
    command = Edit(request_id=request_id or str(uuid4()), fingerprint=f"edit {title}", title=title)
    return lifecycle.decide(ticket, command, LATER)


async def row_of(sessions: Sessions, ticket: Ticket) -> TicketRow:
    async with sessions() as session:
        return await session.get_one(TicketRow, ticket.id)


async def events_of(sessions: Sessions, ticket: Ticket) -> list[TicketEventRow]:
    async with sessions() as session:
        return list(
            await session.scalars(
                select(TicketEventRow).where(TicketEventRow.ticket_id == ticket.id).order_by(TicketEventRow.version)
            )
        )


async def count(sessions: Sessions, table: type[Message | Notification], ticket: Ticket) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).where(table.ticket_id == ticket.id)) or 0


async def test_row_equals_what_the_workflow_will_hold(record: TicketRecord, sessions: Sessions, ticket: Ticket) -> None:
    story = created(ticket)
    recorded = await written(record, batch(story, description="The money is missing."))
    assert recorded.terms is not None
    holds = adopt(story.ticket, recorded.terms)
    row = await row_of(sessions, ticket)
    assert (Ticket.model_validate(row.state), row.description) == (holds, "The money is missing.")
    assert row.next_timer_at == timers(holds)[0].due_at


async def test_batch_recorded_again_changes_nothing(record: TicketRecord, sessions: Sessions, ticket: Ticket) -> None:
    opened = created(ticket)
    resolved = lifecycle.decide(opened.ticket, to(Status.RESOLVED), LATER)
    whole = batch(opened, resolved)
    first = await written(record, whole)
    kept = (await row_of(sessions, ticket)).state
    again = await asyncio.gather(*(written(record, whole) for _ in range(3)))
    assert again == [first] * 3
    assert (await row_of(sessions, ticket)).state == kept
    assert [event.version for event in await events_of(sessions, ticket)] == [1, 2]
    assert (await count(sessions, Message, ticket), await count(sessions, Notification, ticket)) == (1, 2), (
        "by each medium"
    )


async def test_batch_that_comes_late_does_not_turn_the_row_back(
    record: TicketRecord, sessions: Sessions, ticket: Ticket
) -> None:
    opened = created(ticket)
    renamed = edited(opened.ticket, "Renamed")
    await written(record, batch(opened, renamed))
    await written(record, batch(opened))
    row = await row_of(sessions, ticket)
    assert (row.version, row.title) == (2, "Renamed")


async def test_every_command_of_a_burst_keeps_the_answer_it_got(
    record: TicketRecord, sessions: Sessions, ticket: Ticket
) -> None:
    opened = created(ticket)
    one = edited(opened.ticket, "One")
    two = edited(one.ticket, "Two")
    await written(record, batch(opened, one, two))
    answers = [Ticket.model_validate(event.answer) for event in await events_of(sessions, ticket)]
    assert [(answer.version, answer.title) for answer in answers] == [(1, ticket.title), (2, "One"), (3, "Two")]


async def test_request_that_names_an_event_already_cannot_stop_the_record(
    record: TicketRecord, sessions: Sessions, ticket: Ticket
) -> None:
    opened = created(ticket)
    one = edited(opened.ticket, "One", request_id="key")
    await written(record, batch(opened, one))
    again = edited(one.ticket, "Two", request_id="key")
    await written(record, batch(again))
    events = await events_of(sessions, ticket)
    assert [(event.version, event.request_id) for event in events] == [(1, "create"), (2, "key"), (3, None)]
    assert (await row_of(sessions, ticket)).title == "Two"


async def test_loaded_ticket_brings_its_latest_requests_the_oldest_first(record: TicketRecord, ticket: Ticket) -> None:
    stories = [created(ticket)]
    for title in ("One", "Two", "Three"):
        stories.append(edited(stories[-1].ticket, title, request_id=title))
    recorded = await written(record, batch(*stories))
    assert recorded.terms is not None
    loaded = await record.load(LoadTicket(ticket_id=ticket.id, requests=2))
    assert loaded.ticket == adopt(stories[-1].ticket, recorded.terms)
    assert [(name, each.version) for name, each in loaded.remembered.items()] == [("Two", 3), ("Three", 4)]
    assert loaded.remembered["Two"].fingerprint == "edit Two"


async def test_ticket_that_does_not_exist_is_not_looked_for_again(record: TicketRecord) -> None:
    with pytest.raises(ApplicationError) as error:
        await record.load(LoadTicket(ticket_id=uuid4(), requests=1))
    assert (error.value.type, error.value.non_retryable) == ("ticket_not_found", True)
