"""One run: clients and timers on a system that is being disturbed, until there has been enough of each."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from settings import Settings
from tests.chaos.abandoned import Abandoner
from tests.chaos.adversary import Adversary, schedule
from tests.chaos.client import Caller, open_http
from tests.chaos.journal import Journal
from tests.chaos.lives import TICKETS_A_CLIENT, Client, Seen
from tests.chaos.platform import open_platform
from tests.chaos.quiet import quiet
from tests.chaos.shift import Desk
from tests.chaos.system import System
from tests.chaos.talks import TALKS_A_CLIENT, Talk, Talker
from tests.chaos.tenants import BUSY, FORGETFUL, SHORT, Founder, Rules
from tests.chaos.untouched import Maker, tickets_for

MAKERS = 2
CHATS_LEFT_ALONE = 4
"""One for so many tickets; two at least."""
_REST_SECONDS = 1.0
"""Between two blows at least, so that the system is seen to recover from each."""


@dataclass(frozen=True)
class Plan:
    """How much of what. Blows are spread over ``seconds``, or over the commands where those are faster."""

    commands: int
    timers: int
    seed: int
    kills: int = 0
    stops: int = 0
    seconds: float = 1
    clients: int = 6
    """Of each organization whose tickets are worked on."""
    talkers: int = 4
    """Of the same organizations, for conversations."""
    pause: float = 0.05
    """Seconds that each of them rests after a command at most."""
    worked_on: tuple[Rules, ...] = (BUSY, FORGETFUL)

    def rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed}:{name}")


class Progress:
    """How far a run has come, as a share of its commands or of its time, whichever is further."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self._plan = plan
        self._journal = journal
        self._began = time.monotonic()
        self.over = False
        """Nothing will be disturbed any more."""

    @property
    def share(self) -> float:
        elapsed = (time.monotonic() - self._began) / self._plan.seconds
        return max(elapsed, self._journal.acknowledged / self._plan.commands)

    @property
    def enough(self) -> bool:
        """Whether the clients may stop."""
        return self.over and self._journal.acknowledged >= self._plan.commands

    async def reaches(self, share: float) -> None:
        """Wait until the run has come so far, or nothing will be disturbed any more."""
        while self.share < share and not self.over:  # noqa: ASYNC110 - time is one of the two things that move it
            await asyncio.sleep(0.05)


async def run(plan: Plan, system: System, journal: Journal, *, say: Callable[[str], None] = lambda _: None) -> None:
    """Returns when all is up and quiet again; what happened is in the journal and in the system."""
    adversary = Adversary(system, journal, plan.rng("adversary"))
    blows = schedule(plan.rng("blows"), plan.kills, plan.stops)

    async def disturb(progress: Progress) -> None:
        async def moment(number: int) -> None:
            await asyncio.sleep(_REST_SECONDS)
            await progress.reaches((number + 1) / (len(blows) + 2))
            what = f"{blows[number].kind} {' and '.join(blows[number].parts)}"
            say(f"{number + 1} of {len(blows)}: {what} ({journal.acknowledged} acknowledged)")

        await adversary.rage(blows, moment)
        say(f"Nothing is disturbed any more; {journal.acknowledged} acknowledged.")

    async with open_http(system.url) as http, asyncio.TaskGroup() as group:
        watching = group.create_task(adversary.watch())  # where it fails, clients would ask for ever
        await work(plan, http, system.settings, journal, disturb)
        watching.cancel()


async def work(
    plan: Plan,
    http: httpx.AsyncClient,
    settings: Settings,
    journal: Journal,
    disturb: Callable[[Progress], Awaitable[None]],
) -> None:
    """Everybody's work on the API behind ``http`` while it is disturbed; returns when all is quiet."""
    assert settings.operator_key
    async with open_platform(journal, plan.rng("platform")) as platform:
        founder = Founder(http, settings.operator_key.get_secret_value(), journal, platform)
        await _busy_time(plan, founder, disturb)
        platform.takes_all = True
        await quiet(settings)


async def _busy_time(plan: Plan, founder: Founder, disturb: Callable[[Progress], Awaitable[None]]) -> None:
    http, journal = founder.http, founder.journal
    busy = [await founder.found(f"Busy {number}", rules) for number, rules in enumerate(plan.worked_on, start=1)]
    left_alone = [await founder.found(f"Left alone {number}", SHORT) for number in range(1, MAKERS + 1)]
    progress = Progress(plan, journal)

    async def disturbing() -> None:
        await disturb(progress)
        progress.over = True

    jobs: list[Coroutine[Any, Any, None]] = [disturbing()]
    for organization in busy:
        caller = Caller(http, journal, organization)
        desk = Desk[Seen](caller, plan.clients, TICKETS_A_CLIENT)
        talk_desk = Desk[Talk](caller, plan.talkers, TALKS_A_CLIENT)
        names = [f"{organization.name}, client {number}" for number in range(1, plan.clients + 1)]
        jobs += [Client(name, desk, plan.rng(name)).work(lambda: progress.enough, plan.pause) for name in names]
        names = [f"{organization.name}, talker {number}" for number in range(1, plan.talkers + 1)]
        jobs += [Talker(name, talk_desk, plan.rng(name)).work(lambda: progress.enough, plan.pause) for name in names]
    for organization in left_alone:
        caller, name = Caller(http, journal, organization), organization.name
        tickets = tickets_for(plan.timers // MAKERS)
        jobs.append(Maker(name, caller, plan.rng(name)).make(tickets, progress.reaches))
        abandoner = Abandoner(f"{name}, in chats", caller, plan.rng(f"{name}, in chats"))
        jobs.append(abandoner.make(max(2, tickets // CHATS_LEFT_ALONE), progress.reaches))
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(job)


def journal_file(folder: Path) -> Path:
    return folder / "journal.jsonl"
