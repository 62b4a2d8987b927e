"""Keeps a service that fails from being asked again and again."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass
class CircuitBreaker:
    """Opens after ``failures`` in a row and lets nobody through for ``rest``; then one goes ahead to see.

    If that one succeeds all are let through again, else it rests anew. ``clock`` gives seconds that only grow.
    """

    failures: int = 5
    rest: timedelta = timedelta(seconds=30)
    clock: Callable[[], float] = time.monotonic
    _in_a_row: int = field(init=False, default=0)
    _opened_at: float | None = field(init=False, default=None)
    _trying: bool = field(init=False, default=False)

    @property
    def is_open(self) -> bool:
        """Whether it does not know yet that the service works again."""
        return self._opened_at is not None

    def admits(self) -> bool:
        """Whether the caller may ask. Who may must say ``succeeded``, ``failed`` or ``abandoned`` afterwards."""
        if self._opened_at is None:
            return True
        if self._trying or self.clock() - self._opened_at < self.rest.total_seconds():
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """The service did what it should."""
        self._in_a_row, self._opened_at, self._trying = 0, None, False

    def failed(self) -> None:
        """The service did not; one that fails while it is tried rests anew."""
        self._in_a_row += 1
        if self._trying or (self._opened_at is None and self._in_a_row >= self.failures):
            self._opened_at, self._trying = self.clock(), False

    def abandoned(self) -> None:
        """The caller went away before there was an outcome."""
        self._trying = False
