"""Channels as clients send and see them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AnyHttpUrl, ConfigDict, Field, UrlConstraints, ValidationInfo, field_validator

from api.schemas.fields import Document, Email, Name, View
from domain.ticket import ChannelKind

ReplyUrl = Annotated[AnyHttpUrl, UrlConstraints(max_length=2000)]


class PlatformAnswers(Document):
    """How to answer where a platform passes messages on; without a URL nobody is sent anything."""

    reply_url: ReplyUrl | None = Field(default=None, description="Where agents' answers are posted.")


class EmailAnswers(Document):
    """How to answer by email."""

    from_address: Email = Field(description="Whom the customer sees as the sender, and writes back to.")
    from_name: Name | None = None


Answers = PlatformAnswers | EmailAnswers


class ChannelDocument(Document):
    """A way customers write in, and how they are answered there."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "whatsapp",
                    "name": "WhatsApp, Germany",
                    "settings": {"reply_url": "https://platform.example.com/replies"},
                },
                {
                    "kind": "whatsapp",
                    "name": "WhatsApp, Austria",
                },
            ]
        }
    )

    kind: ChannelKind = Field(description="Stays as it is once the channel is there.")
    name: Name
    settings: Answers = Field(
        default_factory=PlatformAnswers,
        validate_default=True,
        description="How to answer: `from_address` and `from_name` of an email channel, `reply_url` of any other.",
    )

    @field_validator("settings", mode="before")
    @classmethod
    def _of_kind(cls, value: Any, info: ValidationInfo) -> Answers:
        given = value.model_dump() if isinstance(value, Document) else value
        if not isinstance(given, Mapping):
            raise ValueError("must be an object")
        by_email = info.data.get("kind") is ChannelKind.EMAIL
        if by_email:
            return EmailAnswers.model_validate({name: each for name, each in given.items() if each is not None})
        return PlatformAnswers.model_validate(given)


class ChannelView(View):
    """A channel. Messages name it by ``id``, rules by ``id`` or ``kind``."""

    id: UUID
    kind: str = Field(examples=["whatsapp"])
    name: str
    settings: dict[str, Any]
    created_at: datetime
