"""Mails, written with the change that causes them and sent after it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Mail
from domain.commands import AgentReplied, CustomerReplied
from domain.escalation_commands import PresenceChanged, Raise, Spoken
from domain.ids import mail_id
from domain.mail import MailState
from domain.ticket import Ticket

_KEPT = "mail_to_come"


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
class MailToCome:
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


Bell = Callable[[MailToCome], Awaitable[None]]
"""Wakes what sends, and tells escalations. Never fails: what it does not reach is found by the next sweep."""


async def no_bell(_: MailToCome) -> None:
    """Nobody is woken: for whoever leaves it to the sweep."""


async def send_mail(
    session: AsyncSession,
    *,
    key: str,
    to: str,
    subject: str,
    text: str,
    html: str | None = None,
    organization_id: UUID | None = None,
    headers: Mapping[str, str] | None = None,
) -> UUID:
    """Have a mail sent, once for ``key``, as soon as the caller's transaction is committed; returns its id.

    Safe to repeat: a key that is known changes nothing. Line ends in the subject and the address become spaces.
    Text and HTML have ``domain.mail.TOKEN_GOES_HERE`` for a token, which is never kept (``domain.mail.mail_token``).
    """
    new_id = mail_id(key)
    await session.execute(
        insert(Mail)
        .values(
            id=new_id,
            key=key,
            organization_id=organization_id,
            to_address=" ".join(to.split()),
            subject=" ".join(subject.split()),
            text=text,
            html=html,
            headers=dict(headers or {}),
            created_at=datetime.now(UTC),
            state=MailState.QUEUED,
        )
        .on_conflict_do_nothing(index_elements=["key"])
    )
    mail_to_come(session).mail_ids.add(new_id)
    return new_id


def mail_to_come(session: AsyncSession) -> MailToCome:
    """What the session's transactions leave to be mailed so far."""
    found: MailToCome = session.info.setdefault(_KEPT, MailToCome())
    return found


async def ring_for(session: AsyncSession, bell: Bell) -> None:
    """Ring once for all that the session's committed transactions left; what was rolled back is not found then."""
    if waiting := session.info.pop(_KEPT, None):
        await bell(waiting)
