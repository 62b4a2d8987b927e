"""Assignment by several workers, one of which may die at the wrong moment."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.client import Client

from activities.desk import Desk
from activities.signatures import HandOut
from db.engine import Sessions
from db.models import Member
from domain.assignment import Assignment
from embedded.ports import LOOPBACK, free_port
from embedded.process import Child
from settings import Settings
from tests.support import eventually
from tests.workflows.office import Life, Office
from tests.workflows.queue import hand_out, owned, owners, queued, recorded_owners, rows, set_member
from worker import make_worker

ROOT = Path(__file__).parents[2]
WORKERS = 4
TICKETS = 200


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[list[Child]]:
    """``worker.py`` as it is run in production, several times, not started yet."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BATON_")},
        "BATON_DATABASE_URL": settings.database_url,
        "BATON_TEMPORAL_ADDRESS": settings.temporal_address,
        "BATON_TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
        "BATON_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    children = [
        Child([sys.executable, "worker.py"], tmp_path / f"worker-{number}.log", environment=environment, directory=ROOT)
        for number in range(WORKERS)
    ]
    yield children
    for child in children:
        child.kill()


@pytest.mark.timeout(240)
async def test_two_hundred_at_once_through_four_workers_are_spread_exactly_and_nobody_is_over_capacity(
    temporal_client: Client, settings: Settings, sessions: Sessions, workers: list[Child]
) -> None:
    office = await Office(temporal_client, settings, sessions).open(
        assignment=Assignment.ROUND_ROBIN, agents=["Ana", "Ben", "Cleo", "Dan"], member_capacity=45
    )
    for worker in workers:
        worker.start()
    await eventually(lambda: all("worker_started" in worker.log_tail(50) for worker in workers), 90)
    lives = [Life(office, uuid4()) for _ in range(TICKETS)]
    office.lives += lives
    turns = asyncio.Semaphore(10)  # this process has no more connections

    async def start(life: Life) -> None:
        async with turns:
            await life.start(None, 500)

    await asyncio.gather(*(start(life) for life in lives))
    assert await recorded_owners(office, {"Ana": 45, "Ben": 45, "Cleo": 45, "Dan": 45, "nobody": 20})
    assert await queued(office, 20)
    for name in ("Ana", "Ben"):  # at once half of what waits
        await set_member(office, name, capacity=50)
    assert await recorded_owners(office, {"Ana": 50, "Ben": 50, "Cleo": 45, "Dan": 45, "nobody": 10})
    assert await queued(office, 10)
    assert await owners(office, lives[::20])  # workflows and records agree


async def test_worker_killed_between_choice_and_record_gives_the_same_answer_and_takes_one_place(
    temporal_client: Client, settings: Settings, sessions: Sessions, workers: list[Child]
) -> None:
    office = await Office(temporal_client, settings, sessions).open(
        assignment=Assignment.ROUND_ROBIN, agents=["Ana", "Ben"], member_capacity=1
    )
    worker = workers[0]
    worker.start()
    life = Life(office, uuid4())
    office.lives.append(life)
    await hand_out(office)  # makes the rota's row
    rota, ticket = [await psycopg.AsyncConnection.connect(settings.psycopg_url) for _ in range(2)]
    async with rota, ticket:
        await rota.execute("SELECT 1 FROM rotas WHERE organization_id = %s FOR UPDATE", [office.id])
        await life.start(None, 500)
        await eventually(life.row, 60)  # the first record is there, and the choice waits for the rota
        await ticket.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", [life.id])
        await rota.rollback()
        offered = await eventually(lambda: offered_to(office), 20)
        await eventually(lambda: is_blocked(settings), 20)  # the second record waits for the ticket
        worker.kill()
        await ticket.rollback()
    row = await life.row()
    assert row is not None
    assert row.assignee_id is None
    async with make_worker(temporal_client, settings, sessions):
        assert await owned(life, 40) == "Ana"
        assert offered == office.members["Ana"].id
        assert await owners(office) == {"Ana": 1}
        assert await rows(office) == []
        assert await life.story() == ["created", "assigned"]
        assert await life.told() == [("Ana", "ticket_assigned")]
        assert await owned(await office.ticket()) == "Ben"
        await office.check()


async def offered_to(office: Office) -> UUID | None:
    return next((row.member_id for row in await rows(office)), None)


async def is_blocked(settings: Settings) -> bool:
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as connection:
        found = await connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return await found.fetchone() is not None


async def test_offer_of_a_process_that_died_before_it_told_the_ticket_is_told_by_the_next(
    temporal_client: Client, settings: Settings, sessions: Sessions
) -> None:
    office = await Office(temporal_client, settings, sessions).open(assignment=Assignment.ROUND_ROBIN, agents=["Ana"])
    async with sessions.begin() as session:
        (await session.get_one(Member, office.members["Ana"].id)).presence = "away"
    async with make_worker(temporal_client, settings, sessions):
        life = await office.ticket()
        async with sessions.begin() as session:
            (await session.get_one(Member, office.members["Ana"].id)).presence = "online"
        nowhere = await Client.connect(f"{LOOPBACK}:{free_port()}", lazy=True)
        request = HandOut(organization_id=office.id, cause=uuid4())
        dying = asyncio.create_task(Desk(sessions, nowhere).hand_out(request))
        assert await eventually(lambda: offered_to(office))
        dying.cancel()
        assert (await life.settled()).assignee_id is None
        assert await Desk(sessions, temporal_client).hand_out(request) == 1
        assert await owned(life) == "Ana"
        await office.check()
