"""What platforms post to a channel's own door, and what they are answered."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from api.schemas.fields import Document, View
from api.schemas.intake import MOST_ROWS, IncomingRow, IncomingView

_MESSAGE = {
    "conversation": "chat-9",
    "external_id": "m-1",
    "author": "customer",
    "body": "Let me talk to a human!",
    "requester": {"external_id": "customer-77", "name": "A customer"},
}


class MessageCreated(Document):
    """One message, as the intake has it, with its conversation."""

    type: Literal["message.created"]
    timestamp: datetime | None = Field(default=None, description="When it happened; not read.")
    data: IncomingRow


class SeveralMessages(Document):
    """Messages; each is checked by itself, so that one that is not valid holds up no others."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_ROWS)


class MessagesCreated(Document):
    """Many at once."""

    type: Literal["messages.created"]
    timestamp: datetime | None = None
    data: SeveralMessages


EXAMPLES = [
    {"type": "message.created", "timestamp": "2026-11-20T16:30:00Z", "data": _MESSAGE},
    {"type": "messages.created", "data": {"messages": [_MESSAGE]}},
]

Happened = Annotated[MessageCreated | MessagesCreated, Field(discriminator="type")]
"""In the shape that Standard Webhooks recommends: what happened (``type``), when, and what it is about (``data``)."""


class ChatwootView(View):
    """What became of an event: a message that was taken in, what a change of status did, or why nothing was done."""

    message: IncomingView | None = None
    did: str | None = Field(default=None, examples=["escalation_raised"])
    left: str | None = Field(default=None, examples=["private notes stay in Chatwoot"])
