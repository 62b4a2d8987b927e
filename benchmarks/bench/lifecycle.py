"""A ticket's life in seven requests, by so many clients at once, or at a steady pace."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.bench.http import Connection, Latencies

STEPS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("assign", "assignment", {"assignee_id": None}),
    ("start", "status", {"to": "in_progress"}),
    ("wait", "status", {"to": "waiting"}),
    ("message", "messages", {"author": "customer", "body": "Here is the order number: 1093."}),
    ("resolve", "status", {"to": "resolved"}),
    ("close", "status", {"to": "closed"}),
)
NEW = {"title": "The invoice shows the wrong amount", "description": "It shows 120 instead of 100. " * 5}


@dataclass(frozen=True)
class Desk:
    """Where the requests go, and who is assigned."""

    host: str
    port: int
    key: str
    member_id: str

    @asynccontextmanager
    async def connections(self, count: int, latencies: Latencies) -> AsyncIterator[list[Connection]]:
        """So many connections, open for as long as the block lasts."""
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(Connection(self.host, self.port, self.key, latencies))
                for _ in range(count)
            ]

    def step(self, ticket_id: str, number: int) -> tuple[str, str, dict[str, Any]]:
        """Name, path and document of a step."""
        name, path, document = STEPS[number]
        if name == "assign":
            document = {"assignee_id": self.member_id}
        return name, f"/tickets/{ticket_id}/{path}", document


async def live(desk: Desk, connection: Connection) -> str:
    """One life; returns the ticket's id."""
    ticket_id: str = (await connection.post("create", "/tickets", NEW))["id"]
    for number in range(len(STEPS)):
        await connection.post(*desk.step(ticket_id, number))
    return ticket_id


async def lives(desk: Desk, clients: int, total: int) -> tuple[float, Latencies, list[str]]:
    """``total`` lives by ``clients`` at once: seconds, latencies, the tickets' ids."""
    latencies = Latencies()
    left = iter(range(total))
    ids: list[str] = []

    async def client(connection: Connection) -> None:
        ids.extend([await live(desk, connection) for _ in left])

    async with desk.connections(clients, latencies) as connections:
        started = time.perf_counter()
        await asyncio.gather(*(client(connection) for connection in connections))
        return time.perf_counter() - started, latencies, ids


async def steady(desk: Desk, per_second: float, seconds: float, seed: int = 1) -> Latencies:
    """Requests at random moments, so many a second on average, whether earlier ones are answered or not.

    Tickets go through their lives; each request is timed from the moment it was due.
    """
    randomness, latencies = random.Random(seed), Latencies()
    waiting: list[tuple[str, int]] = []
    free: asyncio.Queue[Connection] = asyncio.Queue()

    async def fire(due: float) -> None:
        connection = await free.get()
        try:
            if not waiting or randomness.random() < 1 / (len(STEPS) + 1):
                ticket = await connection.post_due("create", "/tickets", NEW, due)
                waiting.append((ticket["id"], 0))
                return
            ticket_id, number = waiting.pop(randomness.randrange(len(waiting)))
            await connection.post_due(*desk.step(ticket_id, number), due)
            if number + 1 < len(STEPS):
                waiting.append((ticket_id, number + 1))
        finally:
            free.put_nowait(connection)

    async with desk.connections(64, latencies) as connections, asyncio.TaskGroup() as tasks:
        for connection in connections:
            free.put_nowait(connection)
        due = time.perf_counter()
        until = due + seconds
        while due < until:
            due += randomness.expovariate(per_second)
            await asyncio.sleep(max(0, due - time.perf_counter()))
            tasks.create_task(fire(due))
    return latencies
