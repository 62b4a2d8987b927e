"""Many tickets of one team at once: how soon each has somebody, and whether they are spread evenly."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import psycopg

from benchmarks.bench.http import Latencies
from benchmarks.bench.lifecycle import NEW
from benchmarks.bench.setting import Bench

MEMBERS = 8
_CLIENTS = 50
_PATIENCE = 120.0

# Both moments are the ticket's own: when it was created, and when its workflow took the offer.
_WAITED = """
SELECT tickets.assignee_id, extract(epoch FROM events.at - tickets.created_at)::float
FROM tickets JOIN ticket_events AS events ON events.ticket_id = tickets.id AND events.kind = 'assigned'
WHERE tickets.team_id = %s
"""


async def measure(bench: Bench, tickets: int) -> dict[str, Any]:
    """Create so many tickets at once in a team that takes turns, and wait until all have somebody."""
    latencies = Latencies()
    async with bench.desk.connections(_CLIENTS, latencies) as connections:
        first = connections[0]
        members = [
            (await first.post("member", "/members", {"name": "Agent", "email": _email(), "presence": "online"}))["id"]
            for _ in range(MEMBERS)
        ]
        document = {"name": f"Team {uuid4()}", "assignment": "round_robin", "member_ids": members}
        team = (await first.post("team", "/teams", document))["id"]
        left = iter(range(tickets))

        async def client(number: int) -> None:
            for _ in left:
                await connections[number].post("create", "/tickets", NEW | {"team_id": team})

        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
        answered = time.perf_counter() - began
        waited = await _all_assigned(bench, team, tickets)
        seconds = time.perf_counter() - began
    each = sorted(value for _, value in waited)
    counts = [sum(owner == member for owner, _ in waited) for member in {owner for owner, _ in waited}]
    return {
        "tickets": tickets,
        "members": MEMBERS,
        "all_answered_seconds": round(answered, 2),
        "all_assigned_seconds": round(seconds, 2),
        "p50_ms": _milliseconds(each, 0.5),
        "p99_ms": _milliseconds(each, 0.99),
        "fewest_and_most_of_a_member": f"{min(counts)} and {max(counts)}",
    }


async def _all_assigned(bench: Bench, team: str, tickets: int) -> list[tuple[Any, float]]:
    deadline = time.perf_counter() + _PATIENCE
    async with await psycopg.AsyncConnection.connect(bench.system.settings.psycopg_url, autocommit=True) as connection:
        while True:
            found = await (await connection.execute(_WAITED, [team])).fetchall()
            if len(found) == tickets:
                return [(owner, seconds) for owner, seconds in found]
            if time.perf_counter() > deadline:
                raise TimeoutError(f"{len(found)} of {tickets} tickets have been assigned")
            await asyncio.sleep(0.05)


def _milliseconds(values: list[float], share: float) -> float:
    return round(values[min(len(values) - 1, int(len(values) * share))] * 1000, 1)


def _email() -> str:
    return f"{uuid4()}@example.com"
