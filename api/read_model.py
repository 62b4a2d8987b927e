"""Waits until the read model shows what was just written, woken by Postgres and never polling while it listens."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar
from uuid import UUID

import psycopg

from api.listener import Listener
from db.channels import TICKETS, read_ticket_payload

T = TypeVar("T")

_FALLBACK_POLL_SECONDS = 0.25
"""How often a waiter looks for itself while the connection that would wake it is away."""


class Watch:
    """Knows the highest version of one ticket that was announced since the watch began."""

    def __init__(self, read_model: "ReadModel") -> None:
        self._read_model = read_model
        self._announced = asyncio.Event()
        self.version = 0

    def announce(self, version: int) -> None:
        self.version = max(self.version, version)
        self._announced.set()

    async def until(self, check: Callable[[], Awaitable[T | None]], timeout: float, at_least: int = 1) -> T | None:
        """What ``check`` finds once version ``at_least`` is there; ``None`` when ``timeout`` seconds pass first."""
        with suppress(TimeoutError, psycopg.Error):
            async with asyncio.timeout(timeout):
                while True:
                    listening = self._read_model.listening
                    if self.version >= at_least or not listening:
                        found = await check()
                        if found is not None:
                            return found
                    with suppress(TimeoutError):
                        async with asyncio.timeout(None if listening else _FALLBACK_POLL_SECONDS):
                            await self._announced.wait()
                    self._announced.clear()
        return None


class ReadModel:
    """Hears of every ticket's versions, and wakes those who wait for one."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._watches: dict[UUID, set[Watch]] = defaultdict(set)
        listener.on(TICKETS, self._heard)
        listener.on_change(self._wake_all)  # what was announced while nobody listened is looked for once

    @property
    def listening(self) -> bool:
        return self._listener.listening

    @contextmanager
    def watch(self, ticket_id: UUID) -> Iterator[Watch]:
        """Remember announcements of the ticket from here on; begin before the write whose effect is awaited."""
        watch = Watch(self)
        self._watches[ticket_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[ticket_id].discard(watch)
            if not self._watches[ticket_id]:
                del self._watches[ticket_id]

    def _heard(self, payload: str) -> None:
        ticket_id, version = read_ticket_payload(payload)
        for watch in self._watches.get(ticket_id, ()):
            watch.announce(version)

    def _wake_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.announce(2**31)
