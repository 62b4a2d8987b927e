"""Parts of a running Baton inside the tests' own event loop: the API as a real HTTP server, and a worker."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import uvicorn
from pydantic import SecretStr
from temporalio.client import Client

from api.app import create_app
from db.engine import make_application_engine, make_sessions
from embedded.ports import LOOPBACK
from settings import Settings
from worker import make_worker
from workflows.sweeping import SweepWorkflow

OPERATOR_KEY = "operator-key-of-the-tests"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak none: each would read all certificates there are."""


def settings_for(database_url: str, temporal_address: str, **others: object) -> Settings:
    """Of an own database and task queue, so that nobody else's worker takes part."""
    values: dict[str, object] = {
        "database_url": database_url,
        "temporal_address": temporal_address,
        "temporal_task_queue": f"tickets-{uuid4()}",
        "temporal_ui_url": "http://temporal.example/",
        "secret_key": SecretStr("0" * 32),
        "operator_key": SecretStr(OPERATOR_KEY),
        "shutdown_timeout": timedelta(seconds=5),
    }
    return Settings.model_validate(values | others)


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the test run."""
        yield


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The API on a free port, and a client of it whose patience is longer than any answer may take."""
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=5,
        timeout_keep_alive=60,
    )
    server = Server(config)
    # The protocol is named, or asyncio would not turn off Nagle's algorithm: each answer took 40 ms longer.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind((LOOPBACK, 0))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        base = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=30, verify=NO_TLS) as client:
                while not server.started:
                    assert not task.done(), "the API did not start"
                    await asyncio.sleep(0.01)
                yield client
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def working(temporal: Client, settings: Settings) -> AsyncIterator[None]:
    """A worker with the real activities."""
    engine = make_application_engine(settings)
    try:
        async with make_worker(temporal, settings, make_sessions(engine)):
            yield
    finally:
        await engine.dispose()


async def sweep(temporal: Client, settings: Settings) -> Any:
    """What the schedule of sweeps starts, now; its result."""
    handle = await temporal.start_workflow(
        SweepWorkflow.run, id=f"sweep-{uuid4()}", task_queue=settings.temporal_task_queue
    )
    return await handle.result()
