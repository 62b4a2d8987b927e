"""Wakes the streams of a web chat when something is said in its conversation, and finds what that was."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from anyio import CancelScope

from api.listener import Listener
from api.problems import Problem
from db.channels import WEBCHAT
from db.engine import Sessions
from db.models import Message
from db.walls import within
from db.webchat import OVERLAP, Place, place_of, said_after

MOST_STREAMS = 10
"""Open streams of one conversation in this process: a visitor has a few tabs."""

_A_TIME = 100
"""Messages that are read at once."""


def undisturbed() -> CancelScope:
    """A block that ends even if the visitor leaves meanwhile: a query that is broken off costs its connection."""
    return CancelScope(shield=True)


class WebchatFeed:
    """Hears of each message of a web chat's conversation, whoever wrote it into the database."""

    def __init__(self, listener: Listener) -> None:
        self._waiting: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self.stopped = False
        listener.on(WEBCHAT, self._heard)
        listener.on_change(self._wake_all)  # what was said while nobody listened is looked for once

    def stop(self) -> None:
        """End every stream."""
        self.stopped = True
        self._wake_all()

    def admit(self, conversation_id: UUID) -> None:
        """Refuse one stream too many: ``limit_reached``."""
        if len(self._waiting.get(conversation_id, ())) >= MOST_STREAMS:
            raise Problem("limit_reached", f"A conversation has at most {MOST_STREAMS} open streams; close one.")

    @contextmanager
    def follow(self, conversation_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be something new, from here on."""
        news = asyncio.Event()
        self._waiting[conversation_id].add(news)
        try:
            yield news
        finally:
            self._waiting[conversation_id].discard(news)
            if not self._waiting[conversation_id]:
                del self._waiting[conversation_id]

    def _heard(self, payload: str) -> None:
        for news in self._waiting.get(UUID(payload), ()):
            news.set()

    def _wake_all(self) -> None:
        for waiting in self._waiting.values():
            for news in waiting:
                news.set()


@dataclass
class Follower:
    """Where one stream is in its conversation.

    Messages are read in the order of their times, and one may be stored a moment after a later one; so a stream looks
    back (``db.webchat.OVERLAP``) and remembers what it has given of that.
    """

    reads: Sessions
    organization_id: UUID
    conversation_id: UUID
    _given: dict[UUID, Place] = field(default_factory=dict)
    _from: Place | None = None

    async def begin(self, after: UUID | None) -> bool:
        """Begin after a message, giving what may be missing before it again; else with what comes from now on.

        False where there is no such message.
        """
        with within(self.organization_id):
            async with self.reads() as session:
                if after is None:
                    there = await said_after(session, self.conversation_id, None, _A_TIME)
                    self._given = {each.id: (each.created_at, each.id) for each in there}
                else:
                    place = await place_of(session, self.conversation_id, after)
                    if place is None:
                        return False
                    self._given = {after: place}
        self._look_back()
        return True

    async def news(self) -> AsyncIterator[Message]:
        """Messages that have not been given yet, each once."""
        place = self._from
        while True:
            with within(self.organization_id), undisturbed():
                async with self.reads() as session:
                    found = await said_after(session, self.conversation_id, place, _A_TIME)
            for each in found:
                if each.id not in self._given:
                    self._given[each.id] = (each.created_at, each.id)
                    yield each
            if len(found) < _A_TIME:
                break
            place = (found[-1].created_at, found[-1].id)
        self._look_back()

    def _look_back(self) -> None:
        if self._given:
            at, of = max(self._given.values())
            self._from = (at - OVERLAP, of)
            self._given = {id_: place for id_, place in self._given.items() if place >= self._from}
