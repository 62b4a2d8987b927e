"""What is said to the customer's side: which way it goes, when it is tried again, and what becomes of it."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from domain.ticket import ChannelKind

TRIED_FOR = timedelta(days=1)
"""What nobody has taken by then has failed; somebody is to look at it."""

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=30)

LONGEST_ASKED_FOR = timedelta(hours=6)
"""How long a receiver may ask to be left alone (``Retry-After``)."""


class DeliveryKind(StrEnum):
    """What is delivered."""

    MESSAGE = "message"
    HANDED_OVER = "handed_over"  # to the platform: a person has the conversation, and the bot keeps still
    HANDED_BACK = "handed_back"  # to the platform: the conversation is the bot's again


class DeliveryState(StrEnum):
    """How far a delivery has come. All but ``pending`` are final, until somebody asks for it again."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"  # refused for good, or not taken for a day
    SUPPRESSED = "suppressed"  # not to be sent: nobody to send it to, or a machine would be answered
    UNCERTAIN = "uncertain"  # it may have arrived, and the medium has no key by which to find out or to repeat it


class AttemptOutcome(StrEnum):
    """What came of one attempt; one that has none began and never said."""

    SENT = "sent"
    TRY_AGAIN = "try_again"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    UNCERTAIN = "uncertain"


class ConnectorName(StrEnum):
    """The ways to a customer's side."""

    WEBHOOK = "webhook"
    EMAIL = "email"
    WEBCHAT = "webchat"


FETCHED = frozenset({ConnectorName.WEBCHAT})
"""Connectors to which nothing is sent: what is pending waits for its reader to fetch it."""

TOLD_OF_HANDING_OVER = frozenset({ConnectorName.WEBHOOK})
"""Connectors behind which there may be a bot that has to know whose turn it is."""


def connector_of(kind: str, settings: Mapping[str, Any]) -> ConnectorName | None:
    """The way in which a channel of this kind is answered; ``None`` where it has none.

    Settings that name one (``connector``) decide. Else an email channel with an address answers by email, any channel
    with a ``reply_url`` by webhook, and a web chat without one is Baton's own.
    """
    if named := settings.get("connector"):
        return ConnectorName(named)
    if kind == ChannelKind.EMAIL:
        return ConnectorName.EMAIL if settings.get("from_address") else None
    if settings.get("reply_url"):
        return ConnectorName.WEBHOOK
    return ConnectorName.WEBCHAT if kind == ChannelKind.WEBCHAT else None


def wait_after(attempts: int, asked_for: timedelta | None = None) -> timedelta:
    """How long to wait after so many attempts (1 for the first), or as long as the receiver asked for."""
    if asked_for is not None:
        return min(max(asked_for, FIRST_WAIT), LONGEST_ASKED_FOR)
    return min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
