"""``worker.py`` as it is run in production: several work together, are stopped, and die at the wrong moment."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
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
from domain.commands import Command
from domain.ticket import Status
from embedded.ports import LOOPBACK, free_port
from embedded.process import Child
from settings import Settings
from tests.support import eventually
from tests.workflows.acts import is_blocked
from tests.workflows.life import Life
from tests.workflows.office import Office
from tests.workflows.queue import hand_out, owned, owners, queued, recorded_owners, rows, set_member
from worker import make_worker
from workflows.messages import Outcome

ROOT = Path(__file__).parents[2]


class Crew:
    """The workers of this module: a start takes seconds, so those that one test leaves alive work for the next."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BATON_")},
            "BATON_DATABASE_URL": settings.database_url,
            "BATON_TEMPORAL_ADDRESS": settings.temporal_address,
            "BATON_TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
            "BATON_SECRET_KEY": settings.secret_key.get_secret_value(),
        }
        self.hired: list[Child] = []

    async def at_work(self, number: int) -> list[Child]:
        """So many that work, and no others: who is missing is started, who is too many ends at once."""
        alive = [child for child in self.hired if child.running]
        for child in alive[number:]:
            child.kill()
        new = [self._hire() for _ in range(number - len(alive))]
        await eventually(lambda: all("worker_started" in child.log_tail(50) for child in new), 180)
        return [*alive, *new][:number]

    def _hire(self) -> Child:
        log = self._folder / f"worker-{len(self.hired)}.log"
        self.hired.append(Child([sys.executable, "worker.py"], log, environment=self._environment, directory=ROOT))
        self.hired[-1].start()
        return self.hired[-1]


@pytest.fixture(scope="module")
def crew(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    it = Crew(settings, tmp_path_factory.mktemp("workers"))
    yield it
    for child in it.hired:
        child.kill()


@pytest.fixture
def new_office(temporal_client: Client, settings: Settings, sessions: Sessions) -> Office:
    """One that nobody has opened yet, with no worker but those of the crew."""
    return Office(temporal_client, settings, sessions)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("workers", "tickets"), [pytest.param(4, 200, marks=pytest.mark.slow), (2, 40)])
