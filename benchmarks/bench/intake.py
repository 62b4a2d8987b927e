"""Messages through the front door, with hundreds of rules in force: how many a second, how soon, at what cost."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import count, repeat
from typing import Any
from uuid import uuid4

from benchmarks.bench.accounting import cpu_seconds, spent
from benchmarks.bench.http import Connection, Latencies
from benchmarks.bench.setting import Bench

RULES, KEYWORDS_A_RULE, ROWS = 500, 5, 50
TALK = (
    "Hello, I would like to know where my parcel is. The order number is {}.",
    "Thanks, that helps a lot! One more question about order {}: can I still change the address?",
    "The {} charger I got last week does not fit, and nobody has answered my mail so far.",
    "My flight {} was delayed for three hours, what can I do now?",
)
_numbers = count(1)


async def intake(bench: Bench, seconds: float) -> dict[str, Any]:
    """Batches at 500 messages a second, then single messages at 150 a second; 1 in 100 matches a rule, and escalates.

    Batches come at an even pace, as one import sends them, and once more at random moments, as many would; single
    messages come at random moments, as customers write.
    """
    async with bench.desk.connections(1, Latencies()) as (connection,):
        for number in range(RULES):
            await connection.post("rule", "/escalation-events", _rule(number))
        await connection.post("warm", "/messages/batch", {"messages": [_row() for _ in range(ROWS)]})
    return {
        "rules": RULES,
        "batches": await _paced(bench, seconds, _evenly(500 / ROWS), ROWS, _batch),
        "batches_at_random": await _paced(bench, seconds, _at_random(500 / ROWS), ROWS, _batch),
        "alone": await _paced(bench, seconds, _at_random(150), 1, _alone),
    }


def _evenly(per_second: float) -> Iterator[float]:
    """Seconds between requests."""
    return repeat(1 / per_second)


def _at_random(per_second: float) -> Iterator[float]:
    """The same at a steady mean: in some seconds twice as many come."""
    randomness = random.Random(1)
    return (randomness.expovariate(per_second) for _ in count())


async def _paced(
    bench: Bench,
    seconds: float,
    gaps: Iterator[float],
    messages: int,
    send: Callable[[Connection, float], Awaitable[None]],
) -> dict[str, Any]:
    """Requests with these gaps between them, each timed from when it was due."""
    latencies = Latencies()
    free: asyncio.Queue[Connection] = asyncio.Queue()

    async def fire(due: float) -> None:
        connection = await free.get()
        try:
            await send(connection, due)
        finally:
            free.put_nowait(connection)

    before, began = cpu_seconds(bench.stack_pids()), time.perf_counter()
    async with bench.desk.connections(32, latencies) as connections, asyncio.TaskGroup() as tasks:
        for connection in connections:
            free.put_nowait(connection)
        due = began
        while due < began + seconds:
            due += next(gaps)
            await asyncio.sleep(max(0, due - time.perf_counter()))
            tasks.create_task(fire(due))
    took, cpu = time.perf_counter() - began, spent(before, cpu_seconds(bench.stack_pids()))
    total = len(latencies.all()) * messages
    return {
        "messages_per_second": round(total / took),
        "p50_ms": latencies.milliseconds(0.5),
        "p99_ms": latencies.milliseconds(0.99),
        "cpu_ms_a_message": {part: round(each * 1000 / total, 2) for part, each in cpu.items()},
    }


async def _batch(connection: Connection, due: float) -> None:
    answer = await connection.post_due("batch", "/messages/batch", {"messages": [_row() for _ in range(ROWS)]}, due)
    assert answer["stored"] == ROWS, answer


async def _alone(connection: Connection, due: float) -> None:
    row = _row()
    await connection.post_due("alone", f"/conversations/{row.pop('conversation')}/messages", row, due)


def _row() -> dict[str, Any]:
    """A customer's message; a conversation has four."""
    number = next(_numbers)
    body = TALK[number % len(TALK)].format(number)
    if number % 100 == 0:
        body += f" word{number % RULES}x0"
    return {
        "conversation": f"bench-{number // 4}",
        "external_id": str(uuid4()),
        "author": "customer",
        "body": body,
        "requester": {"external_id": f"customer-{number // 4}"},
    }


def _rule(number: int) -> dict[str, Any]:
    return {
        "name": f"Rule {number}",
        "conditions": {"keyword": [f"word{number}x{place}" for place in range(KEYWORDS_A_RULE)]},
        "actions": {"create_ticket": False, "tags": [f"tag{number}"]},
    }
