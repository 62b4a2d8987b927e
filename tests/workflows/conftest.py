"""A worker with the real activities, on the real parts, for each module of tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from db.engine import Sessions, make_application_engine, make_engine, make_sessions
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.workflows.office import Office
from tests.workflows.rules import Rules
from worker import make_worker


@pytest.fixture(scope="module")
def settings(database_url: str, temporal_server: EmbeddedTemporal) -> Settings:
    """Of this module's own database and task queue.

    Outside of the sandbox, as in production; tests/replay replays every kind of workflow in it, and a few modules work
    in it here.
    """
    return Settings(
        database_url=database_url,
        temporal_address=temporal_server.address,
        temporal_task_queue=f"tickets-{uuid4()}",
        secret_key=SecretStr("0" * 32),
    )


@pytest.fixture(scope="module")
async def sessions(settings: Settings) -> AsyncIterator[Sessions]:
    engine = make_engine(settings)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="module")
async def application(settings: Settings) -> AsyncIterator[Sessions]:
    """What a worker has: one organization's rows at a time."""
    engine = make_application_engine(settings)
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture(scope="module")
async def working(temporal_client: Client, settings: Settings, application: Sessions) -> AsyncIterator[None]:
    """A worker in real time."""
    async with make_worker(temporal_client, settings, application):
        yield


@pytest.fixture(scope="module")
async def working_skipped(
    skipping_env: WorkflowEnvironment, settings: Settings, application: Sessions
) -> AsyncIterator[None]:
    """A worker where time is skipped."""
    async with make_worker(skipping_env.client, settings, application):
        yield


@pytest.fixture
async def office(
    working: None, temporal_client: Client, settings: Settings, sessions: Sessions
) -> AsyncIterator[Office]:
    """An organization in real time; at the end the read model must equal every workflow. Open it first."""
    async with checked(Office(temporal_client, settings, sessions)) as it:
        yield it


@pytest.fixture
async def skipping_office(
    working_skipped: None, skipping_env: WorkflowEnvironment, settings: Settings, sessions: Sessions
) -> AsyncIterator[Office]:
    """An organization whose tickets' clocks a test moves; checked at the end as well. Open it first."""
    async with checked(Office(skipping_env.client, settings, sessions, skipping=skipping_env)) as it:
        yield it


@pytest.fixture
async def rules(skipping_office: Office) -> Rules:
    """Those of such an office, which is open."""
    return Rules(await skipping_office.open())


@asynccontextmanager
async def checked(office: Office) -> AsyncIterator[Office]:
    yield office
    async with asyncio.timeout(60):
        await office.check()
