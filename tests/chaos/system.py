"""A Baton of real processes in a folder of its own, each of which can be killed, frozen and started again."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

import httpx
import psutil
from pydantic import SecretStr

from embedded.home import Home
from embedded.parts import last_words
from embedded.ports import LOOPBACK, is_free
from embedded.postgres import EmbeddedPostgres, new_password
from embedded.postgres_files import REFUGE, remove_data
from embedded.process import Child, EmbeddedError
from embedded.schema import CHECKOUT, migrate
from embedded.temporal import EmbeddedTemporal
from settings import Settings

PARTS = ("worker", "api", "postgres", "temporal")

COMMAND_TIMEOUT = timedelta(seconds=2)
DATABASE_TIMEOUT = timedelta(seconds=2)
HISTORY_LIMIT = 150
"""Events of a run: about fifteen commands, so that most tickets continue as new several times."""

_HASTE: dict[str, Any] = {
    "command_timeout": COMMAND_TIMEOUT,
    "database_timeout": DATABASE_TIMEOUT,
    "history_limit": HISTORY_LIMIT,
    "sweep_every": timedelta(seconds=5),
    "webhook_timeout": timedelta(seconds=2),
    "webhook_private_addresses": True,
}

_QUIET_PORTS = (15_000, 30_000)
"""Below those that Linux gives to outgoing connections: one of the many retries to a killed server's port could be
given that very port to come from, would reach itself, and keep the server from coming back."""
_COMES_UP_WITHIN = 60.0


class Process(Protocol):
    """What the harness does with one process."""

    @property
    def pid(self) -> int | None: ...
    def start(self) -> None: ...
    def wait_ready(self) -> None: ...
    def poll(self) -> int | None: ...
    def stop(self) -> bool: ...
    def kill(self) -> None: ...


class PythonProgram:
    """The worker or the API as it is run in production."""

    def __init__(self, arguments: Sequence[str], log: Path, settings: Settings, ready: Callable[[Child], bool]) -> None:
        secrets = {
            "BATON_SECRET_KEY": settings.secret_key.get_secret_value(),
            "BATON_OPERATOR_KEY": settings.operator_key.get_secret_value() if settings.operator_key else "",
        }
        plain = settings.model_dump(mode="json", exclude_unset=True, exclude={"secret_key", "operator_key"})
        chosen = {f"BATON_{name.upper()}": str(value) for name, value in plain.items()}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment = {**outside, **secrets, **chosen, "PYTHONUNBUFFERED": "1"}
        self._child = Child([sys.executable, *arguments], log, environment=environment, directory=CHECKOUT)
        self._ready = ready

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        self._child.start()

    def wait_ready(self) -> None:
        """Returns when it can work; ``EmbeddedError`` when it ended instead."""
        deadline = time.monotonic() + _COMES_UP_WITHIN
        while not self._ready(self._child):
            if not self._child.running:
                raise EmbeddedError(f"{self._child.log.stem} ended while it started.\n{last_words(self._child)}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"{self._child.log.stem} does not come up.\n{last_words(self._child)}")
            time.sleep(0.05)

    def poll(self) -> int | None:
        return self._child.poll()

    def stop(self) -> bool:
        return self._child.stop(20)

    def kill(self) -> None:
        self._child.kill()


class System:
    """Postgres, Temporal, workers and the API. Start it from the main thread: its processes end with that thread."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        refuge: Path = REFUGE,
        temporal_metrics_port: int | None = None,
        hasty: bool = True,
    ) -> None:
        """``hasty`` processes give up soon and continue as new often; without it they have the product's settings."""
        home = Home(folder)
        home.make()
        self.folder = folder
        ports = _free_ports(3)
        self._postgres = EmbeddedPostgres(
            home.postgres, ports[0], password=new_password(), log=home.log("postgres"), refuge=refuge
        )
        self.temporal_metrics_port = temporal_metrics_port
        self._temporal = EmbeddedTemporal(
            home.temporal, ports[1], None, log=home.log("temporal"), metrics_port=temporal_metrics_port
        )
        self.settings = Settings(
            database_url=self._postgres.url,
            temporal_address=self._temporal.address,
            secret_key=SecretStr(token_hex(32)),
            operator_key=SecretStr(token_hex(32)),
            api_port=ports[2],
            api_host=LOOPBACK,
            **(_HASTE if hasty else {}),
        )
        self.url = f"http://{LOOPBACK}:{ports[2]}"
        self._answers = httpx.Client(base_url=self.url, timeout=2, trust_env=False)
        self.processes: dict[str, list[Process]] = {
            "postgres": [self._postgres],
            "temporal": [self._temporal],
            "worker": [
                PythonProgram(["worker.py"], home.log(f"worker-{number}"), self.settings, _says("worker_started"))
                for number in range(1, workers + 1)
            ],
            "api": [PythonProgram(["-m", "api"], home.log("api"), self.settings, lambda _: self._is_ready())],
        }

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def start(self) -> None:
        """Bring everything up, the database migrated; ``EmbeddedError`` where that is impossible."""
        for server in (self._postgres, self._temporal):
            server.start()
        for server in (self._postgres, self._temporal):
            server.wait_ready()
        migrate(self.settings.database_url)
        programs = [*self.processes["worker"], *self.processes["api"]]
        for program in programs:
            program.start()
        for program in programs:
            program.wait_ready()

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        for part in ("api", "worker", "temporal", "postgres"):
            for process in self.processes[part]:
                _signal(process, signal.SIGCONT)
                process.stop()
        self._answers.close()

    def forget(self) -> None:
        """Delete the databases; logs and journal stay. Only after ``stop``."""
        remove_data(self.folder / "postgres")

    async def kill(self, processes: Sequence[Process]) -> None:
        """``kill -9`` each with all its children; returns when they are gone."""
        for process in processes:
            family = _family(process)
            process.kill()
            for child in family:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            await asyncio.to_thread(psutil.wait_procs, family, 5)

    async def revive(self, process: Process) -> None:
        """Start it and wait until it can work; again, as any supervisor does, where it ends because others are away."""
        async with asyncio.timeout(_COMES_UP_WITHIN):
            while True:
                process.start()
                try:
                    await asyncio.to_thread(process.wait_ready)
                except EmbeddedError:
                    if process.poll() is None:
                        raise
                    await asyncio.sleep(0.5)
                else:
                    return

    def freeze(self, processes: Sequence[Process]) -> None:
        """SIGSTOP each with all its children."""
        for process in processes:
            _signal(process, signal.SIGSTOP)

    def thaw(self, processes: Sequence[Process]) -> None:
        """SIGCONT."""
        for process in processes:
            _signal(process, signal.SIGCONT)

    async def ready(self) -> None:
        """Wait until the API says that it can work."""
        async with asyncio.timeout(_COMES_UP_WITHIN):
            while not await asyncio.to_thread(self._is_ready):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.1)

    def ended_by_themselves(self) -> Iterator[tuple[str, Process]]:
        """Processes that do not run although nobody killed them."""
        for part, processes in self.processes.items():
            for process in processes:
                if process.poll() is not None:
                    yield part, process

    def _is_ready(self) -> bool:
        try:
            return self._answers.get("/readyz").is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(folder: Path, *, workers: int = 2, refuge: Path = REFUGE) -> Iterator[System]:
    """A system that is up; whatever happens, nothing of it is left running."""
    system = System(folder, workers=workers, refuge=refuge)
    try:
        system.start()
        yield system
    finally:
        system.stop()


def _family(process: Process) -> list[psutil.Process]:
    """The process and all that come from it; the parent first, so that it cannot replace its children."""
    if process.pid is None:
        return []
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(process: Process, number: signal.Signals) -> None:
    if process.poll() is not None:
        return
    for one in _family(process):
        with suppress(psutil.NoSuchProcess):
            one.send_signal(number)


def _says(word: str) -> Callable[[Child], bool]:
    """Whether the log of the present start has the word."""
    return lambda child: word in child.log_tail(50)


def _free_ports(count: int) -> list[int]:
    candidates = random.sample(range(*_QUIET_PORTS), 200)
    free = [port for port in candidates if is_free(port)][:count]
    assert len(free) == count
    return free
