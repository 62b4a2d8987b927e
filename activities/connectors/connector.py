"""What a connector is: it takes one delivery to the customer's side, and says what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from domain.delivery import DeliveryKind


@dataclass(frozen=True)
class OutgoingMessage:
    """What is said; ``author_kind`` is ``agent`` or ``system`` (a reminder, a confirmation)."""

    id: UUID
    external_id: str
    author_kind: str
    author_name: str | None
    body: str
    sent_at: datetime


@dataclass(frozen=True)
class EarlierMessage:
    """A message that came before in the conversation.

    ``delivery_key`` is that of the delivery which brought it to the customer, ``None`` for what was not delivered by
    Baton; ``provider_id`` what the provider called it.
    """

    external_id: str
    author_kind: str
    automatic: bool
    delivery_key: str | None
    provider_id: str | None


@dataclass(frozen=True)
class TicketInBrief:
    """The conversation's ticket."""

    id: UUID
    number: int
    title: str


@dataclass(frozen=True)
class ChannelToUse:
    """Where it goes: the channel's settings as they are now, and its secrets by purpose, the newest first."""

    id: UUID
    kind: str
    name: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Customer:
    """To whom it goes; each is ``None`` where it is not known."""

    external_id: str | None
    name: str | None
    email: str | None


@dataclass(frozen=True)
class Outgoing:
    """One delivery with all that a connector may know of it.

    ``key`` is the same in every attempt, and no other delivery of the organization has it. ``message`` is ``None`` for
    notices, whose content is ``about``. ``earlier`` are the latest messages before this one, the oldest first.
    """

    id: UUID
    organization_id: UUID
    key: str
    kind: DeliveryKind
    created_at: datetime
    channel: ChannelToUse
    conversation_id: UUID
    conversation_external_id: str | None
    customer: Customer
    message: OutgoingMessage | None
    about: Mapping[str, Any]
    ticket: TicketInBrief | None = None
    earlier: tuple[EarlierMessage, ...] = ()


@dataclass(frozen=True)
class Sent:
    """It was taken; ``provider_id`` is what the other side calls it, if it said."""

    provider_id: str | None = None


class NotDelivered(Exception):
    """It was not taken, or may not have been.

    NotDelivered
    ├── TryAgain       this time; ``after`` is how long the other side wants to be left alone, if it said
    ├── Refused        for good
    ├── Suppressed     it is not to be sent
    └── Unknown        it may have arrived, and sending it again might say it twice

    The words are shown to members and kept with the delivery: they hold no secret and no content.
    """


class TryAgain(NotDelivered):
    """Not this time. Also where it may have arrived and the other side knows a repetition by its key."""

    def __init__(self, why: str, *, after: timedelta | None = None) -> None:
        super().__init__(why)
        self.after = after


class Refused(NotDelivered):
    """The other side does not want it, and will not: it has failed."""


class Suppressed(NotDelivered):
    """Nobody is to be sent this, or there is nobody to send it to."""


class Unknown(NotDelivered):
    """Whether it arrived is not known, and the medium has no key by which a repetition would be known."""


class Connector(Protocol):
    """Takes deliveries to one kind of other side.

    ``safe_to_repeat`` says whether the other side is told a key by which it knows a delivery that it has been sent
    before. Where it is false, a delivery whose attempt ended without a word (a killed process) is not repeated: it
    becomes ``uncertain``.
    """

    @property
    def safe_to_repeat(self) -> bool: ...

    async def send(self, outgoing: Outgoing) -> Sent:
        """Return when it was taken, raise a ``NotDelivered`` where not. At most a minute, time-outs its own."""
        ...
