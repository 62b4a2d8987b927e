"""A worker and an API as they are run in production, and what they show of themselves."""

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from embedded.ports import LOOPBACK
from settings import Settings
from tests.chaos.system import PythonProgram

_SERIES = re.compile(r"^([a-z_:][\w:]*)(?:\{(.*)\})? (\S+)$", re.MULTILINE | re.IGNORECASE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Samples:
    """What a process answers to Prometheus; its client library's parser would rename counters."""

    text: str

    @property
    def names(self) -> set[str]:
        """Of every time series, as queries name them."""
        return {name for name, _, _ in self.series()}

    def total(self, name: str, **labels: str) -> float | None:
        """The sum of all series with those labels; ``None`` if there is none."""
        found = [value for other, theirs, value in self.series() if other == name and labels.items() <= theirs.items()]
        return sum(found) if found else None

    def series(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """Name, labels and value of each."""
        for name, labels, value in _SERIES.findall(self.text):
            yield name, dict(_LABEL.findall(labels)), float(value)


@dataclass(frozen=True)
class Pair:
    """One worker and one API, running."""

    settings: Settings
    worker: PythonProgram
    api: PythonProgram
    logs: Mapping[str, Path]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.settings.api_port}"

    def scrape(self, part: str) -> Samples:
        """As Prometheus does, with its patience of ten seconds."""
        port = self.settings.api_metrics_port if part == "api" else self.settings.worker_metrics_port
        answer = httpx.get(f"http://{LOOPBACK}:{port}/metrics", timeout=10, trust_env=False)
        assert answer.status_code == 200, answer.text
        return Samples(answer.text)

    def listening(self, part: str) -> set[int]:
        """The ports a part can be reached at."""
        pid = (self.api if part == "api" else self.worker).pid
        connections = psutil.Process(pid).net_connections("tcp")
        return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN and each.laddr}

    def stop(self) -> float:
        """End both in the order of a shutdown; returns how many seconds it took."""
        started = time.monotonic()
        assert self.api.stop(), "the API had to be killed"
        assert self.worker.stop(), "the worker had to be killed"
        return time.monotonic() - started


@contextmanager
def running(settings: Settings, folder: Path) -> Iterator[Pair]:
    """Both with the same settings, as with one file of them; whatever happens, none is left."""
    logs = {"worker": folder / "worker.log", "api": folder / "api.log"}
    answers = httpx.Client(base_url=f"http://{LOOPBACK}:{settings.api_port}", timeout=2, trust_env=False)

    def is_ready() -> bool:
        try:
            return answers.get("/readyz").is_success
        except httpx.TransportError:
            return False

    worker = PythonProgram(["worker.py"], logs["worker"], settings, lambda child: "worker_started" in child.log_tail())
    api = PythonProgram(["-m", "api"], logs["api"], settings, lambda _: is_ready())
    try:
        for program in (worker, api):
            program.start()
        for program in (worker, api):
            program.wait_ready()
        yield Pair(settings, worker, api, logs)
    finally:
        answers.close()
        for program in (api, worker):
            program.stop()


def command(part: str) -> list[str]:
    """How a part is started."""
    return [sys.executable, "-m", "api"] if part == "api" else [sys.executable, "worker.py"]
