"""Each thing that is measured: numbers only, no opinions."""

import asyncio
import random
import time
from typing import Any
from uuid import UUID

from benchmarks.bench import analytics, bare
from benchmarks.bench import lists as reading
from benchmarks.bench.accounting import cpu_seconds, resident_bytes, spent
from benchmarks.bench.http import Latencies
from benchmarks.bench.lifecycle import NEW, Desk, lives, steady
from benchmarks.bench.setting import BareWorker, Bench
from domain.ids import workflow_id
from tests.support import eventually


async def startup(bench: Bench) -> dict[str, Any]:
    """From the first process started to the first ticket answered, on empty folders."""
    return {"seconds_to_first_ticket": round(bench.started_in, 1)}


async def lives_beside_bare(bench: Bench, sizes: dict[int, int]) -> dict[str, Any]:
    """Lives by so many clients at once: bare entities first, then Baton, on the same server."""
    worker = BareWorker(bench.system.settings.temporal_address, bench.system.logs / "bare.log")
    worker.start()
    found: dict[str, Any] = {}
    try:
        await eventually(worker.is_ready, timeout=20)
        await bare.lives(bench.temporal, 4, 8)
        await lives(bench.desk, 4, 8)
        for clients, total in sizes.items():
            found[str(clients)] = {
                "bare": await _bare(bench, worker, clients, total),
                "baton": await _baton(bench, clients, total),
            }
            both = found[str(clients)]
            both["ratio"] = round(both["baton"]["lives_per_second"] / both["bare"]["lives_per_second"], 2)
    finally:
        worker.stop()
    return found


async def _bare(bench: Bench, worker: BareWorker, clients: int, total: int) -> dict[str, Any]:
    pids = {"temporal": bench.stack_pids()["temporal"], "worker": [worker.pid]}
    before, own = cpu_seconds(pids), bench.own_cpu()
    seconds = await bare.lives(bench.temporal, clients, total)
    cpu = {**spent(before, cpu_seconds(pids)), "client": bench.own_cpu() - own}
    return {"lives_per_second": round(total / seconds, 1), "cpu_ms_per_life": _per(cpu, total)}


async def _baton(bench: Bench, clients: int, total: int) -> dict[str, Any]:
    before = cpu_seconds(bench.stack_pids())
    seconds, latencies, _ = await lives(bench.desk, clients, total)
    await asyncio.sleep(0.5)  # what was answered may still be worked on
    cpu = spent(before, cpu_seconds(bench.stack_pids()))
    p50, p99 = latencies.milliseconds(0.5), latencies.milliseconds(0.99)
    return {
        "lives_per_second": round(total / seconds, 1),
        "p50_ms": p50,
        "p99_ms": p99,
        "p99_over_p50": round(p99 / p50, 1),
        "create_p99_ms": latencies.milliseconds(0.99, "create"),
        "pending_answers": latencies.pending,
        "sent_again": latencies.sent_again,
        "cpu_ms_per_life": _per(cpu, total),
    }


async def steady_pace(bench: Bench, seconds: float, per_second: float = 20) -> dict[str, Any]:
    """Requests at random moments at a steady mean, however long earlier ones take."""
    latencies = await steady(bench.desk, per_second, seconds)
    return {
        "commands_per_second": per_second,
        "requests": len(latencies.all()),
        "p50_ms": latencies.milliseconds(0.5),
        "p99_ms": latencies.milliseconds(0.99),
        "create_p50_ms": latencies.milliseconds(0.5, "create"),
        "create_p99_ms": latencies.milliseconds(0.99, "create"),
        "pending_answers": latencies.pending,
        "sent_again": latencies.sent_again,
    }


