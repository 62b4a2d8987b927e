"""Messages and notes as clients send and see them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Body, Document, ExternalId, Moment, Name, View


class Author(StrEnum):
    """Who a message given to the API is from."""

    CUSTOMER = "customer"
    AGENT = "agent"


class CreateMessage(Document):
    """A line of the conversation, kept once by its ``external_id`` (else by the Idempotency-Key)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"author": "customer", "body": "Any news?", "external_id": "whatsapp-5531", "automatic": False}
            ]
        }
    )

    author: Author
    body: Body
    external_id: ExternalId | None = None
    author_name: Name | None = None
    sent_at: Moment | None = Field(default=None, description="The sender's time; now, if left out.")
    automatic: bool = Field(default=False, description="A machine's reply (out of office): it moves nothing.")


class MessageView(View):
    """A line of the conversation; ``ticket_id`` is the ticket it was told to."""

    id: UUID
    ticket_id: UUID | None
    conversation_id: UUID
    external_id: str
    author_kind: str = Field(examples=["customer"])
    author_id: UUID | None
    author_name: str | None
    body: str
    automatic: bool
    erased: bool = Field(description="Its words were erased with all that was known of its requester.")
    sent_at: datetime
    created_at: datetime


class CreateNote(Document):
    """An internal remark; customers never see it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"body": "Waits for the warehouse."}]})

    body: Body


class NoteView(View):
    """An internal remark."""

    id: UUID
    ticket_id: UUID
    author_id: UUID | None
    author_name: str | None
    body: str
    created_at: datetime
