"""Kills and stops the system's parts in turn, on a schedule that a seed decides."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.chaos.client import LONGEST_WAIT_SECONDS
from tests.chaos.journal import Ended, Journal, Outage, now
from tests.chaos.system import COMMAND_TIMEOUT, PARTS, Process, System

STOP_SECONDS = {
    # Longer than a workflow task may take (10 s): others have done its work when it wakes up and goes on with it.
    "worker": 11.5,
    "api": LONGEST_WAIT_SECONDS + 1.5,
    # Longer than an attempt of an activity (5 s): the first write may come after the second has begun.
    "postgres": 6.5,
    "temporal": max(LONGEST_WAIT_SECONDS, COMMAND_TIMEOUT.total_seconds()) + 1.5,
}
_LONGEST_DEATH_SECONDS = 3.0


@dataclass(frozen=True)
class Blow:
    """What is done at once, and for how long. ``all_of_it`` strikes every process of a part that has several."""

    kind: Literal["kill", "stop"]
    parts: tuple[str, ...]
    seconds: float
    all_of_it: bool


def schedule(rng: random.Random, kills: int, stops: int) -> list[Blow]:
    """So many kills and stops, in turn through all parts; of five kills, two come together."""
    killed, stopped = _in_turn(rng, kills), _in_turn(rng, stops)
    blows = [Blow("stop", (part,), STOP_SECONDS[part], rng.random() < 0.5) for part in stopped]
    while killed:
        together = 2 if len(killed) > 1 and killed[0] != killed[1] and rng.random() < 0.25 else 1
        parts, killed = tuple(killed[:together]), killed[together:]
        blows.append(Blow("kill", parts, rng.uniform(0.1, _LONGEST_DEATH_SECONDS), rng.random() < 0.6))
    rng.shuffle(blows)
    return blows


class Adversary:
    """Strikes ``system`` and brings it up again; the journal has every outage."""

    def __init__(self, system: System, journal: Journal, rng: random.Random) -> None:
        self._system = system
        self._journal = journal
        self._rng = rng
        self._busy = asyncio.Lock()

    async def rage(self, blows: Sequence[Blow], moment: Callable[[int], Awaitable[None]]) -> None:
        """Deal each blow after ``moment(number)``; returns when the last one is over and all parts can work."""
        for number, blow in enumerate(blows):
            await moment(number)
            async with self._busy:
                await self._strike(blow)
        await self._system.ready()

    async def watch(self) -> None:
        """Start again what ended by itself, as a supervisor does; until cancelled."""
        while True:
            async with self._busy:  # what was struck has not ended by itself
                for part, process in list(self._system.ended_by_themselves()):
                    self._journal.write(Ended(part=part, code=process.poll() or 0))
                    await self._system.revive(process)
            await asyncio.sleep(0.2)

    async def _strike(self, blow: Blow) -> None:
        victims = {part: self._victims(part, all_of_it=blow.all_of_it) for part in blow.parts}
        everyone = [process for processes in victims.values() for process in processes]
        began = now()
        if blow.kind == "kill":
            await self._system.kill(everyone)
            await asyncio.sleep(blow.seconds)
            await asyncio.gather(*(self._system.revive(process) for process in everyone))
        else:
            self._system.freeze(everyone)
            await asyncio.sleep(blow.seconds)
            self._system.thaw(everyone)
        for part, processes in victims.items():
            self._journal.write(Outage(part=part, blow=blow.kind, processes=len(processes), began=began, ended=now()))

    def _victims(self, part: str, *, all_of_it: bool) -> list[Process]:
        processes = self._system.processes[part]
        return processes if all_of_it else [self._rng.choice(processes)]


def _in_turn(rng: random.Random, count: int) -> list[str]:
    rounds = -(-count // len(PARTS))
    return [part for _ in range(rounds) for part in rng.sample(PARTS, len(PARTS))][:count]
