"""Each way the two stores can come apart is found, and mended by the command that says it mends it."""

import io
from uuid import UUID

import pytest
from pydantic import SecretStr
from rich.console import Console
from sqlalchemy import delete, select, text, update

from db.models import Notification, QueuedTicket, TicketEventRow, TicketRow
from domain.ticket import Status
from repair.__main__ import run
from repair.findings import Finding
from repair.ticket_comparison import Comparison
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.office import Office
from tests.workflows.queue import rows


class Result:
    """What a command printed, and its exit code."""

    def __init__(self, code: int, printed: str) -> None:
        self.code = code
        self.printed = printed


async def repair(office: Office, *arguments: str) -> Result:
    out = io.StringIO()
    console = Console(file=out, markup=False, highlight=False, soft_wrap=True)
    settings = office.settings.model_copy(update={"secret_key": SecretStr("1" * 32)})
    code = await run(settings, [*arguments, "--organization", str(office.id)], console)
    return Result(code, out.getvalue())


async def finding(office: Office, ticket_id: UUID) -> Finding | None:
    compared = [each async for each in Comparison(office.sessions, office.client).all(office.id)]
    return next((each.finding for each in compared if each.ticket_id == ticket_id), None)


async def lived(office: Office) -> Life:
    """A ticket with some history, whose people have been told of it."""
    life = await office.ticket(assignee="Ana")
    await life.move(Status.IN_PROGRESS, by="Ana")
    await life.move(Status.WAITING, by="Ana")
    await life.customer_writes()
    await life.settled()
    return life


async def damage(office: Office, life: Life, how: str) -> None:
    async with office.sessions.begin() as session:
        mine = TicketRow.id == life.id
        if how == "lost":
            await session.execute(delete(TicketRow).where(mine))
            await session.execute(delete(TicketEventRow).where(TicketEventRow.ticket_id == life.id))
        elif how == "gap":
            await session.execute(
                delete(TicketEventRow).where(TicketEventRow.ticket_id == life.id, TicketEventRow.version == 3)
            )
        elif how == "old":
            state = (await session.get_one(TicketRow, life.id)).state | {"version": 2, "status": "open"}
            await session.execute(update(TicketRow).where(mine).values(version=2, status="open", state=state))
            await session.execute(
                delete(TicketEventRow).where(TicketEventRow.ticket_id == life.id, TicketEventRow.version > 2)
            )
        else:
            state = (await session.get_one(TicketRow, life.id)).state | {"title": "Something else"}
            await session.execute(update(TicketRow).where(mine).values(title="Something else", state=state))


async def test_what_agrees_is_left_alone(office: Office) -> None:
    await office.open()
    life = await lived(office)
    closed = await office.ticket()
    await closed.move(Status.RESOLVED)
    await closed.move(Status.CLOSED)
    await closed.settled()
    assert {await finding(office, each.id) for each in (life, closed)} == {Finding.EQUAL}
    result = await repair(office, "compare")
    assert result.code == 0, result.printed
    assert (await repair(office, "restart", str(life.id))).printed.endswith("0 started\n")


@pytest.mark.parametrize(
    ("how", "found"),
    [("lost", Finding.NO_ROW), ("old", Finding.BEHIND), ("other", Finding.DIFFERENT), ("gap", Finding.GAPS)],
)
async def test_damaged_read_model_is_found_and_rebuilt_without_telling_anybody_twice(
    office: Office, how: str, found: Finding
) -> None:
    await office.open()
    life = await lived(office)
    before = [(event.version, event.kind, event.request_id) for event in await life.events()]
    told = await _told(office)
    await damage(office, life, how)
    # Running workflows without a row are found through Temporal's list, which follows a moment later.
    await eventually(lambda: _is(office, life.id, found))
    result = await repair(office, "compare")
    assert result.code == 1
    assert str(life.id) in result.printed
    assert (await repair(office, "rebuild", "--all")).code == 0
    assert await finding(office, life.id) is Finding.EQUAL
    assert [(event.version, event.kind, event.request_id) for event in await life.events()] == before
    assert await _told(office) == told
    await life.move(Status.RESOLVED, by="Ana")  # and it lives on


@pytest.mark.parametrize("before", ["lost", "offered"])
async def test_rebuilt_ticket_has_its_place_in_the_queue_again(office: Office, before: str) -> None:
    await office.open()
    life = await office.ticket()
    (queued,) = await rows(office)
    async with office.sessions.begin() as session:
        mine = QueuedTicket.ticket_id == life.id
        if before == "lost":
            await session.execute(delete(QueuedTicket).where(mine))
        else:
            await session.execute(update(QueuedTicket).where(mine).values(member_id=office.members["Ana"].id))
    await damage(office, life, "other")
    assert (await repair(office, "rebuild", "--all")).code == 0
    again = await rows(office)
    assert [(each.ticket_id, each.episode, each.member_id) for each in again] == [(queued.ticket_id, 0, None)]


async def test_missing_workflow_is_found_and_started_again_with_its_timers(office: Office) -> None:
    await office.open()
    life = await office.ticket(assignee="Ana")
    await life.move(Status.WAITING, by="Ana")
    before = await life.settled()
    await life.handle.terminate(reason="An accident")
    await eventually(lambda: _is(office, life.id, Finding.NO_WORKFLOW))
    result = await repair(office, "restart", "--all")
    assert result.printed.endswith("1 started\n"), result.printed
    assert await life.settled() == before
    live = await life.live()
    assert [timer.due_at for timer in live.timers] == [before.reminders and before.reminders.due_at]
    await life.customer_writes()
    assert (await life.settled()).status is Status.IN_PROGRESS


async def test_stuck_ticket_is_named_with_what_it_is_stuck_on(office: Office) -> None:
    await office.open()
    life = await office.ticket()
    async with office.sessions.begin() as session:
        await session.execute(
            text("ALTER TABLE tickets ADD CONSTRAINT unresolved CHECK (status <> 'resolved') NOT VALID")
        )
    try:
        await life.move(Status.RESOLVED)
        await eventually(lambda: _is(office, life.id, Finding.STUCK), timeout=20)
        printed = (await repair(office, "compare")).printed
        assert "record_ticket failed" in printed
        assert "unresolved" in printed  # what refuses it
        assert "Refund for order 1001" not in printed  # and not the row
    finally:
        async with office.sessions.begin() as session:
            await session.execute(text("ALTER TABLE tickets DROP CONSTRAINT unresolved"))
    await eventually(lambda: _is(office, life.id, Finding.EQUAL), timeout=20)


async def _is(office: Office, ticket_id: UUID, expected: Finding) -> bool:
    return await finding(office, ticket_id) is expected


async def _told(office: Office) -> list[str]:
    async with office.sessions() as session:
        return sorted(await session.scalars(select(Notification.key).where(Notification.organization_id == office.id)))
