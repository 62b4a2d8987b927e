"""How a client of the chaos run works: one command after the other, on a few lives that the clients share."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from tests.chaos.client import Caller
from tests.chaos.journal import Answered, Json, Sent

_GIVES_UP = 0.03
"""Share of commands whose client does not ask again after an attempt or two."""
_REPEATS = 0.05
"""Share of steps in which the last command is sent again."""


class Life(Protocol):
    """A ticket or a conversation; ``left`` are the commands it still gets, before it is left to its timers."""

    left: int


L = TypeVar("L", bound=Life)


@dataclass
class Desk(Generic[L]):
    """What the clients of one organization share; ``a_client`` are the lives open to the choice of each."""

    caller: Caller
    clients: int
    a_client: int
    lives: dict[str, L] = field(default_factory=dict)
    beginning: int = 0

    @property
    def wants_more(self) -> bool:
        return len(self.lives) + self.beginning < self.a_client * self.clients


class Worker(ABC, Generic[L]):
    """Sends one command after the other; ``rng`` alone decides which, given the same answers."""

    def __init__(self, desk: Desk[L], rng: random.Random) -> None:
        self._desk = desk
        self._rng = rng
        self._organization = desk.caller.organization
        self._last: Sent | None = None

    async def work(self, enough: Callable[[], bool], pause: float) -> None:
        """Until there has been enough, with a rest of ``pause`` seconds at most after each command."""
        while not enough():
            await self._step()
            await asyncio.sleep(self._rng.uniform(0, pause))

    @abstractmethod
    async def _begin(self) -> None:
        """Have one more life begin."""

    @abstractmethod
    async def _go_on(self, life: L) -> None:
        """Have something happen in a life."""

    async def _step(self) -> None:
        desk = self._desk
        if desk.wants_more:
            desk.beginning += 1
            try:
                await self._begin()
            finally:
                desk.beginning -= 1
            return
        if not desk.lives:  # all are being begun by others
            await asyncio.sleep(0.05)
            return
        if self._last and self._rng.random() < _REPEATS:
            await desk.caller.repeat(self._last, self._rng)
            return
        name, life = self._rng.choice(list(desk.lives.items()))
        life.left -= 1
        if life.left <= 0:
            desk.lives.pop(name, None)
        await self._go_on(life)

    async def _perform(self, sent: Sent) -> tuple[Answered, Json | None]:
        """Ask until there is an answer, or give up early now and then."""
        attempts = self._rng.randint(1, 2) if self._rng.random() < _GIVES_UP else None
        return await self._desk.caller.perform(sent, self._rng, attempts=attempts)
