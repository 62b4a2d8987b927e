"""The one-command stack: parts come up stage by stage, are watched, and go down in the opposite order."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from embedded.parts import Part
from embedded.process import STOPPING, EmbeddedError
from embedded.progress import Progress

WATCH_EVERY = 0.1  # seconds between two looks at whether every part still runs


class Interrupted(BaseException):
    """Somebody asked the stack to stop. Not an ``Exception``, so that no part takes it for a failure of its own."""


class Stack:
    """Runs ``stages`` in the main thread; the parts of one stage come up together.

    A part that ends by itself brings everything down. Whatever happens, a failure half way up included, no part is
    left running when ``run`` returns or raises.
    """

    def __init__(self, stages: Sequence[Sequence[Part]], progress: Progress) -> None:
        self._stages = stages
        self._progress = progress
        self._started: list[Part] = []

    def run(self, when_up: Callable[[], None]) -> int:
        """Returns the exit code: 0 if asked to stop (SIGINT, SIGTERM or SIGHUP), 1 if a part failed.

        A second signal while parts are draining kills what still runs.
        """
        with _raising(Interrupted):
            try:
                self._bring_up()
                when_up()
                self._watch()
            except Interrupted:
                self._progress.say("Stopping.")
                return 0
            except EmbeddedError as error:
                self._progress.say(f"\n{error}\n")
                return 1
            finally:
                self._bring_down()
                self._progress.say("Stopped.")

    def _bring_up(self) -> None:
        for stage in self._stages:
            names = " and ".join(part.name for part in stage)
            with self._progress.step(f"{names}: starting", f"{names}: ready"):
                for part in stage:
                    self._started.append(part)  # before it starts, so that one that fails half way is stopped too
                    part.start()
                for part in stage:
                    part.wait_ready(meanwhile=self._check)

    def _watch(self) -> NoReturn:
        while True:
            self._check()
            time.sleep(WATCH_EVERY)

    def _check(self) -> None:
        for part in self._started:
            if part.poll() is not None:
                raise EmbeddedError(part.failure())

    def _bring_down(self) -> None:
        try:
            for part in reversed(self._started):
                if not part.stop():
                    self._progress.say(f"{part.name} did not stop in time and was killed.")
        except Interrupted:
            for number in STOPPING:
                signal.signal(number, signal.SIG_IGN)
            self._progress.say("Stopping at once.")
            for part in reversed(self._started):
                part.kill()


@contextmanager
def _raising(error: type[BaseException]) -> Iterator[None]:
    """Turn signals to stop into ``error``, raised wherever the main thread is."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        raise error

    before = {number: signal.signal(number, handle) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
