"""One worker and one API with everything turned on live through one story, which all tests of the package look at."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr
from temporalio.client import Client

from embedded.ports import free_port
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import OPERATOR_KEY, settings_for
from tests.api.tenant import iso, new_tenant
from tests.telemetry.collector import Collector, collecting
from tests.telemetry.life import Life, live
from tests.telemetry.processes import Pair, Samples, running

SECRET_KEY = "secret-key-that-hashes-the-other-keys"


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    with collecting() as it:
        yield it


@pytest.fixture(scope="package")
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal, collector: Collector) -> Settings:
    return settings_for(
        new_database(),
        temporal_server.address,
        secret_key=SecretStr(SECRET_KEY),
        api_port=free_port(),
        api_metrics_port=free_port(),
        worker_metrics_port=free_port(),
        otlp_endpoint=collector.url,
        log_level="DEBUG",  # where most is said
    )


@pytest.fixture(scope="package")
def pair(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")  # milliseconds until spans are sent
        with running(settings, tmp_path_factory.mktemp("telemetry")) as it:
            yield it


@dataclass(frozen=True)
class Watched:
    """The story, and what the processes said of it while they still ran."""

    life: Life
    api: Samples
    worker: Samples
    secrets: tuple[str, ...]


@pytest.fixture(scope="package")
async def watched(pair: Pair, temporal_client: Client) -> AsyncIterator[Watched]:
    async with httpx.AsyncClient(base_url=pair.url, trust_env=False, timeout=30) as client:
        tenant = await new_tenant(client, auto_close_after=iso(timedelta(seconds=1)))
        life = await live(pair, tenant, temporal_client)
        password = pair.settings.psycopg_url.split(":")[2].split("@")[0]
        yield Watched(life, pair.scrape("api"), pair.scrape("worker"), (SECRET_KEY, OPERATOR_KEY, tenant.key, password))
