"""How long the queues are, for metrics."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

_TIMEOUT_SECONDS = 2

_QUEUES = """
SELECT status, assignee_id IS NULL AS unassigned, count(*),
       coalesce(extract(epoch FROM now() - min(created_at)), 0)::float,
       count(*) FILTER (WHERE sla_due_at < now())
FROM tickets WHERE status IN ('open', 'in_progress', 'waiting') GROUP BY 1, 2
"""


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
    """Counts all organizations' tickets, at most once a second, with a connection of its own."""

    def __init__(self, psycopg_url: str) -> None:
        self._url = psycopg_url
        self._read_at = float("-inf")
        self._latest: Sequence[Queue] = ()

    def read(self) -> Sequence[Queue]:
        """The queues; nothing while Postgres is away."""
        now = time.monotonic()
        if now - self._read_at >= 1:
            self._latest, self._read_at = _read_queues(self._url), now
        return self._latest


def _read_queues(psycopg_url: str) -> Sequence[Queue]:
    try:
        with psycopg.connect(
            psycopg_url, connect_timeout=_TIMEOUT_SECONDS, options=f"-c statement_timeout={_TIMEOUT_SECONDS}000"
        ) as connection:
            return [Queue(*row) for row in connection.execute(_QUEUES)]
    except psycopg.Error:
        return []
