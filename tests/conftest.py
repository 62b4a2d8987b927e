"""The real parts, once for the whole session: Postgres, Temporal, and Temporal with skipped time."""

import asyncio
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import uvloop
from psycopg import sql
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from embedded.ports import LOOPBACK, free_port
from embedded.postgres import EmbeddedPostgres, new_password
from embedded.schema import migrate
from embedded.temporal import DYNAMIC_CONFIG, EmbeddedTemporal, dynamic_config_arguments, temporal_program
from tests.support import drain
from workflows import search_attributes
from workflows.payloads import data_converter

# What API and worker run on; from 3.14 on Python warns of policies.
if sys.version_info < (3, 14):
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

TOGETHER = ("tests/telemetry",)
"""Folders whose tests look at one system, which takes long to start; elsewhere it is a file's tests that share."""

LONGEST = (
    "tests/chaos/test_chaos.py",
    "tests/benchmarks/test_replay.py",
    "tests/api/test_outages.py",
    "tests/embedded/test_run.py",
    "tests/telemetry",
    "tests/workflows/test_worker_processes.py",
)
"""What begins first, so that one process does not end long after the other."""

# Processes that tests start would otherwise compile all of our code at every start, which is a third of their start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SOON_DELETED = {
    # A history is deleted once its run's end has been acknowledged by the queues, which is noted every 30 s by default.
    "history.transferProcessorUpdateAckInterval": '"200ms"',
    "history.visibilityProcessorUpdateAckInterval": '"200ms"',
}


def share_of(nodeid: str) -> str:
    """What is given to a process as a whole: a file, or a folder whose tests share what takes long to start."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(f"{folder}/")), file)


class Shares(LoadScopeScheduling):  # type: ignore[misc] # xdist is not typed
    """Gives each process the next share once it is nearly done with what it has."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares | None:
    """In place of ``--dist loadfile``, which knows files alone."""
    return Shares(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the shares first that take longest."""

    def place(item: pytest.Item) -> int:
        share = share_of(item.nodeid)
        return LONGEST.index(share) if share in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Modules and tests stay until the end: the collector need not look at them again and again, now or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def refuge() -> Iterator[Path]:
    """Where a root test run's Postgres may live: pytest's own folders are closed to the user it runs as."""
    folder = Path(tempfile.mkdtemp(prefix="baton-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, refuge: Path) -> Iterator[EmbeddedPostgres]:
    """One server for the session, without care for power cuts."""
    folder = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(
        folder / "data",
        free_port(),
        password=new_password(),
        log=folder / "postgres.log",
        database="postgres",
        durable=False,
        refuge=refuge,
    )
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.destroy()


@pytest.fixture(scope="session")
def postgres_url(postgres: EmbeddedPostgres) -> str:
    """SQLAlchemy address of the server's own database; not migrated, for whoever makes databases."""
    return postgres.url


@pytest.fixture(scope="session")
def new_database(postgres: EmbeddedPostgres) -> Iterator[Callable[[], str]]:
    """Makes a migrated, empty database at each call (about 40 ms) and returns its SQLAlchemy address."""
    numbers = count(1)
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:

        def create(name: str, template: str) -> str:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
            return postgres.url_of(name)

        migrate(create("migrated", "template0"))
        yield lambda: create(f"test_{next(numbers)}", "migrated")


@pytest.fixture(scope="module")
def database_url(new_database: Callable[[], str]) -> str:
    """SQLAlchemy address of a migrated, empty database that the tests of one module share."""
    return new_database()


@pytest.fixture(scope="session")
def temporal_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedTemporal]:
    """One server for the session, in memory and without its UI; ``.address`` is where it listens."""
    log = tmp_path_factory.mktemp("temporal") / "temporal.log"
    server = EmbeddedTemporal(None, free_port(), None, log=log, dynamic_config=DYNAMIC_CONFIG | SOON_DELETED)
    try:
        server.start()
        server.wait_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
async def temporal_client(temporal_server: EmbeddedTemporal) -> AsyncIterator[Client]:
    """A client of that server, on the session's event loop."""
    yield await Client.connect(temporal_server.address, data_converter=data_converter)
    await drain()


@pytest.fixture(scope="session")
async def skipping_env() -> AsyncIterator[WorkflowEnvironment]:
    """Temporal where an idle workflow's clock jumps to its next timer; start workflows through ``skipping_env.client``.

    A session allows far more skips than the server's default of 200, after which it silently stops skipping.
    """
    config = DYNAMIC_CONFIG | {
        "frontend.workflowTimeSkippingEnabled": "true",
        # Skipping is experimental and decides by itself whether a workflow is idle: one novelty at a time.
        "system.enableActivityEagerExecution": "false",
        "frontend.WorkflowTimeSkippingMaxSkipPerSession": "100000",
    }
    environment = await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=str(temporal_program()),
        dev_server_extra_args=dynamic_config_arguments(config),
        dev_server_log_level="error",
        data_converter=data_converter,
        search_attributes=search_attributes.ALL,
        ip=LOOPBACK,
    )
    async with environment:
        yield environment
        await drain()
