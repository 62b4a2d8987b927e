"""``make bench``: what a ticket's life costs, how lists do at size, and how soon a worker is of use."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.bench import assignment, measures, queue, telling
from benchmarks.bench.intake import intake
from benchmarks.bench.report import print_report
from benchmarks.bench.setting import Bench, bench_on
from embedded.ports import free_port
from embedded.process import EmbeddedError
from tests.chaos.system import System


@dataclass(frozen=True)
class Sizes:
    """How much of everything is measured."""

    lives: dict[int, int]
    """Lives by the number of clients at once."""
    steady_seconds: float
    listed: tuple[int, ...]
    open_tickets: int
    open_at_restart: int
    streams: int
    queued: dict[int, int]
    """Conversations that need a human, by the number of clients at once."""
    assigned: int = 200
    """Tickets of one team at once."""


FULL = Sizes(
    lives={1: 60, 16: 240, 50: 400},
    steady_seconds=60,
    listed=(100_000, 1_000_000),
    open_tickets=10_000,
    open_at_restart=1_000,
    streams=500,
    queued={1: 100, 16: 320},
)
QUICK = Sizes(
    lives={1: 10, 16: 48, 50: 100},
    steady_seconds=10,
    listed=(20_000,),
    open_tickets=300,
    open_at_restart=100,
    streams=100,
    queued={1: 10, 16: 48},
)

Measure = Callable[[Bench, Sizes], Awaitable[dict[str, Any]]]

PARTS: dict[str, Measure] = {
    "startup": lambda bench, _: measures.startup(bench),
    "lives": lambda bench, sizes: measures.lives_beside_bare(bench, sizes.lives),
    "cost": lambda bench, _: measures.cost(bench),
    "intake": lambda bench, sizes: intake(bench, sizes.steady_seconds),
    "steady": lambda bench, sizes: measures.steady_pace(bench, sizes.steady_seconds),
    "restart": lambda bench, sizes: measures.restart(bench, sizes.open_at_restart),
    "memory": lambda bench, sizes: measures.memory(bench, sizes.open_tickets),
    "assignment": lambda bench, sizes: assignment.measure(bench, sizes.assigned),
    "queue": lambda bench, sizes: queue.measure(bench, sizes.queued),
    "lists": lambda bench, sizes: measures.lists(bench, sizes.listed),
    "fan-out": lambda bench, _: telling.fan_out(bench),
    "events": lambda bench, sizes: telling.events(bench, sizes.streams),
    "analytics": lambda bench, sizes: measures.reports(bench, sizes.listed[0]),
}


async def run(sizes: Sizes, parts: list[str], console: Console, keep: Callable[[dict[str, Any]], None]) -> None:
    """Measure the parts one after another on one stack of their own; ``keep`` gets all there is after each."""
    results: dict[str, Any] = {}
    with _system(console) as system:
        async with bench_on(system, console) as bench:
            for part in parts:
                console.print(f"Measuring {part} ...")
                results[part] = await PARTS[part](bench, sizes)
                keep(results)


@contextmanager
def _system(console: Console) -> Iterator[System]:
    """A stack of its own, gone with all its data after; where something fails its logs are kept."""
    folder = Path(tempfile.mkdtemp(prefix="baton-bench-"))
    folder.chmod(0o711)
    system = System(folder, workers=1, temporal_metrics_port=free_port(), hasty=False)
    try:
        yield system
    except BaseException:
        kept = Path(tempfile.mkdtemp(prefix="baton-bench-logs-"))
        shutil.copytree(system.logs, kept, dirs_exist_ok=True)
        console.print(f"The stack's logs are in {kept}.")
        raise
    finally:
        system.stop()
        system.forget()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small part of everything, in about two minutes")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="these parts alone")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    measured: dict[str, Any] = {}

    def keep(results: dict[str, Any]) -> None:
        measured.update(results)
        if options.json:
            options.json.write_text(json.dumps(results, indent=2) + "\n")

    try:
        asyncio.run(run(QUICK if options.quick else FULL, options.only or list(PARTS), console, keep))
    except EmbeddedError as error:
        console.print(str(error), markup=False)
        return 1
    finally:
        print_report(measured, console)
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # a normal exit can crash in Temporal's client (https://github.com/temporalio/sdk-python/issues/300)