async def test_many_at_once_through_several_workers_are_spread_exactly_and_nobody_is_over_capacity(
    new_office: Office, crew: Crew, workers: int, tickets: int
) -> None:
    each = tickets * 9 // 40
    left = tickets - 4 * each
    more = left // 4
    office = await new_office.open(
        assignment=Assignment.ROUND_ROBIN, agents=["Ana", "Ben", "Cleo", "Dan"], member_capacity=each
    )
    await crew.at_work(workers)
    lives = [Life(office, uuid4()) for _ in range(tickets)]
    office.lives += lives
    turns = asyncio.Semaphore(10)  # this process has no more connections

    async def start(life: Life) -> None:
        async with turns:
            await life.start(None, 500)

    await asyncio.gather(*(start(life) for life in lives))
    assert await recorded_owners(office, {**dict.fromkeys(("Ana", "Ben", "Cleo", "Dan"), each), "nobody": left})
    assert await queued(office, left)
    for name in ("Ana", "Ben"):  # at once half of what waits
        await set_member(office, name, capacity=each + more)
    waiting = left - 2 * more
    assert await recorded_owners(
        office, {"Ana": each + more, "Ben": each + more, "Cleo": each, "Dan": each, "nobody": waiting}
    )
    assert await queued(office, waiting)
    assert await owners(office, lives[:: tickets // 10])  # workflows and records agree


async def test_worker_told_to_stop_drains_and_exits_cleanly_and_another_goes_on(new_office: Office, crew: Crew) -> None:
    office = await new_office.open()
    goes_on, told = await crew.at_work(2)
    life = await office.ticket(assignee="Ana")
    assert await asyncio.to_thread(told.stop, 120), "it had to be killed"
    assert told.poll() == 0
    assert "worker_draining" in told.log_tail(50)
    assert "worker_stopped" in told.log_tail(50)
    assert goes_on.running
    await life.move(Status.IN_PROGRESS, "Ana")
    await office.check()


@dataclass(frozen=True)
class Killed:
    """Two tickets whose worker was killed in the middle of a record, each in an organization of its own."""

    moved: Life
    command: Command
    acknowledged: Outcome
    """What the client of the command was told, of which there was no record yet."""
    chosen: Life
    offered: UUID
    """Who was chosen, of which the ticket had not been told."""


@pytest.fixture(scope="module")
async def killed(temporal_client: Client, settings: Settings, sessions: Sessions, crew: Crew) -> AsyncIterator[Killed]:
    """Another worker, in this process, has their tasks now."""
    (worker,) = await crew.at_work(1)
    moving = await Office(temporal_client, settings, sessions).open()
    choosing = await Office(temporal_client, settings, sessions).open(
        assignment=Assignment.ROUND_ROBIN, agents=["Ana", "Ben"], member_capacity=1
    )
    moved, chosen = await moving.ticket(assignee="Ana"), Life(choosing, uuid4())
    choosing.lives.append(chosen)
    await hand_out(choosing)  # makes the rota's row
    rota, tickets = [await psycopg.AsyncConnection.connect(settings.psycopg_url) for _ in range(2)]
    async with rota, tickets:
        await rota.execute("SELECT 1 FROM rotas WHERE organization_id = %s FOR UPDATE", [choosing.id])
        await chosen.start(None, 500)
        await eventually(chosen.row, 60)  # the first record is there, and the choice waits for the rota
        await tickets.execute("SELECT 1 FROM tickets WHERE id = ANY(%s) FOR UPDATE", [[moved.id, chosen.id]])
        await rota.rollback()
        offered = await eventually(lambda: offered_to(choosing), 30)
        assert offered is not None
        command = moved.to(Status.RESOLVED)
        acknowledged = await moved.obey(command)
        await eventually(lambda: is_blocked(settings, 2), 30)  # the second record of each ticket waits for its row
        worker.kill()
    rows_then = [await life.row() for life in (moved, chosen)]
    assert [(row.version, row.assignee_name) for row in rows_then if row] == [(1, "Ana"), (1, None)]
    async with make_worker(temporal_client, settings, sessions):
        yield Killed(moved, command, acknowledged, chosen, offered)


async def offered_to(office: Office) -> UUID | None:
    return next((row.member_id for row in await rows(office)), None)


async def test_worker_killed_between_a_command_and_its_record_loses_and_doubles_nothing(killed: Killed) -> None:
    life = killed.moved

    async def recorded() -> bool:
        row = await life.row()
        return row is not None and row.version == killed.acknowledged.version

    await eventually(recorded, timeout=60)
    assert await life.obey(killed.command) == killed.acknowledged
    await life.office.check()
    assert await life.story() == ["created", "resolve"]
    assert await life.said_to_customer() == ["resolved:0"]
    assert await life.told() == [("Ana", "ticket_assigned")]


async def test_worker_killed_between_choice_and_record_gives_the_same_answer_and_takes_one_place(
    killed: Killed,
) -> None:
    life, office = killed.chosen, killed.chosen.office
    assert await owned(life, 60) == "Ana"
    assert killed.offered == office.members["Ana"].id
    assert await owners(office) == {"Ana": 1}
    assert await rows(office) == []
    assert await life.story() == ["created", "assigned"]
    assert await life.told() == [("Ana", "ticket_assigned")]
    assert await owned(await office.ticket()) == "Ben"
    await office.check()


async def test_offer_of_a_process_that_died_before_it_told_the_ticket_is_told_by_the_next(
    temporal_client: Client, sessions: Sessions, new_office: Office, killed: Killed
) -> None:
    office = await new_office.open(assignment=Assignment.ROUND_ROBIN, agents=["Ana"])
    async with sessions.begin() as session:
        (await session.get_one(Member, office.members["Ana"].id)).presence = "away"
    life = await office.ticket()
    async with sessions.begin() as session:
        (await session.get_one(Member, office.members["Ana"].id)).presence = "online"
    nowhere = await Client.connect(f"{LOOPBACK}:{free_port()}", lazy=True)
    request = HandOut(organization_id=office.id, cause=uuid4())
    dying = asyncio.create_task(Desk(sessions, nowhere).hand_out(request))
    assert await eventually(lambda: offered_to(office), 20)
    dying.cancel()
    assert (await life.settled()).assignee_id is None
    assert await Desk(sessions, temporal_client).hand_out(request) == 1
    assert await owned(life) == "Ana"
    await office.check()
