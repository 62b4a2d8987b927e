"""A store comes back from a backup that is older than the other one, and what repair makes of it."""

from datetime import timedelta

from sqlalchemy import func, select

from db.models import Message, Notification, Organization, TicketRow
from domain.ladders import ReminderAction, ReminderLadder, ReminderStep
from domain.notices import Medium
from domain.ticket import Status
from tests.operations.site import Site
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.line import Line

SOON = ReminderLadder(
    name="Soon",
    steps=(
        ReminderStep(after=timedelta(seconds=1), action=ReminderAction.REMIND),
        ReminderStep(after=timedelta(days=7), action=ReminderAction.RESOLVE),
    ),
)


async def closed(life: Life) -> Life:
    await life.move(Status.RESOLVED)
    await life.move(Status.CLOSED)
    await life.settled()
    return life


async def test_postgres_older_than_temporal_gets_back_what_workflows_know(baton: Site) -> None:
    office = await baton.office.open()
    same, moves, goes_on, closes = [await office.ticket(assignee="Ana") for _ in range(4)]
    baton.save_postgres()

    await moves.move(Status.WAITING, by="Ana")
    await moves.customer_writes()
    await goes_on.move(Status.WAITING, by="Ana")
    await closed(closes)
    created, came_and_went = await office.ticket(assignee="Ben"), await closed(await office.ticket())
    await created.move(Status.IN_PROGRESS, by="Ben")
    await goes_on.settled()
    versions = {life.id: (await life.settled()).version for life in office.lives}

    await baton.restore_postgres()
    await goes_on.customer_writes()  # before anybody has repaired anything: there is a gap now
    versions[goes_on.id] = (await goes_on.settled()).version

    async def everything_found() -> bool:
        found = await baton.repair("compare")
        assert found.code == 1
        assert {life.id: found.finding(life.id) for life in office.lives} == {
            same.id: None,
            moves.id: "behind",
            goes_on.id: "gaps",
            closes.id: "behind",
            created.id: "no_row",
            came_and_went.id: "no_row",
        }
        return True

    await eventually(everything_found, timeout=10)
    rebuilt = await baton.repair("rebuild", "--all")
    assert rebuilt.text.endswith("5 rebuilt\n"), rebuilt.text
    assert (await baton.repair("compare")).code == 0
    await office.check()  # each event of each version, once
    for life in office.lives:
        assert (await life.settled()).version == versions[life.id]

    async with office.sessions() as session:
        following = await session.scalar(select(Organization.next_ticket_number).where(Organization.id == office.id))
        assert following == 1 + (await session.scalar(select(func.max(TicketRow.number))) or 0)
        told = select(Notification.key).where(
            Notification.ticket_id == created.id, Notification.medium == Medium.IN_APP
        )
        assert len(list(await session.scalars(told))) == 1  # Ben, of the ticket that was made for him
    await created.move(Status.RESOLVED, by="Ben")
    await created.settled()


async def test_temporal_older_than_postgres_starts_again_from_what_is_recorded(baton: Site) -> None:
    office = await baton.office.open(reminders=SOON)
    same, moves, waits, closes = [await office.ticket(assignee="Ana") for _ in range(4)]
    await waits.move(Status.WAITING, by="Ana")
    await waits.settled()
    baton.save_temporal()

    await moves.move(Status.IN_PROGRESS, by="Ana")
    await closed(closes)
    created = await office.ticket(assignee="Ben")
    await eventually(lambda: _said(waits, 1))
    before = {life.id: await life.settled() for life in office.lives}

    await baton.restore_temporal()
    # The old run reminds the customer once more, as its timer has fallen due; the record does not take that.
    await eventually(lambda: _is(baton, waits, "ahead"), timeout=15)
    # Somebody commands an old run: it decides, and the record does not take that either.
    await moves.move(Status.RESOLVED, by="Ana")

    async def everything_found() -> bool:
        found = await baton.repair("compare")
        assert {life.id: found.finding(life.id) for life in office.lives} == {
            same.id: None,
            moves.id: "ahead",
            waits.id: "ahead",
            closes.id: "ahead",
            created.id: "no_workflow",
        }
        return True

    await eventually(everything_found, timeout=10)
    assert (await baton.repair("rebuild", "--all")).text == "0 rebuilt\n"
    refused = await baton.repair("rebuild", str(moves.id))
    assert refused.code == 1
    assert "older than its record" in refused.text

    restarted = await baton.repair("restart", "--all", "--terminate-older")
    assert restarted.text.endswith("3 started\n"), restarted.text
    after = {life.id: await life.settled() for life in office.lives if life is not closes}
    assert after == {ticket_id: ticket for ticket_id, ticket in before.items() if ticket_id != closes.id}
    assert (await baton.repair("compare")).code == 0
    assert await _said(waits, 1)  # the reminder, once
    assert (await waits.live()).timers[0].due_at == before[waits.id].status_since + timedelta(days=7)
    # All go on, the closed one by being reopened.
    await moves.move(Status.RESOLVED, by="Ana")
    await created.move(Status.IN_PROGRESS, by="Ben")
    await closes.reopen()
    await office.check()


async def test_temporal_lost_altogether_is_made_again_from_postgres(baton: Site) -> None:
    office = await baton.office.open()
    opened, waits, ended = [await office.ticket(assignee="Ana") for _ in range(3)]
    await waits.move(Status.WAITING, by="Ana")
    await closed(ended)
    before = {life.id: await life.settled() for life in (opened, waits)}
    queued = await Line(office).open()
    await queued.raise_()
    escalation = await queued.settled()

    await baton.restore_temporal()
    found = await baton.repair("compare")
    assert [found.finding(life.id) for life in office.lives] == ["no_workflow", "no_workflow", None]
    assert found.finding(queued.id) == "no_workflow"
    restarted = await baton.repair("restart", "--all")
    assert restarted.text.endswith("3 started\n"), restarted.text
    assert {life.id: await life.settled() for life in (opened, waits)} == before
    assert len((await waits.live()).timers) == 1
    assert await queued.settled() == escalation
    assert len((await queued.live()).timers) == 1
    await ended.reopen()
    await ended.settled()
    assert (await baton.repair("compare")).code == 0
    await office.check()


async def _said(life: Life, times: int) -> bool:
    async with life.office.sessions() as session:
        count = await session.scalar(select(func.count()).where(Message.ticket_id == life.id))
    return count == times


async def _is(baton: Site, life: Life, finding: str) -> bool:
    return (await baton.repair("compare")).finding(life.id) == finding
