"""Hands live events to every open stream of this process, in the order in which all processes see them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.listener import Listener
from db.callers import Credentials, still_hold
from db.channels import ACCESS, LIVE, TICKETS
from db.engine import Sessions
from db.live_events import Happening, Position, is_forgotten, read_after
from db.walls import every_organization

log = structlog.get_logger(__name__)

LONGEST_QUEUE = 1000
"""Events a client may be behind; one that is slower, or was away longer, reads its lists again."""

LONGEST_STREAM = 300.0
"""Seconds until a client has to come again, with its credentials; so that one that expired sees no more after that."""

_PAGE = 500
_SOONEST, _LATEST = 0.02, 1.0
"""Seconds until what others may yet come before is looked for again; each time twice as long."""

_AGAIN = 1.0
"""Seconds until Postgres, which did not answer, is asked again whose streams may go on."""


@dataclass(frozen=True)
class Resync:
    """A client has missed something: what it shows may be old, and what follows begins after ``position``."""

    position: Position


@dataclass(eq=False)
class Stream:
    """What one client has still to be sent. It gets the notifications of its credentials' member, if anybody's."""

    organization_id: UUID
    credentials: Credentials
    position: Position
    """Of the last event it was given; those up to there are not given again."""
    waiting: deque[Happening] = field(default_factory=deque)
    lost: bool = False
    closed: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def sees(self, happening: Happening) -> bool:
        mine = (None, self.credentials.member_id)
        return happening.organization_id == self.organization_id and happening.member_id in mine

    def offer(self, happening: Happening) -> None:
        if len(self.waiting) >= LONGEST_QUEUE:
            self.waiting.clear()
            self.lost = True
        self.waiting.append(happening)
        self._news.set()

    def close(self) -> None:
        self.closed = True
        self._news.set()

    async def events(self) -> AsyncIterator[Happening | Resync]:
        """What comes, until the stream is closed."""
        while not self.closed:
            if self.lost:
                # What waits now may follow what was dropped: the client reads all of it anew.
                self.lost = False
                self.position = self.waiting[-1].position if self.waiting else self.position
                self.waiting.clear()
                yield Resync(self.position)
            while self.waiting and not (self.lost or self.closed):
                happening = self.waiting.popleft()
                if happening.position > self.position:
                    self.position = happening.position
                    yield happening
            if not (self.waiting or self.lost or self.closed):
                self._news.clear()
                await self._news.wait()


class LiveFeed:
    """Reads live events once for all streams of the process, when Postgres says that there are some.

    In the same way it ends the streams of those whose session, key or membership has ended.
    """

    def __init__(self, listener: Listener, reads: Sessions) -> None:
        self._reads = reads
        self._streams: set[Stream] = set()
        self._position = Position(0, 0)
        self._turn = asyncio.Lock()
        self._news, self._doubts = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        for channel in (LIVE, TICKETS):
            listener.on(channel, lambda _: self._news.set())
        listener.on(ACCESS, lambda _: self._doubts.set())
        for event in (self._news, self._doubts):
            listener.on_change(event.set)

    def start(self) -> None:
        """Begin to read; whoever starts it stops it."""
        with every_organization():  # one reading serves the streams of all; each is offered its own
            for work, name in ((self._read_forever(), "live-feed"), (self._check_forever(), "live-feed-access")):
                self._tasks.append(asyncio.create_task(work, name=name))

    async def stop(self) -> None:
        """End every stream, and stop reading."""
        for stream in self._streams:
            stream.close()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def stream(
        self, organization_id: UUID, credentials: Credentials, after: Position | None
    ) -> AsyncIterator[Stream]:
        """Follow what happens ``after`` a position, else from now on, until the stream is closed.

        It is closed as soon as the credentials hold no longer.
        """
        async with self._turn:  # so that no reading which does not know of it passes its events by
            if not self._streams:
                self._position = await self._horizon()
            stream = Stream(organization_id, credentials, self._position)
            self._streams.add(stream)
        self._doubts.set()  # they may have ended since they were shown, when this stream was not known yet
        end = asyncio.get_running_loop().call_later(LONGEST_STREAM, stream.close)
        try:
            if after is not None:
                await self._catch_up(stream, after)
            yield stream
        finally:
            end.cancel()
            stream.close()
            self._streams.discard(stream)

    async def _horizon(self) -> Position:
        async with self._reads() as session:
            return (await read_after(session, Position(2**63 - 1, 0), [], 1)).horizon

    async def _catch_up(self, stream: Stream, after: Position) -> None:
        """Put what was missed before what has come meanwhile."""
        async with self._reads() as session:
            missed = await read_after(session, after, [stream.organization_id], LONGEST_QUEUE)
            # Asked after the reading: what is there now was there then.
            forgotten = await is_forgotten(session, after, missed.horizon, datetime.now(UTC))
        if forgotten or len(missed.happenings) == LONGEST_QUEUE:
            stream.lost = True
            return
        stream.position = after
        seen = [each for each in missed.happenings if stream.sees(each)]
        last = missed.happenings[-1].position if missed.happenings else after
        stream.waiting = deque([*seen, *(each for each in stream.waiting if each.position > last)])

    async def _check_forever(self) -> None:
        while True:
            await self._doubts.wait()
            self._doubts.clear()
            try:
                await self._check()
            except (DBAPIError, PoolTimeoutError, OSError) as error:
                log.warning("live_feed_access_not_read", error=type(error).__name__)
                self._doubts.set()
                await asyncio.sleep(_AGAIN)

    async def _check(self) -> None:
        """End the streams of those who could not ask for one now, all looked at in one statement."""
        asked = list({stream.credentials for stream in self._streams})
        if not asked:
            return
        async with self._reads() as session:
            holding = await still_hold(session, asked)
        for stream in list(self._streams):
            if stream.credentials in asked and stream.credentials not in holding:
                stream.close()

    async def _read_forever(self) -> None:
        pause = _SOONEST
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                more = await self._read()
            except (DBAPIError, PoolTimeoutError, OSError) as error:
                log.warning("live_feed_not_read", error=type(error).__name__)
                more = True
            if more:
                self._news.set()
                await asyncio.sleep(pause)
            pause = min(pause * 2, _LATEST) if more else _SOONEST

    async def _read(self) -> bool:
        """Give each stream what is new; whether to look again soon."""
        async with self._turn:
            if not self._streams:
                return False
            organizations = {stream.organization_id for stream in self._streams}
            async with self._reads() as session:
                found = await read_after(session, self._position, list(organizations), _PAGE)
            if len(found.happenings) == _PAGE:
                self._position = found.happenings[-1].position
            else:
                self._position = max(self._position, found.horizon)
            by_organization: dict[UUID, list[Stream]] = {}
            for stream in self._streams:
                by_organization.setdefault(stream.organization_id, []).append(stream)
            for happening in found.happenings:
                for stream in by_organization.get(happening.organization_id, ()):
                    if stream.sees(happening):
                        stream.offer(happening)
        return found.more
