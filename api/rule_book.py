"""The rules of organizations as this process knows them, compiled, and read again when they have changed."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncSession

from api.problems import Problem
from db.engine import Sessions
from db.rules import KeptRules, load_rules
from domain.calendar import BusinessCalendar, is_open
from domain.rules.evaluation import RuleSet
from domain.rules.rule import EscalationEvent, RoutingRule, in_force

MOST_BOOKS = 500
"""Organizations whose rules a process keeps; 500 rules take some 3 MB."""


@dataclass(frozen=True)
class RuleBook:
    """An organization's rules at a revision."""

    revision: int
    events: RuleSet[EscalationEvent]
    routing: RuleSet[RoutingRule]
    calendar: BusinessCalendar | None
    channels: dict[UUID, str]

    @classmethod
    def of(cls, kept: KeptRules) -> "RuleBook":
        """The compiled book."""
        return cls(kept.revision, in_force(kept.events), in_force(kept.routing), kept.calendar, kept.channels)

    def kind_of(self, channel_id: UUID) -> str:
        """The kind of one of the organization's channels, or ``invalid_reference``."""
        if channel_id not in self.channels:
            raise Problem("invalid_reference", "channel_id names no channel of this organization.", at="channel_id")
        return self.channels[channel_id]

    def business_hours(self, at: datetime) -> bool | None:
        """Whether the organization works at ``at``; ``None`` without a calendar."""
        return is_open(self.calendar, at) if self.calendar else None


class RuleBooks:
    """Books by organization, those that were used longest ago forgotten."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._books: OrderedDict[UUID, RuleBook] = OrderedDict()
        self._in_turn: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def known(self, organization_id: UUID) -> RuleBook | None:
        """The book as it was last read, which may be older than the rules are."""
        book = self._books.get(organization_id)
        if book is not None:
            self._books.move_to_end(organization_id)
        return book

    async def read(self, organization_id: UUID) -> RuleBook:
        """The book as the rules are now."""
        async with self._sessions() as session:
            # Before its turn: who waits for the turn may hold the last connections there are.
            await session.connection()
            return await self._read(session, organization_id, None)

    async def at(self, session: AsyncSession, organization_id: UUID, revision: int) -> RuleBook:
        """The book at ``revision`` or a later one, read in the caller's transaction if it is not known yet."""
        book = self.known(organization_id)
        if book is not None and book.revision >= revision:
            return book
        return await self._read(session, organization_id, revision)

    async def _read(self, session: AsyncSession, organization_id: UUID, revision: int | None) -> RuleBook:
        """Read and compile the rules, by one request at a time: the others find what it has read."""
        async with self._in_turn.setdefault(organization_id, asyncio.Lock()):
            book = self.known(organization_id)
            if book is not None and revision is not None and book.revision >= revision:
                return book
            book = RuleBook.of(await load_rules(session, organization_id))
            self._books[organization_id] = book
            self._books.move_to_end(organization_id)
            while len(self._books) > MOST_BOOKS:
                self._books.popitem(last=False)
            return book
