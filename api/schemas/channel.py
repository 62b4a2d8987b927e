"""Channels as clients send and see them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    UrlConstraints,
    ValidationInfo,
    field_validator,
)

from api.schemas.fields import Document, Email, Name, Span, View
from domain.delivery import ConnectorName
from domain.ticket import ChannelKind

ReplyUrl = Annotated[AnyHttpUrl, UrlConstraints(max_length=2000)]


def _bare(value: AnyHttpUrl) -> AnyHttpUrl:
    if value.username or value.password or value.query or value.fragment:
        raise ValueError("must hold no name, password, query or fragment: https://app.chatwoot.com")
    return value


_PORTS = {"http": 80, "https": 443}


def _origin(value: str) -> str:
    """As browsers write it: in lower case, without the default port, and with nothing behind it."""
    parts = urlsplit(value.strip().rstrip("/"))
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not host or any((parts.path, parts.query, parts.fragment, "@" in parts.netloc)):
        raise ValueError("must be an origin, with nothing behind the host: https://shop.example")
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}"


WebOrigin = Annotated[str, StringConstraints(max_length=300), AfterValidator(_origin)]


class PlatformAnswers(Document):
    """How to answer where a platform passes messages on; without a URL nobody is sent anything."""

    reply_url: ReplyUrl | None = Field(default=None, description="Where agents' answers are posted.")


class EmailAnswers(Document):
    """How to answer by email."""

    from_address: Email = Field(description="Whom the customer sees as the sender, and writes back to.")
    from_name: Name | None = None


class ChatwootAnswers(Document):
    """An inbox of a Chatwoot account; its tokens are secrets of the channel, and not among its settings."""

    connector: Literal[ConnectorName.CHATWOOT]
    base_url: Annotated[ReplyUrl, AfterValidator(_bare)] = Field(
        description="Of the installation: https://app.chatwoot.com"
    )
    account_id: int = Field(ge=1, lt=2**31, description="The number in the addresses of the account's pages.")
    inbox_id: int | None = Field(
        default=None, ge=1, lt=2**31, description="Take in this inbox only; without it, all that are sent here."
    )


class WebchatAnswers(Document):
    """Baton's own web chat: what is said is kept for the visitor's widget to fetch."""

    allowed_origins: list[WebOrigin] = Field(
        max_length=50, description="Pages that may show it, as browsers name them: https://shop.example"
    )


Answers = PlatformAnswers | EmailAnswers | ChatwootAnswers | WebchatAnswers


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
                    "name": "WhatsApp, in Chatwoot",
                    "settings": {"connector": "chatwoot", "base_url": "https://app.chatwoot.com", "account_id": 1},
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
        description="How to answer: `from_address` and `from_name` of an email channel, `allowed_origins` of Baton's "
        "own web chat, an inbox of `connector` `chatwoot`, `reply_url` of any other.",
    )

    @field_validator("settings", mode="before")
    @classmethod
    def _of_kind(cls, value: Any, info: ValidationInfo) -> Answers:
        given = value.model_dump() if isinstance(value, Document) else value
        if not isinstance(given, Mapping):
            raise ValueError("must be an object")
        kind = info.data.get("kind")
        if given.get("connector") is not None:
            return ChatwootAnswers.model_validate(given)
        if kind is ChannelKind.WEBCHAT and given.get("allowed_origins") is not None:
            return WebchatAnswers.model_validate(given)
        if kind is ChannelKind.EMAIL:
            return EmailAnswers.model_validate({name: each for name, each in given.items() if each is not None})
        return PlatformAnswers.model_validate(given)


class ChannelView(View):
    """A channel. Messages name it by ``id``, rules by ``id`` or ``kind``."""

    id: UUID
    kind: str = Field(examples=["whatsapp"])
    name: str
    settings: dict[str, Any]
    created_at: datetime


class SecretPurpose(StrEnum):
    """What a channel's secret is for."""

    SIGNING = "signing"
    CHATWOOT_TOKEN = "chatwoot_token"  # noqa: S105 - a name
    CHATWOOT_BOT_TOKEN = "chatwoot_bot_token"  # noqa: S105


class MakeSecret(Document):
    """A new secret of a channel; of those there are of its purpose it is the one that signs and is sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"purpose": "signing", "old_for": "PT1H"}]})

    purpose: SecretPurpose = Field(
        default=SecretPurpose.SIGNING,
        description="`signing` for webhooks in both directions; `chatwoot_token` and `chatwoot_bot_token` are access "
        "tokens of a user of Chatwoot and of an agent bot.",
    )
    secret: Annotated[SecretStr, Field(min_length=8, max_length=500)] | None = Field(
        default=None, description="One that the platform has made. Without it Baton makes one (`signing` only)."
    )
    old_for: Span | None = Field(
        default=timedelta(days=1),
        description="How long older ones of the purpose still count, for the other side to change over; null ends them "
        "at once.",
    )
    keep_old: bool = Field(default=False, description="Older ones count on: what comes in is signed by two sides.")


class MadeSecretView(View):
    """A secret that was made; ``secret`` is said once, and null where it was given or is asked for again."""

    id: UUID
    channel_id: UUID
    purpose: str = Field(examples=["signing"])
    secret: str | None = Field(repr=False, examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    created_at: datetime
    old_until: datetime | None = Field(description="Until when older ones count, if there may be any.")


class SecretView(View):
    """A secret of a channel, without the secret."""

    id: UUID
    purpose: str = Field(examples=["signing"])
    created_at: datetime
    expires_at: datetime | None = Field(description="When it no longer counts; null for as long as it is there.")
