"""How long the queues are, for metrics."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Generic, TypeVar

import psycopg

from domain.delivery import FETCHED, ConnectorName
from domain.priority import Priority

T = TypeVar("T")

_CONNECT_SECONDS = 2
_COUNT_SECONDS = 5
_KEPT_SECONDS = 2
"""Longer than one scrape takes, shorter than the time between two."""
_SHARE = 20
"""A count that took a second is kept for twenty: with a million open tickets this costs a twentieth of a core."""

# Functions of the tables' owner: the application sees one organization at a time, and these are sums of all.
_QUEUES = "SELECT status, unassigned, length, oldest_seconds, overdue FROM baton_queues(%s::text[])"
_LINES = "SELECT line, of, length, oldest_seconds FROM baton_lines()"
_STATUSES = ("open", "in_progress", "waiting")
_LINES_THERE_ARE = (
    *(("queued", each.value) for each in Priority),
    *product(("pending", "failed"), (each.value for each in ConnectorName if each not in FETCHED)),
)


@dataclass(frozen=True)
class Queue:
    """Tickets of one status, with or without an assignee; ``oldest_seconds`` is the age of the oldest."""

    status: str
    unassigned: bool
    length: int
    oldest_seconds: float
    overdue: int
    """Past an SLA deadline without a breach being recorded yet: when they stay, no worker works."""


@dataclass(frozen=True)
class Line:
    """What stands in one line: queued escalations of a priority, or a connector's deliveries.

    ``line`` is ``queued``, ``pending`` or ``failed`` (within a day); ``oldest_seconds`` is for how long the first one
    has waited: of an escalation, its customer.
    """

    line: str
    of: str
    length: int
    oldest_seconds: float


class Counting(Generic[T]):
    """Counts what is all organizations', seldom enough to cost little, with a connection of its own."""

    def __init__(self, psycopg_url: str, count: Callable[[psycopg.Connection], Sequence[T]]) -> None:
        self._url = psycopg_url
        self._count = count
        self._again_at = float("-inf")
        self._latest: Sequence[T] = ()

    def read(self) -> Sequence[T]:
        """The counts; nothing while Postgres is away."""
        started = time.monotonic()
        if started >= self._again_at:
            self._latest = self._read()
            ended = time.monotonic()  # one scrape asks several times and must not wait as often
            self._again_at = ended + max(_KEPT_SECONDS, _SHARE * (ended - started) if self._latest else 0)
        return self._latest

    def _read(self) -> Sequence[T]:
        options = f"-c statement_timeout={_COUNT_SECONDS}s"
        try:
            with psycopg.connect(self._url, connect_timeout=_CONNECT_SECONDS, options=options) as connection:
                return self._count(connection)
        except psycopg.Error:
            return []


# What is empty is zero long; without a number nobody could tell it from a database that is away.


def count_queues(connection: psycopg.Connection) -> Sequence[Queue]:
    """Every status, with and without an assignee."""
    found = [Queue(*row) for row in connection.execute(_QUEUES, [list(_STATUSES)])]
    there = {(queue.status, queue.unassigned) for queue in found}
    missing = [each for each in product(_STATUSES, (False, True)) if each not in there]
    return [*found, *(Queue(status, unassigned, 0, 0.0, 0) for status, unassigned in missing)]


def count_lines(connection: psycopg.Connection) -> Sequence[Line]:
    """Every priority and every connector that sends."""
    found = [Line(*row) for row in connection.execute(_LINES)]
    there = {(each.line, each.of) for each in found}
    return [*found, *(Line(line, of, 0, 0.0) for line, of in _LINES_THERE_ARE if (line, of) not in there)]
