"""Chatwoot's events as its public API documentation has them, and what each one is to a conversation of Baton's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

DELIVERY_ID = "baton_delivery_id"
"""What a message of ours carries in its ``content_attributes``, by which the event that tells of it is an echo."""

LONGEST_BODY = 20_000
"""Characters kept of a message; an email in Chatwoot may have seven times as many."""

_LONGEST_NAME = 100
_LONGEST_LABEL = 50
_MOST_LABELS = 50
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_STATUS_EVENTS = {
    "conversation_status_changed": None,  # to webhooks, with what the status was
    "conversation_opened": "open",  # to agent bots, without
    "conversation_resolved": "resolved",
}
_TYPES = ("incoming", "outgoing", "activity", "template")  # by the numbers that some of Chatwoot's documents have


class Author(StrEnum):
    """Who wrote a message, in Baton's words."""

    CUSTOMER = "customer"
    BOT = "bot"
    AGENT = "agent"


class Part(BaseModel):
    """A part of an event: what is not named here is left unread, for Chatwoot adds fields with most releases."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _mapping(value: Any) -> Any:
    """Chatwoot sends null, and for columns of old installations a text, where there is nothing."""
    return value if isinstance(value, Mapping) else {}


def _type(value: Any) -> Any:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(_TYPES)
    return _TYPES[value] if known else value


def _moment(value: Any) -> Any:
    """Times come as ISO 8601 and, in some documents, as seconds; one that cannot be read is none."""
    found: datetime | None = None
    try:
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str):
            found = datetime.fromisoformat(value.removesuffix(" UTC"))
    except (ValueError, OverflowError, OSError):
        return None
    if found is not None and found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found if found is not None and _EARLIEST <= found <= _LATEST else None


def _labels(value: Any) -> Any:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _word(value: Any) -> Any:
    return value if isinstance(value, str) else None


def _part(value: Any) -> Any:
    return value if isinstance(value, Mapping) else None


def _parts(value: Any) -> Any:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _seconds(value: Any) -> Any:
    return _moment(value) if isinstance(value, (int, float)) else None


Attributes = Annotated[dict[str, Any], BeforeValidator(_mapping)]
Word = Annotated[str | None, BeforeValidator(_word)]
Number = Annotated[int, Field(ge=0, lt=2**63)]


class Account(Part):
    """A tenant of Chatwoot's."""

    id: Number


class Inbox(Part):
    """Where customers write in, in Chatwoot's words."""

    id: Number


class Person(Part):
    """A contact, a user or a bot; ``type`` is ``contact``, ``user``, ``agent_bot`` or ``captain_assistant``."""

    id: Number | None = None
    type: Word = None
    name: Word = None
    email: Word = None
    identifier: Word = None


class Meta(Part):
    """Whose conversation it is."""

    sender: Person | None = None
    hmac_verified: bool | None = None


class Attachment(Part):
    """A file of a message."""

    file_type: Word = None


class Change(Part):
    """What a value was, and is."""

    previous_value: Word = None
    current_value: Word = None


class Changed(Part):
    """A change of a conversation, as far as it is read."""

    status: Annotated[Change | None, BeforeValidator(_part)] = None


class Conversation(Part):
    """A conversation; ``id`` is the number that people see, and that the API goes by."""

    id: Number
    inbox_id: Number | None = None
    status: Word = None
    labels: Annotated[list[str], BeforeValidator(_labels)] = Field(default_factory=list)
    meta: Meta = Field(default_factory=Meta)


