"""What a transaction leaves to be told, and the bell that is rung for it after the commit."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from domain.commands import AgentReplied, CustomerReplied
from domain.escalation_commands import PresenceChanged, Raise, Spoken
from domain.ticket import Ticket

_KEPT = "left_to_tell"


@dataclass(frozen=True)
class RaiseToCome:
    """A reason that is written, and whose workflow is to be told of it (``db.escalations``)."""

    organization_id: UUID
    conversation_id: UUID
    raising: Raise


@dataclass(frozen=True)
class OpeningToCome:
    """A ticket that was decided on and does not run: what starts it, and the facts it was to be told, in order."""

    start: dict[str, Any]
    facts: tuple[CustomerReplied | AgentReplied, ...]


@dataclass(frozen=True)
class TellingToCome:
    """A message that its ticket is to be told of; where its run has ended, that of ``reopening`` begins with it."""

    ticket_id: UUID
    fact: CustomerReplied | AgentReplied
    reopening: Ticket | None


@dataclass
class LeftToTell:
    """What a transaction leaves to be told: mails as they are, members who wait for one, conversations, escalations.

    A conversation's deliveries (``db.deliveries``) go out by its channel; those that a person wants tried now, or has
    given up, are of ``changed_ids``. ``raisings`` are by the reason's id; ``spoken`` and ``presences`` by the
    conversation whose escalation is to learn of them; ``openings`` by ticket. ``tellings`` are in the order in which
    it was said.
    """

    mail_ids: set[UUID] = field(default_factory=set)
    member_ids: set[UUID] = field(default_factory=set)
    conversation_ids: set[UUID] = field(default_factory=set)
    changed_ids: set[UUID] = field(default_factory=set)
    raisings: dict[UUID, RaiseToCome] = field(default_factory=dict)
    spoken: dict[UUID, Spoken] = field(default_factory=dict)
    presences: dict[UUID, PresenceChanged] = field(default_factory=dict)
    openings: dict[UUID, OpeningToCome] = field(default_factory=dict)
    tellings: list[TellingToCome] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())


Bell = Callable[[LeftToTell], Awaitable[None]]
"""Wakes what sends, and tells escalations. Never fails: what it does not reach is found by the next sweep."""


async def no_bell(_: LeftToTell) -> None:
    """Nobody is woken: for whoever leaves it to the sweep."""


def left_to_tell(session: AsyncSession) -> LeftToTell:
    """What the session's transactions leave to be told so far."""
    found: LeftToTell = session.info.setdefault(_KEPT, LeftToTell())
    return found


async def ring_for(session: AsyncSession, bell: Bell) -> None:
    """Ring once for all that the session's committed transactions left; what was rolled back is not found then."""
    if waiting := session.info.pop(_KEPT, None):
        await bell(waiting)
