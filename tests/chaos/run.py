"""One run: clients and timers on a system that is being killed and stopped, until there has been enough of each."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.chaos.adversary import Adversary, Blow, schedule
from tests.chaos.client import Caller, open_http
from tests.chaos.journal import Journal
from tests.chaos.lives import Client, Desk
from tests.chaos.system import System
from tests.chaos.tenants import BUSY, FORGETFUL, SHORT, Founder
from tests.chaos.untouched import Maker, tickets_for

MAKERS = 2
_QUIET_WITHIN_SECONDS = 120
"""The longest chain of timers takes half a minute; after this what has not fired is taken for dropped."""


@dataclass(frozen=True)
class Plan:
    """How much of what. Blows are spread over ``seconds``, or over the commands where those are faster."""

    commands: int
    timers: int
    kills: int
    stops: int
    seconds: float
    seed: int
    clients: int = 6
    """For each of the two organizations whose tickets are worked on."""

    def blows(self) -> list[Blow]:
        return schedule(random.Random(f"{self.seed}:blows"), self.kills, self.stops)


class Progress:
    """How far a run has come, as a share of its commands or of its time, whichever is further."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self._plan = plan
        self._journal = journal
        self._began = time.monotonic()
        self.over = False

    @property
    def share(self) -> float:
        elapsed = (time.monotonic() - self._began) / self._plan.seconds
        return max(elapsed, self._journal.acknowledged / self._plan.commands)

    @property
    def enough(self) -> bool:
        """Whether the clients may stop: everything was acknowledged, and nothing will be disturbed any more."""
        return self.over and self._journal.acknowledged >= self._plan.commands

    async def reaches(self, share: float) -> None:
        """Wait until the run has come so far, or nothing will be disturbed any more."""
        while self.share < share and not self.over:  # noqa: ASYNC110 - time is one of the two things that move it
            await asyncio.sleep(0.05)


async def run(plan: Plan, system: System, journal: Journal, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Returns when all is up and quiet again; what happened is in the journal and in the system."""
    operator = system.settings.operator_key
    assert operator is not None
    async with open_http(system.url) as http:
        founder = Founder(http, operator.get_secret_value(), journal)
        busy = [await founder.found(name, rules) for name, rules in (("Busy", BUSY), ("Forgetful", FORGETFUL))]
        left_alone = [await founder.found(f"Left alone {number}", SHORT) for number in range(1, MAKERS + 1)]
        progress = Progress(plan, journal)
        adversary = Adversary(system, journal, random.Random(f"{plan.seed}:adversary"))

        def rng(name: str) -> random.Random:
            return random.Random(f"{plan.seed}:{name}")

        async def disturb() -> None:
            blows = plan.blows()

            async def moment(number: int) -> None:
                await progress.reaches((number + 1) / (len(blows) + 2))
                blow = blows[number]
                say(
                    f"{number + 1} of {len(blows)}: {blow.kind} {' and '.join(blow.parts)} "
                    f"({journal.acknowledged} acknowledged)"
                )

            await adversary.rage(blows, moment)
            progress.over = True

        work: list[Coroutine[Any, Any, None]] = [disturb()]
        for organization in busy:
            desk = Desk(Caller(http, journal, organization), plan.clients)
            names = [f"{organization.name} {number}" for number in range(1, plan.clients + 1)]
            work += [Client(name, desk, rng(name)).work(lambda: progress.enough) for name in names]
        for organization in left_alone:
            maker = Maker(organization.name, Caller(http, journal, organization), rng(organization.name))
            tickets = tickets_for(plan.timers // MAKERS)
            work.append(maker.make(tickets, progress.reaches))
        watching = asyncio.create_task(adversary.watch())
        try:
            async with asyncio.TaskGroup() as group:
                for each in work:
                    group.create_task(each)
            say(f"All is up again; {journal.acknowledged} acknowledged. Waiting for the last timers.")
            await quiet(system)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)


async def quiet(system: System) -> None:
    """Wait until no ticket waits for anything and nothing is written any more, or for as long as that may take."""
    deadline = time.monotonic() + _QUIET_WITHIN_SECONDS
    seen = None
    connection = await psycopg.AsyncConnection.connect(system.settings.psycopg_url, autocommit=True)
    async with connection:
        while time.monotonic() < deadline:
            rows = await connection.execute("SELECT count(next_timer_at), sum(version) FROM tickets")
            found = await rows.fetchone()
            if found and found[0] == 0 and found == seen:
                return
            seen = found
            await asyncio.sleep(2)


def journal_file(folder: Path) -> Path:
    return folder / "journal.jsonl"
