"""Deliveries, and secrets of channels, as clients see them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Body, Document, ExternalId, Moment, Name, View
from domain.delivery import AttemptOutcome, DeliveryKind, DeliveryState


class MessageDelivery(View):
    """What has become of a message on its way to the customer."""

    id: UUID
    state: DeliveryState
    tried: int = Field(description="Attempts so far; GET /deliveries/{delivery_id} lists them.")
    reason: str | None = Field(description="Why the last attempt did not succeed.")
    next_attempt_at: datetime | None
    finished_at: datetime | None


class AttemptView(View):
    """One attempt; one without an outcome is being made, or ended with its process."""

    at: datetime
    outcome: AttemptOutcome | None
    reason: str | None = None


class DeliveryView(MessageDelivery):
    """A message to a customer, or a notice to their platform, delivered once."""

    kind: DeliveryKind
    connector: str = Field(examples=["webhook"])
    channel_id: UUID
    conversation_id: UUID
    message_id: UUID | None = Field(description="Null for notices.")
    about: dict[str, Any] = Field(description="What a notice says.")
    attempts: list[AttemptView] = Field(description="The latest hundred.")
    provider_id: str | None = Field(description="What the receiver calls it.")
    created_at: datetime


class Reply(Document):
    """An agent's answer in a conversation, kept once by its ``external_id`` (else by the Idempotency-Key)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"body": "Your money is on its way."},
                {"body": "We called you about it.", "external_id": "call-17", "deliver": False},
            ]
        }
    )

    body: Body
    external_id: ExternalId | None = None
    author_name: Name | None = None
    sent_at: Moment | None = Field(default=None, description="When it was said; now, if left out.")
    deliver: bool = Field(default=True, description="False for what the customer has been told already.")
