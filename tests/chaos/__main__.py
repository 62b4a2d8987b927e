"""``make chaos``: clients work while every part is killed and stopped; fails on anything lost, doubled or amiss."""

import argparse
import asyncio
import sys
import time

from tests.chaos.run import Plan
from tests.chaos.table import table
from tests.chaos.trial import attempt, forget, new_folder


def main(arguments: list[str] | None = None) -> int:
    """0 when all promises were kept."""
    chosen = _arguments(arguments)
    plan = Plan(
        commands=chosen.commands,
        timers=chosen.timers,
        kills=chosen.kills,
        stops=chosen.stops,
        seconds=chosen.seconds,
        seed=chosen.seed,
        clients=chosen.clients,
        talkers=chosen.talkers,
        pause=chosen.pause,
    )
    folder, began = new_folder(), time.monotonic()

    def say(words: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {words}", file=sys.stderr, flush=True)

    report = asyncio.run(attempt(plan, folder, say=say))
    print(table(report))
    short = [
        f"{what}: {there} of {wanted}"
        for what, there, wanted in (
            ("acknowledged", report.acknowledged, plan.commands),
            ("timers due", len(report.fates), plan.timers),
            ("kills", sum(count for (_, blow), count in report.blows.items() if blow == "kill"), plan.kills),
        )
        if there < wanted
    ]
    if short:
        print("Less than was asked for: " + ", ".join(short))
    if report.findings or short:
        print(f"Journal, logs and tables: {folder} (seed {plan.seed})")
        return 1
    if not chosen.keep:
        forget(folder)
    return 0


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--commands", type=int, default=10_000, help="acknowledged commands to reach")
    parser.add_argument("--timers", type=int, default=1_000, help="timers of tickets that nobody touches")
    parser.add_argument("--kills", type=int, default=40, help="kill -9, in turn through all parts")
    parser.add_argument("--stops", type=int, default=8, help="SIGSTOP for longer than clients wait, in turn")
    parser.add_argument("--seconds", type=float, default=1_500, help="spread the disturbances over this time at most")
    parser.add_argument("--clients", type=int, default=6, help="on tickets, of each of two organizations")
    parser.add_argument("--talkers", type=int, default=4, help="in conversations, of each of two organizations")
    parser.add_argument("--pause", type=float, default=0.05, help="seconds each rests after a command at most")
    parser.add_argument("--seed", type=int, default=1, help="decides what is sent, killed and stopped, in which order")
    parser.add_argument("--keep", action="store_true", help="keep journal and logs although nothing is amiss")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
