"""``python -m embedded`` as a person runs it: started, read, used and stopped from outside."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil

from embedded.home import API_PORT_VARIABLE, MAIL_PAGE_PORT_VARIABLE, MAIL_PORT_VARIABLE
from embedded.ports import free_port
from embedded.postgres import PORT_VARIABLE as POSTGRES_PORT_VARIABLE
from embedded.temporal import PORT_VARIABLE as TEMPORAL_PORT_VARIABLE
from embedded.temporal import UI_PORT_VARIABLE
from tests.support import eventually_sync

CHECKOUT = Path(__file__).resolve().parent.parent.parent
PORTS = (
    *(API_PORT_VARIABLE, POSTGRES_PORT_VARIABLE, TEMPORAL_PORT_VARIABLE, UI_PORT_VARIABLE),
    *(MAIL_PORT_VARIABLE, MAIL_PAGE_PORT_VARIABLE),
)


class Site:
    """A home folder and its ports: what one start leaves to the next."""

    def __init__(self, home: Path, refuge: Path) -> None:
        self.home = home
        self._starts = count(1)
        ports = {name: str(free_port()) for name in PORTS}
        outside = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        self.environment = {**outside, **ports, "BATON_HOME": str(home), "BATON_EMBEDDED_REFUGE": str(refuge)}

    def start(self, **environment: str) -> "Run":
        said = self.home.with_name(f"{self.home.name}.said.{next(self._starts)}")
        return Run(self, self.environment | environment, said)

    def refused(self, **environment: str) -> str:
        """What a start that cannot succeed says before it ends, which has to be with exit code 1."""
        run = self.start(**environment)
        try:
            eventually_sync(lambda: run.process.poll() is not None or "curl " in run.said, timeout=120, every=0.05)
            assert run.process.poll() == 1, run.said
        finally:
            run.end()
        return run.said

    def processes(self) -> list[psutil.Process]:
        """Everything that has the home folder in its command line."""
        every = psutil.process_iter(["cmdline"])
        return [one for one in every if any(str(self.home) in word for word in one.info["cmdline"] or ())]


class Run:
    """One start, from its command line to its end."""

    def __init__(self, site: Site, environment: Mapping[str, str], said: Path) -> None:
        self.site = site
        self._said = said
        self._children: list[psutil.Process] = []
        with said.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embedded"], cwd=CHECKOUT, env=environment, stdout=output, stderr=output
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_up(self) -> "Run":
        eventually_sync(lambda: "curl " in self.said or self.process.poll() is not None, timeout=180, every=0.1)
        assert self.process.poll() is None, self.said
        self._children = psutil.Process(self.process.pid).children(recursive=True)
        return self

    def wait_begun(self, *command: str) -> "Run":
        """Until the child exists whose command line ends in ``command``; it may be long before it is of any use."""

        def begun() -> bool:
            assert self.process.poll() is None, self.said
            self._children = psutil.Process(self.process.pid).children(recursive=True)
            return any(_ends_in(child, command) for child in self._children)

        eventually_sync(begun, timeout=120, every=0.1)
        return self

    @property
    def pasted(self) -> str:
        """The printed ``curl`` command, ready for a shell."""
        return self.said[self.said.index("curl ") :]

    def request(self) -> httpx.Request:
        """What that command sends."""
        words = shlex.split(self.pasted.replace("\\\n", ""))
        options = list(zip(words[2::2], words[3::2], strict=True))
        headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
        (body,) = (value for name, value in options if name == "-d")
        return httpx.Request("POST", words[1], headers=headers, content=body)

    def api(self) -> httpx.Client:
        """Speaks for the demo organization, with the printed key."""
        request = self.request()
        headers = {"Authorization": request.headers["Authorization"]}
        return httpx.Client(base_url=request.url.join("/api/v1/"), headers=headers, trust_env=False)

    def part(self, *command: str) -> psutil.Process:
        """The child whose command line ends in ``command``."""
        (found,) = (child for child in self._children if _ends_in(child, command))
        return found

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)

    def left_behind(self) -> list[dict[str, Any]]:
        """Processes of this run that still live; waits a moment for those that are on their way out."""
        _gone, alive = psutil.wait_procs({*self._children, *self.site.processes()}, timeout=10)
        return [process.as_dict(["pid", "cmdline"]) for process in alive]

    def end(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None and sys.platform != "linux":
            self.interrupt()  # only on Linux do children end with a killed parent
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(self._children, timeout=10)


def _ends_in(process: psutil.Process, command: tuple[str, ...]) -> bool:
    try:
        return tuple(process.cmdline()[-len(command) :]) == command
    except psutil.NoSuchProcess:
        return False
