"""Waiting until nothing moves any more."""

import asyncio
import time
from typing import Any

import psycopg

from settings import Settings

_WITHIN_SECONDS = 240
"""The longest chain of timers takes some fifteen seconds, and a delivery whose worker was killed is tried again after a
minute and a half; what has not happened by then is taken for dropped."""
_STILL_SECONDS = 1.0
"""After so long without a change nothing is on its way any more."""

# Of an escalation in no team's queue the ladder goes on after minutes.
_WAITS = """SELECT
    (SELECT count(next_timer_at) FROM tickets),
    (SELECT count(*) FROM escalations WHERE status IN ('queued', 'claimed')
        AND CAST(state #>> '{climb,run,due_at}' AS timestamptz) < now() + interval '1 minute'),
    (SELECT count(*) FROM escalations WHERE status = 'claimed' AND waiting_since IS NOT NULL
        AND coalesce(CAST(state ->> 'silence_limit' AS interval), '0') < interval '1 minute'),
    (SELECT count(*) FROM escalation_reasons WHERE escalation_id IS NULL),
    (SELECT count(*) FROM deliveries WHERE state = 'pending'),
    (SELECT count(*) FROM escalations AS e JOIN conversations AS c ON c.id = e.conversation_id
        WHERE e.status IN ('queued', 'claimed') AND (c.waiting_since, c.answered_at)
            IS DISTINCT FROM (e.waiting_since, e.answered_at))
"""
_CHANGES = (
    "SELECT sum(version), (SELECT sum(version) FROM escalations), (SELECT sum(tried) FROM deliveries) FROM tickets"
)


async def quiet(settings: Settings) -> None:
    """Wait until nothing waits for a timer or to be told, and nothing is written any more; or as long as that may take.

    Whoever gets into a claimed conversation's way has stopped: an owner who owes an answer gives it back in the end.
    """
    deadline = time.monotonic() + _WITHIN_SECONDS
    seen: object = None
    since = time.monotonic()
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            changed = await _row(connection, _CHANGES)
            if changed != seen or any(await _row(connection, _WAITS)):
                seen, since = changed, time.monotonic()
            elif time.monotonic() - since > _STILL_SECONDS:
                return
            await asyncio.sleep(0.25)


async def _row(connection: psycopg.AsyncConnection[Any], query: str) -> tuple[Any, ...]:
    found = await (await connection.execute(query)).fetchone()
    assert found
    return tuple(found)