class ChatwootEvent(Part):
    """What Chatwoot posts to webhooks and agent bots.

    ``message_created`` and ``message_updated`` are a message with its conversation in ``conversation``; the events of
    conversations are a conversation itself, with ``inbox_id``, ``status`` and what changed. Both have ``id``.
    """

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "event": "message_created",
                    "id": 4711,
                    "content": "Let me talk to a human!",
                    "created_at": "2026-11-20T16:30:00.000Z",
                    "message_type": "incoming",
                    "content_type": "text",
                    "private": False,
                    "content_attributes": {},
                    "sender": {"id": 7, "name": "A customer", "email": "customer@example.com", "type": "contact"},
                    "account": {"id": 1, "name": "Example"},
                    "inbox": {"id": 3, "name": "Website"},
                    "conversation": {"id": 52, "inbox_id": 3, "status": "pending", "labels": []},
                },
                {
                    "event": "conversation_status_changed",
                    "id": 52,
                    "inbox_id": 3,
                    "status": "open",
                    "changed_attributes": [{"status": {"previous_value": "pending", "current_value": "open"}}],
                    "updated_at": 1795192200.5,
                },
                {"event": "webwidget_triggered", "id": 9},
            ]
        },
    )

    event: Annotated[str, Field(max_length=100)]
    id: Number | None = None
    content: Word = None
    created_at: Annotated[datetime | None, BeforeValidator(_moment)] = None
    message_type: Annotated[Word, BeforeValidator(_type)] = None
    private: bool | None = None
    content_attributes: Attributes = Field(default_factory=dict)
    additional_attributes: Attributes = Field(default_factory=dict)
    attachments: Annotated[list[Attachment], BeforeValidator(_parts)] = Field(default_factory=list)
    sender: Person | None = None
    account: Account | None = None
    inbox: Inbox | None = None
    conversation: Conversation | None = None
    inbox_id: Number | None = None
    status: Word = None
    labels: Annotated[list[str], BeforeValidator(_labels)] = Field(default_factory=list)
    meta: Annotated[Meta, BeforeValidator(_mapping)] = Field(default_factory=Meta)
    changed_attributes: Annotated[list[Changed], BeforeValidator(_parts)] = Field(default_factory=list)
    updated_at: Annotated[datetime | None, BeforeValidator(_seconds)] = None


@dataclass(frozen=True)
class Contact:
    """The customer. ``external_id`` is one that nobody but them can have."""

    external_id: str
    name: str | None
    email: str | None


@dataclass(frozen=True)
class ChatMessage:
    """A message to take in; ``agent_email`` is that of the person who wrote it in Chatwoot."""

    conversation: str
    external_id: str
    author: Author
    author_name: str | None
    body: str
    sent_at: datetime | None
    automatic: bool
    contact: Contact | None
    labels: tuple[str, ...]
    agent_email: str | None


@dataclass(frozen=True)
class Received:
    """A message; ``delivery_id`` says that it is one which Baton itself delivered, so that nothing is new.

    ``provider_id`` is Chatwoot's id of it.
    """

    provider_id: str
    delivery_id: UUID | None
    message: ChatMessage


class Turn(StrEnum):
    """What a change of a conversation's status says of whose turn it is."""

    HANDED_OVER = "handed_over"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class TurnTaken:
    """The status was changed at ``at``, where the event says when.

    Not ``certain`` is a hand-over where the event does not say what the status was before: a person may have opened
    again what was resolved. ``contact`` and ``labels`` are the conversation's, of which nothing may be known yet.
    """

    conversation: str
    turn: Turn
    at: datetime | None
    certain: bool
    contact: Contact | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """Nothing is done about the event; why."""

    why: str


def conversation_external_id(channel_id: UUID, number: int) -> str:
    """What a conversation of Chatwoot's is known by: numbers begin anew in each account, and channels are ours."""
    return f"chatwoot:{channel_id}:{number}"


def number_of(external_id: str | None, channel_id: UUID) -> int | None:
    """Chatwoot's number of the conversation; ``None`` for one that did not come by this channel, or was erased."""
    of_channel, _, number = (external_id or "").rpartition(":")
    return int(number) if of_channel == f"chatwoot:{channel_id}" and number.isdecimal() else None


def read_event(
    event: ChatwootEvent, channel_id: UUID, account_id: int, inbox_id: int | None
) -> Received | TurnTaken | Left:
    """What to do about an event that came by a channel which is this inbox (``None``: any) of this account."""
    if event.event in _STATUS_EVENTS:
        return _turn(event, channel_id, account_id, inbox_id)
    if why := _why_not(event, account_id, inbox_id):
        return Left(why)
    author, body = _author(event), _body(event)
    assert author is not None
    assert body is not None
    assert event.conversation is not None
    meta, sender = event.conversation.meta, event.sender
    contact = _contact(meta.sender or (sender if author is Author.CUSTOMER else None), meta, channel_id)
    message = ChatMessage(
        conversation=conversation_external_id(channel_id, event.conversation.id),
        external_id=f"chatwoot:{event.id}",
        author=author,
        author_name=contact.name if author is Author.CUSTOMER and contact else _name(sender),
        body=body,
        sent_at=event.created_at,
        automatic=author is Author.CUSTOMER and _is_automatic(event),
        contact=contact,
        labels=_tags(event.conversation.labels),
        agent_email=_email(sender.email) if author is Author.AGENT and sender else None,
    )
    return Received(str(event.id), _delivery(event.content_attributes), message)


