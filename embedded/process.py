"""One child process of the embedded stack: its log, its end, and how it is told to stop."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the ways to ask for the stack's end
LOG_LIMIT = 20 * 1024 * 1024  # then the log starts anew and the old one keeps the suffix .1


class EmbeddedError(Exception):
    """Something a person can put right; the message says what happened and what to do. It holds no secret."""


@dataclass(frozen=True)
class Account:
    """The operating system user a child runs as."""

    uid: int
    gid: int


class Child:
    """A program with its own session and log file that never outlives the thread which started it (on Linux).

    Its own session keeps a terminal's Ctrl-C away from it, so that the stack decides the order in which parts stop.
    On Linux the child gets ``death_signal`` when the starting *thread* ends, so start children from the main thread.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.command = [str(word) for word in command]
        self.log = log
        self._environment = environment
        self._directory = directory
        self._account = account
        self._stop_signal = stop_signal
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The process id, also after its end; ``None`` before the first start."""
        return self._process.pid if self._process else None

    def poll(self) -> int | None:
        """The exit code once it has ended (negative: the signal that ended it), ``None`` while it runs or never did."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns once the process exists, which is before it is of any use."""
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        account = self._account or Account(-1, -1)
        prefix = [sys.executable, "-I", "-S", LAUNCHER, os.getpid(), int(self._death_signal), account.uid, account.gid]
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(log, "wb") as output, _signals_held_back():
            self._log_start = output.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(  # noqa: S603 - the stack's own parts, no shell
                [*map(str, prefix), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
            )

    def stop(self, timeout: float) -> bool:
        """Ask it to stop, kill it after ``timeout`` seconds; ``False`` if it had to be killed. Safe to repeat."""
        if self._process is None or self._process.poll() is not None:
            return True
        with suppress(ProcessLookupError):
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End it and everything in its process group at once. Safe to repeat."""
        if self._process is None or self._process.poll() is not None:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines this run wrote; empty if it wrote nothing."""
        try:
            with self.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start if self._log_start <= size else 0, size - 64 * 1024))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Until the block ends: a handler that raises inside ``Popen`` would leave a child which nobody knows of."""
    if threading.current_thread() is not threading.main_thread():  # handlers run in the main thread only
        yield
        return
    held: list[int] = []
    before = {number: signal.signal(number, lambda caught, _frame: held.append(caught)) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught in held:
            signal.raise_signal(caught)
