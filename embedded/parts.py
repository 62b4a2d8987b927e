"""What the stack is made of: programs that keep running, and tasks that run once while it comes up."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from embedded.process import Child, EmbeddedError

T = TypeVar("T")


def nothing() -> None:
    """The default of every ``meanwhile``."""


class Part(Protocol):
    """One thing the stack starts, watches and stops. Stopping what never started is no error."""

    name: str

    def start(self) -> None:
        """Begin; may raise :class:`EmbeddedError`."""

    def wait_ready(self, *, meanwhile: Callable[[], None] = nothing) -> None:
        """Return when it is of use, calling ``meanwhile`` often; raise :class:`EmbeddedError` if it never will be."""

    def poll(self) -> int | None:
        """The exit code if it ended, ``None`` otherwise."""

    def failure(self) -> str:
        """Once it ended by itself: what happened, its last words, and what to do."""

    def stop(self) -> bool:
        """Let it finish within its own bound; ``False`` if it had to be killed."""

    def kill(self) -> None:
        """End it now."""


class Program:
    """A command that has to keep running. Without ``ready`` it counts as ready once it exists."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        ready: Callable[[], bool] | None = None,
        ready_within: float = 60,
        stop_within: float = 20,
    ) -> None:
        self.name = name
        self._child = Child(command, log, environment=environment, directory=directory)
        self._ready = ready
        self._ready_within = ready_within
        self._stop_within = stop_within

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        self._child.start()

    def wait_ready(self, *, meanwhile: Callable[[], None] = nothing) -> None:
        deadline = time.monotonic() + self._ready_within
        while self._ready is not None and not self._ready():
            if self._child.poll() is not None:
                raise EmbeddedError(self.failure())
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"{self.name} was not ready after {self._ready_within:.0f} s.\n{last_words(self._child)}"
                )
            meanwhile()
            time.sleep(0.05)

    def poll(self) -> int | None:
        return self._child.poll()

    def failure(self) -> str:
        return (
            f"{ended(self.name, self._child.poll())}\n{last_words(self._child)}\n"
            "Nothing accepted so far is lost. Put right what the log complains about, then: make run"
        )

    def stop(self) -> bool:
        return self._child.stop(self._stop_within)

    def kill(self) -> None:
        self._child.kill()


class Task(Generic[T]):
    """A step between programs, such as the migrations: done when ``start`` returns, which then left its ``result``."""

    def __init__(self, name: str, run: Callable[[], T]) -> None:
        self.name = name
        self.result: T | None = None
        self._run = run

    def start(self) -> None:
        self.result = self._run()

    def wait_ready(self, *, meanwhile: Callable[[], None] = nothing) -> None:
        meanwhile()

    def poll(self) -> None:
        return None

    def failure(self) -> str:
        return f"{self.name} failed."

    def stop(self) -> bool:
        return True

    def kill(self) -> None:
        pass


def ended(name: str, code: int | None) -> str:
    """One sentence about a program that ended by itself."""
    if code is not None and code < 0:
        return f"{name} was ended by {signal.Signals(-code).name}."
    return f"{name} stopped by itself with exit code {code}."


def last_words(child: Child) -> str:
    """The end of its log, marked as such, and where the rest is."""
    tail = child.log_tail()
    if not tail:
        return f"It wrote nothing to its log, {child.log}"
    return f"The end of {child.log}:\n  " + tail.replace("\n", "\n  ")
