"""The stack that is measured, with an organization whose desk sends the requests."""

import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import psutil
from rich.console import Console
from temporalio.client import Client

from benchmarks.bench.lifecycle import Desk
from embedded.ports import LOOPBACK
from embedded.process import Child
from embedded.schema import CHECKOUT
from tests.chaos.system import System
from workflows.connection import connect


@dataclass
class Bench:
    """Everything a measure needs."""

    system: System
    desk: Desk
    temporal: Client
    console: Console
    started_in: float
    """Seconds from starting the first process to the first ticket's answer."""

    def stack_pids(self) -> dict[str, list[int]]:
        """The processes of each part."""
        return {
            part: [process.pid for process in processes if process.pid]
            for part, processes in self.system.processes.items()
        }

    def own_cpu(self) -> float:
        """CPU seconds of this process: the clients."""
        times = psutil.Process().cpu_times()
        return float(times.user + times.system)

    async def actions(self) -> dict[str, float]:
        """Temporal's own count of billable actions, by kind."""
        found: dict[str, float] = {}
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://{LOOPBACK}:{self.system.temporal_metrics_port}/metrics")).text
        for line in text.splitlines():
            match = re.match(r'action\{.*action_type="([^"]+)".*\} (\S+)$', line)
            if match:
                found[match[1]] = found.get(match[1], 0) + float(match[2])
        return found


@asynccontextmanager
async def bench_on(system: System, console: Console) -> AsyncIterator[Bench]:
    """Start the stack, create an organization and a first ticket; time it."""
    began = time.perf_counter()
    system.start()
    async with httpx.AsyncClient(base_url=f"{system.url}/api/v1", timeout=30, trust_env=False) as client:
        operator = system.settings.operator_key
        assert operator is not None
        made = await client.post(
            "/organizations",
            json={"name": "Bench"},
            headers={"Authorization": f"Bearer {operator.get_secret_value()}", "Idempotency-Key": str(uuid4())},
        )
        key = made.raise_for_status().json()["api_key"]["key"]
        client.headers["Authorization"] = f"Bearer {key}"
        member = await client.post(
            "/members", json={"name": "Agent", "email": "agent@example.com", "presence": "online"}
        )
        (await client.post("/tickets", json={"title": "First"})).raise_for_status()
        started_in = time.perf_counter() - began
    desk = Desk(LOOPBACK, system.settings.api_port, key, member.raise_for_status().json()["id"])
    yield Bench(system, desk, await connect(system.settings), console, started_in)


class BareWorker:
    """A process that works for bare workflows."""

    def __init__(self, address: str, log: Path) -> None:
        self._child = Child([sys.executable, "-m", "benchmarks.bench.bare", address], log, directory=CHECKOUT)

    @property
    def pid(self) -> int:
        assert self._child.pid is not None
        return self._child.pid

    def start(self) -> None:
        self._child.start()

    def is_ready(self) -> bool:
        """Whether it has begun to work."""
        return "bare_worker_started" in self._child.log_tail(20)

    def stop(self) -> None:
        self._child.stop(15)
