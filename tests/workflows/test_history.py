import asyncio
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.commands import Edit
from domain.ladders import ReminderAction, ReminderLadder, ReminderStep
from domain.ticket import Status
from settings import Settings
from tests.workflows.life import API, Life
from tests.workflows.office import Office
from workflows.search_attributes import TICKET_STATUS

SHORT = 40
"""Events after which the runs of these tests continue as new."""

WAVE = 80
"""Messages on their way to the ticket at one time."""

DAY = timedelta(days=1)


async def edit_often(life: Life, times: int) -> None:
    for number in range(times):
        await life.obey(life.edit(f"Title {number}"))


async def test_long_life_is_many_short_runs(office: Office) -> None:
    life = await (await office.open()).ticket(history_limit=SHORT)
    await edit_often(life, 15)
    assert await life.story() == ["created"] + ["edited"] * 15
    runs = await life.runs()
    assert len(runs) > 2
    assert max(runs) < 2 * SHORT


async def test_command_sent_again_in_a_later_run_has_no_second_effect(office: Office) -> None:
    life = await (await office.open()).ticket(history_limit=SHORT)
    command = life.edit("Once")
    first = await life.obey(command)
    message = await life.customer_writes()
    await edit_often(life, 15)
    assert len(await life.runs()) > 1
    again = await life.obey(command)
    assert (again.version, again.fingerprint, again.repeated) == (first.version, first.fingerprint, True)
    await life.tell(message)
    await life.submit(command)
    story = await life.story()
    assert (story.count("edited"), story.count("customer_replied")) == (16, 1)


async def test_commands_at_once_are_answered_while_runs_change(office: Office) -> None:
    life = await (await office.open()).ticket(history_limit=SHORT)

    async def client(name: str) -> list[int]:
        return [(await life.obey(life.edit(f"{name} {number}"))).version for number in range(8)]

    versions = await asyncio.gather(*(client(name) for name in "abcd"))
    assert sorted(version for of_client in versions for version in of_client) == list(range(2, 34))
    assert len(await life.runs()) > 1


async def test_deadlines_are_kept_across_runs(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana", history_limit=SHORT)
    began = (await life.move(Status.WAITING, "Ana")).ticket.status_since
    for _ in range(6):
        await edit_often(life, 4)
        ticket = await life.let_pass(DAY)
    assert await life.said_to_customer() == ["reminder:1:1", "reminder:1:2"]
    assert len(await life.runs()) > 2
    ticket = await life.let_pass(DAY + timedelta(hours=1))
    assert ticket.resolved_at is not None
    assert timedelta(0) <= ticket.resolved_at - began - 7 * DAY < timedelta(seconds=5)


async def test_search_attributes_follow_the_ticket_across_runs(office: Office) -> None:
    life = await (await office.open()).ticket(assignee="Ana", history_limit=SHORT)
    for status in [Status.WAITING, Status.IN_PROGRESS] * 6:
        await life.move(status, "Ana")
        await life.settled()
        description = await life.handle.describe()
        assert description.typed_search_attributes.get(TICKET_STATUS) == status
    assert len(await life.runs()) > 2


async def test_flood_behind_a_slow_database_is_carried_in_bearable_pieces(office: Office, settings: Settings) -> None:
    life = await (await office.open()).ticket()
    tags = tuple(f"{number:050}" for number in range(50))
    await life.obey(Edit(request_id="tags", fingerprint="tags", actor=API, tags=tags))
    await life.settled()
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as blocker:
        await blocker.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", [life.id])
        await write_at_once(life, 600)
    ticket = await life.settled(timeout=60)
    assert ticket.version == 2 + 600
    description = await life.handle.describe()
    assert description.status is WorkflowExecutionStatus.RUNNING


@pytest.mark.timeout(600)
@pytest.mark.parametrize("messages", [320, pytest.param(9_600, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_sixty_days_of_waiting_and_many_messages_keep_the_history_bounded(
    skipping_office: Office, capsys: pytest.CaptureFixture[str], messages: int
) -> None:
    every_three_days = ReminderLadder(
        name="Patient",
        steps=tuple(ReminderStep(after=3 * n * DAY, action=ReminderAction.REMIND) for n in range(1, 21)),
    )
    office = await skipping_office.open(reminders=every_three_days)
    life = await office.ticket(assignee="Ana")
    await life.move(Status.WAITING, "Ana")
    await life.let_pass(61 * DAY)
    assert len(await life.said_to_customer()) == 20
    loop = asyncio.get_running_loop()
    versions = (await life.settled()).version
    began = loop.time()
    for _ in range(0, messages, WAVE):
        await write_at_once(life, WAVE)
        await life.settled(timeout=60)  # as through the API, which answers once a message is recorded
    took = loop.time() - began
    ticket = await life.settled()
    assert ticket.version >= versions + messages
    assert (ticket.status, (await life.story()).count("customer_replied")) == (Status.IN_PROGRESS, messages)
    runs = await life.runs()
    with capsys.disabled():
        print(f"\n{messages} messages in {took:.1f} s; {len(runs)} runs of at most {max(runs)} events: {runs}")
    assert max(runs) < 500 + 3 * WAVE


async def write_at_once(life: Life, messages: int) -> None:
    turns = asyncio.Semaphore(16)

    async def write() -> None:
        async with turns:
            await life.customer_writes(automatic=uuid4().int % 2 == 0)

    await asyncio.gather(*(write() for _ in range(messages)))
