"""What tests of assignment see of queues and do to members."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import select, update

from activities.desk import Desk
from activities.signatures import HandOut
from db.models import Member, QueuedTicket, TicketRow
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.office import Office
from workflows.hand_out import HandOutWorkflow
from workflows.removal import RemovalWorkflow, StartRemoval


async def waiting(office: Office) -> int:
    """How many tickets wait for somebody."""
    return len([row for row in await rows(office) if row.member_id is None])


async def rows(office: Office) -> list[QueuedTicket]:
    """Everything in the office's queues, and all offers that have not been recorded."""
    async with office.sessions() as session:
        return list(await session.scalars(select(QueuedTicket).where(QueuedTicket.organization_id == office.id)))


async def set_member(office: Office, name: str, **values: Any) -> None:
    """Change a member and have what waits handed out, as the API does."""
    await change_member(office, name, **values)
    await hand_out(office)


async def change_member(office: Office, name: str, **values: Any) -> None:
    """Change a member; nobody learns of it."""
    async with office.sessions.begin() as session:
        await session.execute(update(Member).where(Member.id == office.members[name].id).values(**values))


async def hand_out(office: Office) -> int:
    desk = Desk(office.sessions, office.client)
    return await desk.hand_out(HandOut(organization_id=office.id, cause=uuid4()))


async def hand_out_by_workflow(office: Office) -> str:
    """The same as a worker does it; the workflow's id."""
    request = HandOut(organization_id=office.id, cause=uuid4())
    name = f"hand-out-{office.id}-{request.cause}"
    queue = office.settings.temporal_task_queue
    await office.client.execute_workflow(HandOutWorkflow.run, request, id=name, task_queue=queue)
    return name


async def remove_member(office: Office, name: str) -> str:
    """Disable the member and have their tickets released; the workflow's id."""
    await change_member(office, name, status="disabled")
    start = StartRemoval(organization_id=office.id, member_id=office.members[name].id, release_id=uuid4())
    workflow_id, queue = f"removal-{office.id}-{start.release_id}", office.settings.temporal_task_queue
    await office.client.execute_workflow(RemovalWorkflow.run, start, id=workflow_id, task_queue=queue)
    return workflow_id


async def owners(office: Office, lives: list[Life] | None = None) -> Counter[str]:
    """How many tickets each member has, once the queues are at rest and every workflow agrees with its record."""

    async def at_rest() -> bool:
        found = await rows(office)
        assert not [row for row in found if row.member_id is not None], "an offer has not been recorded"
        return True

    await eventually(at_rest, 60)
    tickets = [await life.settled() for life in (office.lives if lives is None else lives)]
    return Counter(ticket.assignee_name or "nobody" for ticket in tickets)


async def recorded_owners(office: Office, expected: dict[str, int]) -> bool:
    """Wait until so many tickets of each member are on record; asks no workflow, since there are many."""
    names = {actor.id: name for name, actor in office.members.items()}

    async def agreed() -> bool:
        async with office.sessions() as session:
            found = await session.scalars(select(TicketRow.assignee_id).where(TicketRow.organization_id == office.id))
        assert Counter(names[each] if each else "nobody" for each in found) == expected
        return True

    return await eventually(agreed, 90, every=0.2)


async def queued(office: Office, count: int) -> bool:
    """Wait until so many tickets wait for a member: they are on record a moment before they stand in the queue."""

    async def agreed() -> bool:
        assert await waiting(office) == count
        return True

    return await eventually(agreed, 60, every=0.2)


async def owned(life: Life, timeout: float = 20) -> str:
    """Who gets the ticket, once somebody has."""

    async def has_owner() -> str:
        ticket = await life.row()
        assert ticket is not None
        assert ticket.assignee_name is not None
        return ticket.assignee_name

    return await eventually(has_owner, timeout)


def now() -> datetime:
    return datetime.now(UTC)
