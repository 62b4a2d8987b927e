"""Lists of very many tickets: rows made like a real one's, and how long the API needs to list, filter and search."""

import random
import time
from collections.abc import Mapping
from typing import Any

import psycopg

from benchmarks.bench.http import Connection, Latencies
from benchmarks.bench.lifecycle import Desk

_WORDS = [
    *("refund", "invoice", "delivery", "delayed", "password", "login", "payment", "card", "order", "broken"),
    *("missing", "parcel", "address", "change", "cancel", "subscription", "error", "screen", "update", "account"),
    *("wrong", "amount", "double", "charge", "voucher", "seat", "booking", "luggage", "flight"),
]

_FILL = """
INSERT INTO tickets (id, organization_id, number, version, title, description, status, priority, priority_rank, channel,
    tags, team_id, assignee_id, requester_id, conversation_id, created_at, updated_at, sla_due_at, breached, state)
SELECT made.id, old.organization_id, made.number, old.version, made.title, made.title || ' ' || made.more, made.status,
    old.priority, old.priority_rank, old.channel, made.tags, NULL, old.assignee_id, old.requester_id,
    old.conversation_id, made.created_at, made.created_at, NULL, made.number %% 20 = 0,
    old.state || jsonb_build_object('id', made.id, 'number', made.number, 'title', made.title, 'status', made.status,
        'tags', to_jsonb(made.tags), 'created_at', made.created_at, 'updated_at', made.created_at)
FROM tickets AS old, LATERAL (
    SELECT gen_random_uuid() AS id, n AS number,
        words[1 + n %% 29] || ' ' || words[1 + (n / 29) %% 29] || ' ' || words[1 + (n * 7) %% 29] AS title,
        words[1 + (n * 11) %% 29] || ' ' || words[1 + (n * 13) %% 29] AS more,
        (ARRAY['open', 'in_progress', 'waiting', 'resolved', 'closed', 'closed', 'closed', 'closed'])[1 + n %% 8]
            AS status,
        ARRAY[words[1 + n %% 17]] AS tags,
        now() - (n || ' seconds')::interval AS created_at
    FROM generate_series(%(first)s::int, %(last)s::int) AS n, (SELECT %(words)s::text[] AS words) AS vocabulary
) AS made
WHERE old.id = %(like)s
"""

QUERIES: Mapping[str, str] = {
    "list": "/tickets?limit=25",
    "next page": "/tickets?limit=25&cursor=",
    "open": "/tickets?limit=25&status=open",
    "assignee and status": "/tickets?limit=25&status=waiting&assignee_id=",
    "tag": "/tickets?limit=25&tag=refund",
    "breached": "/tickets?limit=25&breached=true",
    "search": "/tickets?limit=25&q=luggage%20refund",
    "rare search": "/tickets?limit=25&q=%22voucher%20seat%20wrong%22",
}


def fill(url: str, like: str, first: int, last: int) -> float:
    """Add tickets numbered ``first`` to ``last``, made like the ticket ``like``; returns the seconds it took."""
    started = time.perf_counter()
    with psycopg.connect(url, autocommit=True) as connection:
        step = 50_000
        for begin in range(first, last + 1, step):
            values = {"first": begin, "last": min(begin + step - 1, last), "words": _WORDS, "like": like}
            connection.execute(_FILL, values)
        connection.execute("VACUUM ANALYZE tickets")
    return time.perf_counter() - started


async def read(desk: Desk, rounds: int = 100, seed: int = 1) -> dict[str, dict[str, float]]:
    """Each query so many times, in mixed order: p50 and p99 in milliseconds."""
    latencies = Latencies()
    async with desk.connections(1, Latencies()) as (connection,):
        page = await connection.get("cursor", QUERIES["list"])
    async with desk.connections(1, latencies) as (connection,):
        todo = list(QUERIES) * rounds
        random.Random(seed).shuffle(todo)
        for name in todo:
            await _one(connection, name, QUERIES[name], desk, page)
    return {
        name: {"p50": latencies.milliseconds(0.5, name), "p99": latencies.milliseconds(0.99, name)} for name in QUERIES
    }


async def _one(connection: Connection, name: str, path: str, desk: Desk, page: dict[str, Any]) -> None:
    if path.endswith("cursor="):
        path += str(page["next_cursor"])
    if path.endswith("assignee_id="):
        path += desk.member_id
    await connection.get(name, path)
