"""The API on the real parts: one server and one worker for all ordinary tests, one organization for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import httpx
import pytest
from argon2 import PasswordHasher
from temporalio.client import Client

from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.chat import Chat
from tests.api.running import serving, settings_for, working
from tests.api.tenant import Tenant, new_tenant


@pytest.fixture(scope="package", autouse=True)
def many_starts() -> Iterator[None]:
    """What each start and stop of the API would take is less.

    It hashes a password, for which the default takes 64 MiB and a tenth of a second, and rests before its process ends,
    as ``tests.support.drain`` does here.
    """
    with pytest.MonkeyPatch.context() as patch:
        cheap = partial(PasswordHasher, time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr("api.passwords.PasswordHasher", cheap)
        patch.setattr("api.app.LAST_CALLS", 0)
        yield


@pytest.fixture(scope="package")
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    """Of a database and a task queue of their own; a worker takes two seconds to stop, so modules share one."""
    # Patient with the read model, since machines are shared: what is pending here is a defect.
    return settings_for(new_database(), temporal_server.address, read_model_wait="PT10S")


@pytest.fixture(scope="package")
async def http(settings: Settings, temporal_client: Client) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API, behind which a worker works."""
    async with working(temporal_client, settings), serving(settings) as client:
        yield client


@pytest.fixture
async def tenant(http: httpx.AsyncClient) -> Tenant:
    """An organization nobody else uses."""
    return await new_tenant(http)


@pytest.fixture
async def chat(tenant: Tenant) -> Chat:
    """A conversation of the tenant's that nobody has said anything in."""
    return Chat(tenant)
