"""Messages and notes as clients send and see them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from api.schemas.delivery import MessageDelivery
from api.schemas.fields import Body, Document, ExternalId, Moment, Name, View


def _once_each(ids: list[UUID]) -> list[UUID]:
    return list(dict.fromkeys(ids))


MemberIds = Annotated[list[UUID], Field(max_length=50), AfterValidator(_once_each)]


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
    automatic: bool = Field(
        default=False,
        description="Known to be a machine's reply (out of office), which moves nothing; else it is found out.",
    )
    headers: dict[str, str] = Field(
        default_factory=dict, max_length=100, description="An email's, which tell automatic replies."
    )
    deliver: bool = Field(
        default=True, description="Whether an agent's message goes out by the channel; false where it has been said."
    )


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
    out_of_turn: bool = Field(description="A bot wrote it although a human had the conversation.")
    erased: bool = Field(description="Its words were erased with all that was known of its requester.")
    sent_at: datetime
    created_at: datetime
    delivery: MessageDelivery | None = Field(
        default=None, description="Of what goes out by the channel; null where nothing is to be sent."
    )


class CreateNote(Document):
    """An internal remark; customers never see it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"body": "@Ana, do you know more?", "mention_ids": ["0b6a2f2e-8f6f-4d2a-9a39-5d7f0c1f4b11"]},
                {"body": "Waits for the warehouse."},
            ]
        }
    )

    body: Body
    mention_ids: MemberIds = Field(
        default_factory=list, description="Members whom the note names: they are told once, and watch the ticket."
    )


class NoteView(View):
    """An internal remark."""

    id: UUID
    ticket_id: UUID
    author_id: UUID | None
    author_name: str | None
    body: str
    mention_ids: list[UUID] = Field(description="Members whom it names.")
    created_at: datetime
