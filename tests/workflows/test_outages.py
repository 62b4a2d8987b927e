"""A database that is away: what was acknowledged is recorded, once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from temporalio.client import Client

from activities.signatures import TriedRule
from db.engine import Sessions, make_engine, make_sessions
from domain.rules.backtest import Tally
from domain.ticket import Status
from embedded.ports import free_port
from embedded.postgres import EmbeddedPostgres, new_password
from embedded.schema import migrate
from settings import Settings
from tests.support import eventually
from tests.workflows.office import Office
from tests.workflows.past import Past, escalation_event
from worker import make_worker
from workflows.requests import REMEMBERED_REQUESTS


async def test_command_is_known_again_however_many_came_after_it_while_none_could_be_recorded(
    temporal_client: Client, settings: Settings, sessions: Sessions
) -> None:
    office = await Office(temporal_client, settings, sessions).open()
    async with make_worker(temporal_client, settings, sessions):
        life = await office.ticket()
        async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as blocker:
            await blocker.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", [life.id])
            first = life.edit("The first")
            acknowledged = await life.obey(first)
            await asyncio.gather(*(life.submit(life.edit(f"Edit {number}")) for number in range(REMEMBERED_REQUESTS)))
            again = await life.obey(first, update_id="sent again")
        assert (again.version, again.repeated) == (acknowledged.version, True)
        await life.settled()
        assert (await life.story()).count("edited") == REMEMBERED_REQUESTS + 1


@pytest.fixture
def own_postgres(tmp_path: Path, refuge: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop."""
    server = EmbeddedPostgres(
        tmp_path / "data",
        free_port(),
        password=new_password(),
        log=tmp_path / "postgres.log",
        durable=False,
        refuge=refuge,
    )
    server.start()
    server.wait_ready()
    migrate(server.url)
    yield server
    server.destroy()


@pytest.fixture
async def office_on_it(
    own_postgres: EmbeddedPostgres, settings: Settings, temporal_client: Client
) -> AsyncIterator[Office]:
    settings = settings.model_copy(
        update={"database_url": own_postgres.url, "temporal_task_queue": f"tickets-{uuid4()}"}
    )
    engine = make_engine(settings)
    sessions = make_sessions(engine)
    try:
        async with make_worker(temporal_client, settings, sessions):
            office = await Office(temporal_client, settings, sessions).open()
            yield office
            await office.check()
    finally:
        await engine.dispose()


async def test_commands_work_while_the_database_is_away_and_are_recorded_when_it_is_back(
    office_on_it: Office, own_postgres: EmbeddedPostgres
) -> None:
    lives = [await office_on_it.ticket(assignee="Ana") for _ in range(3)]
    own_postgres.stop()
    async with asyncio.timeout(20):
        for life in lives:
            await life.move(Status.IN_PROGRESS, "Ana")
            await life.customer_writes()
            outcome = await life.move(Status.RESOLVED, "Ana")
            assert (outcome.version, (await life.live()).ticket) == (4, outcome.ticket)
    own_postgres.start()
    own_postgres.wait_ready()
    for life in lives:
        ticket = await life.settled(timeout=40)
        assert (ticket.status, ticket.version) == (Status.RESOLVED, 4)
        assert ticket.auto_close_at is not None
        assert await life.story() == ["created", "start", "customer_replied", "resolve"]
        assert await life.told() == [("Ana", "ticket_assigned"), ("Ana", "customer_replied")]
        assert await life.said_to_customer() == ["resolved:0"]


async def test_back_test_goes_on_where_it_was_when_the_database_is_back(
    office_on_it: Office, own_postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.backtest.PAGE", 2)
    past = Past(office_on_it)
    await past.happened([["A refund"], ["Hello"]] * 50)
    backtest_id = await past.backtest(escalation_event({"keyword": "refund"}))
    handle = await past.begin(backtest_id)

    async def is_on_its_way() -> bool:
        return (await past.found(backtest_id))[1].pages >= 2

    await eventually(is_on_its_way, 20)
    own_postgres.stop()
    assert not (await handle.query("progress", result_type=TriedRule)).over
    own_postgres.start()
    own_postgres.wait_ready()
    async with asyncio.timeout(40):
        tried = await handle.result()
    assert (tried.examined, tried.messages) == (100, 100)
    assert (await past.found(backtest_id))[1].new == Tally(cases=50, acted=50)
