"""Messages of conversations as chat platforms send them, and what was decided on each."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.decision import EvidenceView
from api.schemas.fields import Body, Document, ExternalId, Moment, Name, Tags, View
from api.schemas.ticket import RequesterDocument
from domain.ticket import ChannelKind

MOST_ROWS = 200
"""Messages in one batch."""

_HEADERS = 100


class Writer(StrEnum):
    """Who wrote a message of a conversation."""

    CUSTOMER = "customer"
    BOT = "bot"
    AGENT = "agent"


class IncomingMessage(Document):
    """A message, kept once by its ``external_id``, however often and in whatever order it comes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "external_id": "wamid-5531",
                    "author": "customer",
                    "body": "This is the third time. Let me talk to a human!",
                    "sent_at": "2026-11-20T16:30:00Z",
                    "channel": "whatsapp",
                    "requester": {"external_id": "customer-77", "name": "A customer"},
                }
            ]
        }
    )

    external_id: ExternalId = Field(description="The platform's own id of the message.")
    author: Writer
    body: Body
    author_name: Name | None = None
    sent_at: Moment | None = Field(
        default=None, description="The sender's time; now, if left out or more than an hour ahead."
    )
    channel: ChannelKind | None = Field(
        default=None,
        description="Where the conversation is; stays once a message has said it, and is `api` until then.",
    )
    channel_id: UUID | None = Field(default=None, description="One of the organization's channels, instead of a kind.")
    requester: RequesterDocument | None = Field(default=None, description="The customer, where they are known.")
    tags: Tags = Field(default_factory=list, description="Added to the conversation's.")
    automatic: bool = Field(default=False, description="Known to be a machine's reply; else it is found out.")
    headers: dict[str, str] = Field(
        default_factory=dict, max_length=_HEADERS, description="An email's, which tell automatic replies."
    )


class IncomingRow(IncomingMessage):
    """A message of a batch, with the conversation it belongs to."""

    conversation: ExternalId


class Batch(Document):
    """Messages of any conversations; each is checked by itself, so that one that is not valid holds up no others."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {"conversation": "chat-9", "external_id": "m-1", "author": "customer", "body": "Hello?"},
                        {"conversation": "chat-9", "external_id": "m-2", "author": "bot", "body": "How can I help?"},
                    ]
                },
                {
                    "history": True,
                    "messages": [
                        {
                            "conversation": "chat-1",
                            "external_id": "m-1",
                            "author": "customer",
                            "body": "I want my money back.",
                            "sent_at": "2026-03-02T09:00:00Z",
                        }
                    ],
                },
            ]
        }
    )

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)
    history: bool = Field(
        default=False,
        description="An import of what was dealt with elsewhere: it is kept and read, so that rules can be tried on "
        "it, but no rule acts on it and no ticket is told of it.",
    )


class HumanRequestView(View):
    """Whether the customer asks for a person, and by what that was seen."""

    requested: bool
    score: float
    span: tuple[int, int] | None = Field(description="Where in the text, from and to.")
    reason: str | None
    decided_by: str = Field(examples=["builtin"])
    fallback: str | None = Field(description="Why a model that was asked did not decide.")


class ReadingView(View):
    """What was read in a customer's message."""

    sentiment: float | None = Field(description="-1 to 1; null for a language that is not known.")
    human_request: HumanRequestView
    automatic: str | None = Field(description="By what it was taken for a machine's reply.")


class MadeDecisionView(View):
    """A rule that matched, why, and what came of it."""

    rule_id: UUID
    rule: str
    version: int
    outcome: str = Field(examples=["acted"])
    evidence: list[EvidenceView]


class IncomingView(View):
    """A message as it was kept, and what was decided on it."""

    id: UUID
    external_id: str
    conversation_id: UUID
    author: str
    sent_at: datetime
    automatic: bool
    waiting_since: datetime | None = Field(description="The customer's first message that no person has answered.")
    handled_by: str = Field(examples=["bot"])
    ticket_id: UUID | None = Field(description="The conversation's ticket, be it new.")
    reading: ReadingView | None = Field(description="Of customers' messages.")
    decisions: list[MadeDecisionView]


class RowStatus(StrEnum):
    """What became of a message of a batch: new, kept before, kept but not told to its ticket yet, or refused."""

    STORED = "stored"
    KNOWN = "known"
    UNTOLD = "untold"
    REFUSED = "refused"


class RowView(View):
    """What became of one message of a batch. ``problem`` says what to do about it: mend it, or send it again."""

    row: int = Field(description="Its place in the batch, from 0.")
    status: RowStatus
    message: IncomingView | None = None
    problem: dict[str, Any] | None = None


class BatchView(View):
    """What became of each message, in the order in which they were sent."""

    stored: int
    known: int
    untold: int = Field(description="Kept, but their tickets could not be told: send these again.")
    refused: int
    rows: list[RowView]


class RequesterView(View):
    """A customer who writes; ``external_id`` is what their platform knows them by.

    ``erased_at`` is when all that was known of them was erased.
    """

    id: UUID
    external_id: str | None
    name: str | None
    email: str | None
    language: str | None = Field(description="In which they are told things, where it is known.")
    created_at: datetime
    erased_at: datetime | None


class ConversationView(View):
    """A conversation with one customer."""

    id: UUID
    external_id: str | None
    channel: str
    channel_id: UUID | None
    requester_id: UUID
    handled_by: str
    owner_id: UUID | None = Field(description="The member who has it.")
    tags: list[str]
    waiting_since: datetime | None
    answered_at: datetime | None
    ticket_id: UUID | None
    created_at: datetime