def _turn(event: ChatwootEvent, channel_id: UUID, account_id: int, inbox_id: int | None) -> TurnTaken | Left:
    """What an event of a conversation, which is one itself, says of whose turn it is.

    A bot hands over by opening what was ``pending``. What is opened from anything else is the customer's or a
    person's doing, and needs no person that it does not have.
    """
    changes = [each.status for each in event.changed_attributes if each.status is not None]
    before = changes[0].previous_value if changes else None
    status = changes[0].current_value if changes else _STATUS_EVENTS[event.event] or event.status
    reasons = {
        "it names no conversation": event.id is None,
        "it is of another account": event.account is not None and event.account.id != account_id,
        "it is of another inbox": None not in (inbox_id, event.inbox_id) and event.inbox_id != inbox_id,
        f"the status {status} changes nothing here": status not in ("open", "resolved"),
        "no bot had it": status == "open" and bool(changes) and before != "pending",
    }
    for why, holds in reasons.items():
        if holds:
            return Left(why)
    assert event.id is not None
    return TurnTaken(
        conversation=conversation_external_id(channel_id, event.id),
        turn=Turn.HANDED_OVER if status == "open" else Turn.RESOLVED,
        at=event.updated_at,
        certain=bool(changes),
        contact=_contact(event.meta.sender, event.meta, channel_id),
        labels=_tags(event.labels),
    )


def _why_not(event: ChatwootEvent, account_id: int, inbox_id: int | None) -> str | None:
    """Why nothing is done about the event; ``None`` where it is a message to take in."""
    if event.event != "message_created":
        return f"{event.event} changes nothing here"
    of_inbox = event.inbox.id if event.inbox else event.conversation.inbox_id if event.conversation else None
    reasons = {
        "it names no message of a conversation": event.id is None or event.conversation is None,
        "it is of another account": event.account is not None and event.account.id != account_id,
        "it is of another inbox": None not in (inbox_id, of_inbox) and of_inbox != inbox_id,
        "private notes stay in Chatwoot": bool(event.private),
        f"a message of the type {event.message_type} is nobody's": _author(event) is None,
        "it has no content": _body(event) is None,
    }
    return next((why for why, holds in reasons.items() if holds), None)


def _author(event: ChatwootEvent) -> Author | None:
    """A person's are outgoing messages of users that no rule and no campaign sent, and those from a native app."""
    if event.message_type == "incoming":
        return Author.CUSTOMER
    if event.message_type == "template":
        return Author.BOT
    if event.message_type != "outgoing":
        return None
    by_machine = event.content_attributes.get("automation_rule_id") or event.additional_attributes.get("campaign_id")
    from_app = bool(event.content_attributes.get("external_echo"))
    by_user = event.sender is not None and event.sender.type == "user"
    return Author.AGENT if (by_user or from_app) and not by_machine else Author.BOT


def _is_automatic(event: ChatwootEvent) -> bool:
    email = event.content_attributes.get("email")
    return isinstance(email, Mapping) and email.get("auto_reply") is True


def _body(event: ChatwootEvent) -> str | None:
    """What was written; files are named by their kind, for somebody who sends a picture has written, too."""
    text = _clean(event.content or "").strip()
    files = ", ".join(each.file_type or "file" for each in event.attachments)
    parts = [part for part in (text, f"[{files}]" if files else "") if part]
    return "\n".join(parts)[:LONGEST_BODY] or None


def _contact(known: Person | None, meta: Meta, channel_id: UUID) -> Contact | None:
    """The conversation's contact.

    The customer's own id (``identifier``) counts where Chatwoot has verified it; else anybody could say that they are
    somebody.
    """
    if known is None or known.id is None:
        return None
    own = _clean(known.identifier or "").strip()
    verified = bool(own) and meta.hmac_verified is True and len(own) <= 200
    return Contact(
        external_id=own if verified else f"chatwoot:{channel_id}:{known.id}",
        name=_name(known),
        email=_email(known.email),
    )


def _delivery(attributes: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(attributes.get(DELIVERY_ID)))
    except ValueError:
        return None


def _name(person: Person | None) -> str | None:
    return (_clean(person.name or "").strip()[:_LONGEST_NAME].strip() or None) if person else None


def _email(address: str | None) -> str | None:
    found = _clean(address or "").strip()
    local, at, domain = found.partition("@")
    fits = len(found) <= 254 and at and local and domain and "@" not in domain and not any(map(str.isspace, found))
    return found if fits else None


def _tags(labels: list[str]) -> tuple[str, ...]:
    found = (_clean(each).strip().casefold() for each in labels)
    return tuple(dict.fromkeys(each for each in found if 0 < len(each) <= _LONGEST_LABEL))[:_MOST_LABELS]


def _clean(text: str) -> str:
    """Postgres keeps no NUL."""
    return text.replace("\x00", "")
