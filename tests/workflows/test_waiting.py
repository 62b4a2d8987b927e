from datetime import timedelta

import pytest

from domain.ladders import ReminderAction, ReminderLadder, ReminderStep
from domain.ticket import Status
from tests.workflows.office import Office

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


async def test_weeks_of_silence_remind_twice_then_resolve_then_close(skipping_office: Office) -> None:
    office = await skipping_office.open()
    life = await office.ticket(assignee="Ana")
    await life.move(Status.IN_PROGRESS, "Ana")
    began = (await life.move(Status.WAITING, "Ana")).ticket.status_since

    await life.let_pass(DAY - HOUR)
    assert await life.said_to_customer() == []
    await life.let_pass(2 * HOUR)
    assert await life.said_to_customer() == ["reminder:1:1"]
    ticket = await life.let_pass(2 * DAY)
    assert await life.said_to_customer() == ["reminder:1:1", "reminder:1:2"]
    assert ticket.status is Status.WAITING
    ticket = await life.let_pass(4 * DAY)
    assert ticket.status is Status.RESOLVED
    assert await life.said_to_customer() == ["reminder:1:1", "reminder:1:2", "resolved:0"]
    assert ticket.resolved_at is not None
    assert ticket.auto_close_at == ticket.resolved_at + 3 * DAY
    ticket = await life.let_pass(4 * DAY)
    assert ticket.status is Status.CLOSED
    assert await life.handle.result() == ticket
    assert await life.story() == [
        "created",
        "start",
        "wait",
        "reminder_sent",
        "reminder_sent",
        "resolve",
        "close",
    ]
    due = [event.about["due_at"] for event in await life.events() if event.kind == "reminder_sent"]
    assert due == [(began + DAY).isoformat(), (began + 3 * DAY).isoformat()]
    assert ticket.resolved_at is not None
    assert timedelta(0) <= ticket.resolved_at - began - 7 * DAY < timedelta(seconds=5)


async def test_customer_message_ends_the_ladder(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    await life.move(Status.WAITING, "Ana")
    await life.let_pass(DAY + HOUR)
    await life.customer_writes()
    ticket = await life.let_pass(30 * DAY)
    assert (ticket.status, (await life.live()).timers) == (Status.IN_PROGRESS, ())
    assert await life.said_to_customer() == ["reminder:1:1"]


async def test_automatic_reply_moves_nothing(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    await life.move(Status.WAITING, "Ana")
    await life.let_pass(DAY + HOUR)
    timers = (await life.live()).timers
    await life.customer_writes(automatic=True)
    assert (await life.settled()).status is Status.WAITING
    assert (await life.live()).timers == timers
    await life.let_pass(2 * DAY)
    assert await life.said_to_customer() == ["reminder:1:1", "reminder:1:2"]


async def test_two_waiting_periods_on_one_day_run_two_full_ladders(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    await life.move(Status.WAITING, "Ana")
    await life.let_pass(HOUR)
    await life.move(Status.IN_PROGRESS, "Ana")
    second = (await life.move(Status.WAITING, "Ana")).ticket.status_since
    ticket = await life.let_pass(4 * DAY)
    assert await life.said_to_customer() == ["reminder:2:1", "reminder:2:2"]
    ticket = await life.let_pass(3 * DAY + HOUR)
    assert ticket.resolved_at is not None
    assert timedelta(0) <= ticket.resolved_at - second - 7 * DAY < timedelta(seconds=5)


async def test_second_period_reminds_again_after_a_first_that_did(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    for _ in range(2):
        await life.move(Status.WAITING, "Ana")
        await life.let_pass(3 * DAY + HOUR)
        await life.customer_writes()
        await life.settled()
    assert await life.said_to_customer() == ["reminder:1:1", "reminder:1:2", "reminder:2:1", "reminder:2:2"]


async def test_organization_runs_its_own_ladder(skipping_office: Office) -> None:
    ladder = ReminderLadder(
        name="Hasty",
        steps=(
            ReminderStep(after=HOUR, action=ReminderAction.REMIND),
            ReminderStep(after=2 * HOUR, action=ReminderAction.RESOLVE),
        ),
    )
    office = await skipping_office.open(reminders=ladder, auto_close_after=HOUR)
    life = await office.ticket()
    await life.move(Status.WAITING)
    assert (await life.settled()).reminders is not None
    assert (await life.let_pass(timedelta(minutes=61))).status is Status.WAITING
    assert (await life.let_pass(HOUR)).status is Status.RESOLVED
    assert (await life.let_pass(HOUR)).status is Status.CLOSED


@pytest.mark.parametrize("target", [Status.OPEN, Status.IN_PROGRESS])
async def test_reopening_while_resolved_stops_the_closing(skipping_office: Office, target: Status) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    await life.move(Status.RESOLVED, "Ana")
    await life.let_pass(2 * DAY)
    await life.move(target, "Ana")
    ticket = await life.let_pass(10 * DAY)
    assert (ticket.status, ticket.reopened, ticket.auto_close_at) == (target, 1, None)


async def test_customer_message_reopens_what_was_resolved(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    await life.move(Status.RESOLVED, "Ana")
    await life.let_pass(2 * DAY)
    await life.customer_writes()
    ticket = await life.let_pass(10 * DAY)
    assert (ticket.status, ticket.reopened) == (Status.OPEN, 1)
    assert ("Ana", "ticket_reopened") in await life.told()
