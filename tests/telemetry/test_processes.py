"""Nothing listens unless asked for, a taken port is named, and no part waits long for a collector."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator

import httpx
import pytest

from embedded.ports import LOOPBACK, free_port
from embedded.schema import CHECKOUT
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import settings_for
from tests.api.tenant import new_tenant
from tests.support import eventually
from tests.telemetry.collector import Collector
from tests.telemetry.processes import Pair, command, running

NewSettings = Callable[..., Settings]


@pytest.fixture(scope="module")
def new_settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> NewSettings:
    """Settings of a Baton of its own, with nothing turned on but what is named."""
    database_url = new_database()
    return lambda **others: settings_for(database_url, temporal_server.address, api_port=free_port(), **others)


@pytest.fixture(scope="module")
def unheard(new_settings: NewSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """With nothing turned on but traces, which are sent where nobody listens."""
    settings = new_settings(otlp_endpoint=f"http://{LOOPBACK}:{free_port()}")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        with running(settings, tmp_path_factory.mktemp("unheard")) as pair:
            yield pair


def test_nothing_listens_that_was_not_asked_for(unheard: Pair) -> None:
    assert unheard.listening("api") == {unheard.settings.api_port}
    assert unheard.listening("worker") == set()


def test_what_was_asked_for_listens_on_the_loopback_interface(pair: Pair) -> None:
    assert pair.listening("api") == {pair.settings.api_port, pair.settings.api_metrics_port}
    assert pair.listening("worker") == {pair.settings.worker_metrics_port}


async def test_collector_that_is_away_holds_nobody_up(unheard: Pair) -> None:
    async with httpx.AsyncClient(base_url=unheard.url, trust_env=False, timeout=30) as client:
        tenant = await new_tenant(client)
        ticket = await tenant.ticket("resolved")
        await eventually(lambda: "Failed to export" in unheard.logs["api"].read_text(), timeout=30)
        assert (await tenant.reload(ticket))["status"] == "resolved"
    assert await asyncio.to_thread(unheard.stop) < 20


@pytest.mark.parametrize("part", ["api", "worker"])
def test_taken_port_is_named_with_the_setting_that_chooses_another(
    new_settings: NewSettings, collector: Collector, part: str
) -> None:
    taken = collector.url.rpartition(":")[2]
    settings = new_settings()
    variable = f"BATON_{part.upper()}_METRICS_PORT"
    environment = {
        **os.environ,
        "BATON_DATABASE_URL": settings.database_url,
        "BATON_TEMPORAL_ADDRESS": settings.temporal_address,
        "BATON_SECRET_KEY": "0" * 32,
        "BATON_API_PORT": str(settings.api_port),
        variable: taken,
    }
    ended = subprocess.run(
        command(part), env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=240, check=False
    )
    assert ended.returncode == 1
    assert f"Metrics cannot be served on {LOOPBACK}:{taken}: " in ended.stderr
    assert "ddress already in use" in ended.stderr
    assert variable in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "0" * 32 not in ended.stderr
