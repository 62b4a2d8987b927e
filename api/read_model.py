"""Waits until the read model shows what was just written, woken by Postgres and never polling while it listens."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection, sql

from db.channels import TICKETS, read_ticket_payload
from settings import Settings

log = structlog.get_logger(__name__)
T = TypeVar("T")

_RECONNECT_SECONDS = 0.5
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
    """One ``LISTEN`` connection a process; reconnects by itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watches: dict[UUID, set[Watch]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self.listening = False

    def start(self) -> None:
        """Begin to listen; whoever starts it stops it."""
        self._task = asyncio.create_task(self._listen_forever(), name="read-model-listener")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

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

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("read_model_listener_lost", error=type(error).__name__)
            finally:
                self.listening = False
            self._wake_all()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await AsyncConnection.connect(
            self._settings.psycopg_url,
            autocommit=True,
            connect_timeout=max(2, round(self._settings.database_timeout.total_seconds())),
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(TICKETS)))
            self.listening = True
            self._wake_all()  # what was announced while nobody listened is looked for once
            async for notification in connection.notifies():
                ticket_id, version = read_ticket_payload(notification.payload)
                for watch in self._watches.get(ticket_id, ()):
                    watch.announce(version)

    def _wake_all(self) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.announce(2**31)
