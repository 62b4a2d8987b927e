"""How soon and at what cost many are told: one ticket's event to many members, and one change to many open pages."""

import asyncio
import time
from typing import Any

import httpx

from benchmarks.bench.accounting import cpu_seconds, resident_bytes, spent
from benchmarks.bench.http import Connection, Latencies
from benchmarks.bench.setting import Bench

RECEIVERS = 50
_CHANGES = 20


async def fan_out(bench: Bench) -> dict[str, Any]:
    """Escalated tickets of a team with fifty supervisors, who are all told, beside those of a team with one."""
    latencies = Latencies()
    async with bench.desk.connections(1, latencies) as (connection,):
        people = [{"name": f"M {n}", "email": f"m{n}@example.com", "role": "supervisor"} for n in range(RECEIVERS)]
        members = [(await connection.post("member", "/members", each))["id"] for each in people]
        teams = {
            "many": {"name": "Many", "member_ids": members},
            "one": {"name": "One", "supervisor_id": members[0]},
        }
        spent_on = {}
        for name, document in teams.items():
            team = (await connection.post("team", "/teams", document))["id"]
            spent_on[name] = await _escalations(bench, connection, name, team)
    return {
        "receivers": RECEIVERS,
        "many_told_p50_ms": latencies.milliseconds(0.5, "many"),
        "one_told_p50_ms": latencies.milliseconds(0.5, "one"),
        "cpu_ms_a_receiver": round((spent_on["many"] - spent_on["one"]) * 1000 / _CHANGES / (RECEIVERS - 1), 2),
    }


async def _escalations(bench: Bench, connection: Connection, name: str, team: str) -> float:
    """CPU seconds of the whole stack while a team's tickets are escalated."""
    new = {"title": "Look at this", "team_id": team}
    ids = [(await connection.post("create", "/tickets", new))["id"] for _ in range(_CHANGES)]
    before = cpu_seconds(bench.stack_pids())
    for ticket_id in ids:
        await connection.post(name, f"/tickets/{ticket_id}/escalate", {"reason": "It is late"})
    await asyncio.sleep(0.5)  # what was answered may still be worked on
    return sum(spent(before, cpu_seconds(bench.stack_pids())).values())


async def events(bench: Bench, streams: int) -> dict[str, Any]:
    """So many open streams, each of which gets each change; the time from sending a command until all have it."""
    [api] = bench.stack_pids()["api"]
    before = resident_bytes(api)
    limits = httpx.Limits(max_connections=None)
    headers = {"Authorization": f"Bearer {bench.desk.key}"}
    async with httpx.AsyncClient(base_url=bench.system.url, headers=headers, trust_env=False, limits=limits) as client:
        counts = [0] * streams
        news = asyncio.Event()

        async def follow(number: int) -> None:
            async with client.stream("GET", "/api/v1/events", timeout=60) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("event: "):
                        counts[number] += 1
                        news.set()

        async def all_have(count: int) -> None:
            while min(counts) < count:
                news.clear()
                await news.wait()

        tasks = [asyncio.create_task(follow(number)) for number in range(streams)]
        began = time.perf_counter()
        await all_have(1)
        opened = time.perf_counter() - began
        seconds = []
        async with bench.desk.connections(1, Latencies()) as (connection,):
            for turn in range(_CHANGES):
                began = time.perf_counter()
                await connection.post("create", "/tickets", {"title": "Shown to many"})
                await all_have(turn + 2)
                seconds.append(time.perf_counter() - began)
        memory = resident_bytes(api) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "streams": streams,
        "open_seconds": round(opened, 2),
        "all_have_it_p50_ms": round(sorted(seconds)[len(seconds) // 2] * 1000, 1),
        "all_have_it_max_ms": round(max(seconds) * 1000, 1),
        "kilobytes_a_stream": round(memory / streams / 1e3, 1),
    }
