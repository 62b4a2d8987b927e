"""How long the queues are, for metrics."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import psycopg

_CONNECT_SECONDS = 2
_COUNT_SECONDS = 5
_KEPT_SECONDS = 2
"""Longer than one scrape takes, shorter than the time between two."""
_SHARE = 20
"""A count that took a second is kept for twenty: with a million open tickets this costs a twentieth of a core."""

# A function of the tables' owner: the application sees one organization at a time, and these are sums of all.
_QUEUES = "SELECT status, unassigned, length, oldest_seconds, overdue FROM baton_queues(%s::text[])"
_STATUSES = ("open", "in_progress", "waiting")


@dataclass(frozen=True)
class Queue:
    """Tickets of one status, with or without an assignee; ``oldest_seconds`` is the age of the oldest."""

    status: str
    unassigned: bool
    length: int
    oldest_seconds: float
    overdue: int
    """Past an SLA deadline without a breach being recorded yet: when they stay, no worker works."""


class Queues:
    """Counts all organizations' tickets, seldom enough to cost little, with a connection of its own."""

    def __init__(self, psycopg_url: str) -> None:
        self._url = psycopg_url
        self._again_at = float("-inf")
        self._latest: Sequence[Queue] = ()

    def read(self) -> Sequence[Queue]:
        """The queues; nothing while Postgres is away."""
        started = time.monotonic()
        if started >= self._again_at:
            self._latest = _read_queues(self._url)
            ended = time.monotonic()  # one scrape asks several times and must not wait as often
            self._again_at = ended + max(_KEPT_SECONDS, _SHARE * (ended - started) if self._latest else 0)
        return self._latest


def _read_queues(psycopg_url: str) -> Sequence[Queue]:
    options = f"-c statement_timeout={_COUNT_SECONDS}s"
    try:
        with psycopg.connect(psycopg_url, connect_timeout=_CONNECT_SECONDS, options=options) as connection:
            found = [Queue(*row) for row in connection.execute(_QUEUES, [list(_STATUSES)])]
    except psycopg.Error:
        return []
    there = {(queue.status, queue.unassigned) for queue in found}
    # An empty queue is zero long; without a number nobody could tell it from a database that is away.
    missing = [each for each in product(_STATUSES, (False, True)) if each not in there]
    return [*found, *(Queue(status, unassigned, 0, 0.0, 0) for status, unassigned in missing)]