async def cost(bench: Bench, total: int = 20) -> dict[str, Any]:
    """History events, their bytes, and billable actions of one life, by one client."""
    before = await bench.actions()
    _, _, ids = await lives(bench.desk, 1, total)
    await asyncio.sleep(3)  # the server's metrics lag a second or two
    actions = {
        kind: round((count - before.get(kind, 0)) / total, 2)
        for kind, count in (await bench.actions()).items()
        if count > before.get(kind, 0)
    }
    histories = [await bench.temporal.get_workflow_handle(workflow_id(UUID(each))).fetch_history() for each in ids]
    return {
        "events": max(len(history.events) for history in histories),
        "bytes": max(sum(event.ByteSize() for event in history.events) for history in histories),
        "actions": round(sum(actions.values()), 1),
        "actions_by_kind": actions,
    }


async def restart(bench: Bench, open_tickets: int) -> dict[str, Any]:
    """The first command on each of some tickets after the worker was killed with so many tickets open."""
    ids = await _open(bench, open_tickets)
    worker = bench.system.processes["worker"][0]
    await bench.system.kill([worker])
    latencies = Latencies()
    async with bench.desk.connections(1, latencies) as (connection,):
        began = time.perf_counter()
        await bench.system.revive(worker)
        up = time.perf_counter() - began
        for ticket_id in random.Random(1).sample(ids, min(20, len(ids))):
            await connection.post(*bench.desk.step(ticket_id, 0))
    every = latencies.all()
    return {
        "open_tickets": open_tickets,
        "worker_up_seconds": round(up, 1),
        "first_command_ms": round(every[0] * 1000, 1),
        "later_commands_p50_ms": latencies.milliseconds(0.5),
    }


async def memory(bench: Bench, open_tickets: int) -> dict[str, Any]:
    """The worker's own memory with so many tickets open, all of which it has worked on."""
    worker = bench.system.processes["worker"][0]
    await bench.system.kill([worker])
    await bench.system.revive(worker)
    assert worker.pid is not None
    before = resident_bytes(worker.pid)
    await _open(bench, open_tickets)
    after = resident_bytes(worker.pid)
    return {
        "open_tickets": open_tickets,
        "megabytes_before": round(before / 1e6),
        "megabytes": round(after / 1e6),
        "kilobytes_per_ticket": round((after - before) / open_tickets / 1e3, 1),
    }


async def lists(bench: Bench, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Lists, filters and searches among very many tickets."""
    async with bench.desk.connections(1, Latencies()) as (connection,):
        like = (await connection.post("create", "/tickets", NEW))["id"]
        await connection.post(*bench.desk.step(like, 0))
    found: dict[str, Any] = {}
    filled = 1_000_000
    for size in sizes:
        seconds = await asyncio.to_thread(
            reading.fill, bench.system.settings.psycopg_url, like, filled + 1, filled + size - _count(found)
        )
        filled += size - _count(found)
        bench.console.print(f"  {size} tickets, {seconds:.0f} s to fill")
        await reading.read(bench.desk, rounds=5)
        found[str(size)] = await reading.read(bench.desk)
    return found


async def reports(bench: Bench, size: int) -> dict[str, Any]:
    """Reports over very many tickets."""
    async with bench.desk.connections(1, Latencies()) as (connection,):
        like = (await connection.post("create", "/tickets", NEW))["id"]
    await asyncio.to_thread(analytics.fill, bench.system.settings.psycopg_url, like, size)
    await analytics.read(bench.desk, rounds=2)
    return {str(size): await analytics.read(bench.desk)}


def _count(found: dict[str, Any]) -> int:
    return max((int(size) for size in found), default=0)


async def _open(bench: Bench, count: int) -> list[str]:
    """So many new tickets that stay open."""
    left, ids = iter(range(count)), list[str]()
    desk: Desk = bench.desk

    async def client(connection: Any) -> None:
        for _ in left:
            ids.append((await connection.post("create", "/tickets", NEW))["id"])

    async with desk.connections(16, Latencies()) as connections:
        await asyncio.gather(*(client(connection) for connection in connections))
    return ids


def _per(cpu: dict[str, float], total: int) -> dict[str, float]:
    each = {part: round(seconds * 1000 / total, 1) for part, seconds in cpu.items()}
    return {**each, "total": round(sum(each.values()), 1)}
