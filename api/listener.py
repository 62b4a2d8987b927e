"""One ``LISTEN`` connection a process, which reconnects by itself."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import psycopg
import structlog
from psycopg import AsyncConnection, sql

from settings import Settings

log = structlog.get_logger(__name__)

_RECONNECT_SECONDS = 0.5

Heard = Callable[[str], None]
"""Takes what was said on a channel."""


class Listener:
    """Hands on what is said on channels of Postgres, to whoever has asked for it before it is started.

    ``woken`` are called when it begins to listen and when it no longer can: what was said meanwhile is lost, and each
    looks for itself.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._heard: dict[str, list[Heard]] = {}
        self._woken: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self.listening = False

    def on(self, channel: str, heard: Heard) -> None:
        """Have ``heard`` called with all that is said on a channel."""
        self._heard.setdefault(channel, []).append(heard)

    def on_change(self, woken: Callable[[], None]) -> None:
        """Have ``woken`` called whenever listening begins or ends."""
        self._woken.append(woken)

    def start(self) -> None:
        """Begin to listen; whoever starts it stops it."""
        self._task = asyncio.create_task(self._listen_forever(), name="listener")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("listener_lost", error=type(error).__name__)
            finally:
                self.listening = False
            self._wake()
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
            for channel in self._heard:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            self.listening = True
            self._wake()
            async for said in connection.notifies():
                for heard in self._heard.get(said.channel, ()):
                    heard(said.payload)

    def _wake(self) -> None:
        for woken in self._woken:
            woken()
