"""The queue: how soon a member is told of a conversation that needs a human, and how soon one has it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.bench.http import Connection, Latencies
from benchmarks.bench.setting import Bench
from tests.support import eventually

_TOLD_WITHIN = 60.0


async def measure(bench: Bench, sizes: dict[int, int]) -> dict[str, Any]:
    """So many conversations that need a human, by so many clients at once.

    Each client asks for a human and takes the conversation over, and takes another over for which nobody has asked.
    ``notified`` is from when the request is sent until an open page of the team's one member has the notification.
    """
    async with bench.desk.connections(1, Latencies()) as (connection,):
        team = await connection.post("team", "/teams", {"name": f"Q {uuid4()}", "member_ids": [bench.desk.member_id]})
    await _by(bench, 4, 8, team["id"])  # what is measured comes to warm processes
    return {str(clients): await _by(bench, clients, total, team["id"]) for clients, total in sizes.items()}


async def _by(bench: Bench, clients: int, total: int, team: str) -> dict[str, float]:
    latencies, asked, left = Latencies(), dict[str, float](), iter(range(total))
    holder = {"member_id": bench.desk.member_id}

    async def client(connection: Connection) -> None:
        for _ in left:
            path, conversation_id = await _conversation(connection)
            asked[conversation_id] = time.perf_counter()
            await connection.post("raise", f"{path}/escalations", {"reason": "Wants a person.", "team_id": team})
            await connection.post("take queued", f"{path}/takeover", holder)
            path, _ = await _conversation(connection)
            await connection.post("take unasked", f"{path}/takeover", holder)

    async with _page_of(bench) as told, bench.desk.connections(clients, latencies) as connections:
        await asyncio.gather(*map(client, connections))
        await eventually(lambda: asked.keys() <= told.keys(), _TOLD_WITHIN)
    for conversation_id, began in asked.items():
        latencies.add("notified", told[conversation_id] - began)
    return {
        "conversations": total,
        **_quantiles(latencies, "raise", "raised"),
        **_quantiles(latencies, "notified", "notified"),
        **_quantiles(latencies, "take queued", "takeover_of_queued"),
        **_quantiles(latencies, "take unasked", "takeover_unasked"),
    }


async def _conversation(connection: Connection) -> tuple[str, str]:
    """A new one, whose customer waits: its path, and its id."""
    path = f"/conversations/{uuid4()}"
    message = {"external_id": "m-1", "author": "customer", "body": "Where is my bag?"}
    return path, (await connection.post("say", f"{path}/messages", message))["conversation_id"]


@asynccontextmanager
async def _page_of(bench: Bench) -> AsyncIterator[dict[str, float]]:
    """The member's open page; by conversation when it was first told of it."""
    headers = {"Authorization": f"Bearer {bench.desk.key}", "Baton-On-Behalf-Of": bench.desk.member_id}
    told: dict[str, float] = {}
    opened = asyncio.Event()

    async def follow(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/api/v1/events", timeout=60) as answer:
            kind = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                    opened.set()
                elif name == "data" and kind == "notification":
                    told.setdefault(json.loads(value)["conversation_id"], time.perf_counter())

    async with httpx.AsyncClient(base_url=bench.system.url, headers=headers, trust_env=False) as client:
        following = asyncio.create_task(follow(client))
        await opened.wait()
        try:
            yield told
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


def _quantiles(latencies: Latencies, name: str, known_as: str) -> dict[str, float]:
    return {f"{known_as}_p{round(share * 100)}_ms": latencies.milliseconds(share, name) for share in (0.5, 0.99)}
