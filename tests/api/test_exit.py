import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from temporalio.client import Client

from embedded.ports import LOOPBACK, free_port
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import OPERATOR_KEY, settings_for, working
from tests.api.tenant import Tenant, new_tenant
from tests.support import eventually

SHUTDOWN_SECONDS = 2
COMMAND_SECONDS = 120
"""How long a command waits for its answer: far longer than a process that is told to stop may wait for it."""


@dataclass
class Program:
    """``python -m api`` on a port of its own."""

    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.AsyncClient

    def lives(self) -> None:
        if self.process.poll() is not None:
            pytest.fail(self.log.read_text())  # no assertion: waiting longer would not help

    async def says(self, words: str) -> None:
        def said() -> bool:
            self.lives()
            return words in self.log.read_text()

        await eventually(said, 180)

    async def ready(self) -> Tenant:
        async def answers() -> bool:
            self.lives()
            try:
                return (await self.client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await eventually(answers, 180)
        return await new_tenant(self.client)

    async def ends_well(self) -> None:
        """Once told to stop: in time, with exit code 0, and without a word about a failure."""
        self.lives()
        self.process.send_signal(signal.SIGTERM)
        # What is above the time to drain is for a busy machine.
        code = await asyncio.to_thread(self.process.wait, SHUTDOWN_SECONDS + 30)
        assert code == 0, self.log.read_text()
        assert "Traceback" not in self.log.read_text()


@pytest.fixture
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    return settings_for(new_database(), temporal_server.address)


@contextmanager
def program(settings: Settings, log: Path) -> Iterator[Program]:
    port = free_port()
    environment = os.environ | {
        "BATON_DATABASE_URL": settings.database_url,
        "BATON_TEMPORAL_ADDRESS": settings.temporal_address,
        "BATON_TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
        "BATON_SECRET_KEY": settings.secret_key.get_secret_value(),
        "BATON_OPERATOR_KEY": OPERATOR_KEY,
        "BATON_SHUTDOWN_TIMEOUT": f"PT{SHUTDOWN_SECONDS}S",
        "BATON_COMMAND_TIMEOUT": f"PT{COMMAND_SECONDS}S",
        "BATON_API_PORT": str(port),
    }
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "api"], env=environment, stdout=output, stderr=output)
    try:
        client = httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=30)
        yield Program(process, log, client)
    finally:
        process.kill()
        process.wait()


async def create(tenant: Tenant, number: int) -> str:
    try:
        return str((await tenant.call("POST", "/tickets", {"title": f"Ticket {number}"})).status_code)
    except httpx.TransportError:
        return "no answer"  # the program no longer listened


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_process_ends_well_in_the_middle_of_work(
    settings: Settings, temporal_client: Client, tmp_path: Path, times: int
) -> None:
    async with working(temporal_client, settings):
        for turn in range(times):
            with program(settings, tmp_path / f"{turn}.log") as it:
                async with it.client:
                    tenant = await it.ready()
                    tasks = [asyncio.create_task(create(tenant, number)) for number in range(8)]
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    await it.ends_well()
                    answers = Counter(await asyncio.gather(*tasks))
                    # What had reached the program was finished and answered.
                    assert answers["201"] >= 1
                    assert set(answers) <= {"201", "no answer"}


async def test_neither_a_command_nobody_answers_nor_an_open_stream_keeps_the_process(
    settings: Settings, temporal_client: Client, tmp_path: Path
) -> None:
    with program(settings, tmp_path / "log") as it:
        async with it.client:
            async with working(temporal_client, settings):
                tenant = await it.ready()
                ticket = await tenant.ticket()
            sent = asyncio.Event()

            async def watch(event: str, _: object) -> None:
                if event == "http11.send_request_body.complete":
                    sent.set()

            async with it.client.stream("GET", "/api/v1/events", headers=tenant.authorization) as stream:
                assert (await anext(stream.aiter_lines())).startswith("id: ")
                path, document = f"/tickets/{ticket['id']}/status", {"to": "waiting"}
                command = asyncio.create_task(tenant.call("POST", path, document, extensions={"trace": watch}))
                await sent.wait()
                await it.ends_well()
            await asyncio.wait([command])


async def test_process_told_to_stop_while_it_starts_ends_well(settings: Settings, tmp_path: Path) -> None:
    with program(settings, tmp_path / "log") as it:
        async with it.client:
            await it.says("Started server process")
            await it.ends_well()
