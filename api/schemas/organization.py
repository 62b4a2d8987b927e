"""Organizations and API keys as clients send and see them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, field_validator

from api.schemas.fields import Capacity, Document, LanguageTag, Moment, Name, Span, View
from domain.events import CustomerMessageKind
from domain.permissions import Scope
from domain.wording import DEFAULT_LANGUAGE, is_said


class CreateOrganization(Document):
    """A new tenant; it gets a first API key."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Blue Airline"}]})

    name: Name
    auto_close_after: Span = timedelta(days=3)
    reopen_window: Span = timedelta(days=30)
    member_capacity: Capacity | None = None
    language: LanguageTag = DEFAULT_LANGUAGE
    escalate_human_requests: bool = True


class SaidToCustomers(Document):
    """Which kinds of messages the system sends to customers by itself; what is left out stays."""

    reminder: bool | None = None
    resolved: bool | None = None
    closed: bool | None = None
    reopened: bool | None = None


class EditOrganization(Document):
    """The settings to change; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"auto_close_after": "P5D", "language": "es", "customer_messages": {"closed": True}},
                {"member_capacity": None},
            ]
        }
    )

    name: Name | None = None
    auto_close_after: Span | None = None
    reopen_window: Span | None = None
    member_capacity: Capacity | None = Field(default=None, description="Null takes the limit away.")
    language: LanguageTag | None = Field(default=None, description="Of customers whose own is not known.")
    customer_messages: SaidToCustomers | None = None
    escalate_human_requests: bool | None = None

    def changes(self) -> dict[str, Any]:
        """The settings that are named, with their new values."""
        named = self.model_dump(exclude_unset=True)
        return {name: value for name, value in named.items() if value is not None or name == "member_capacity"}


class OrganizationView(View):
    """A tenant and its settings."""

    id: UUID
    name: str
    auto_close_after: timedelta = Field(description="From resolved to closed.", examples=["P3D"])
    reopen_window: timedelta = Field(
        description="After closing, how long a customer's message reopens the same ticket.", examples=["P30D"]
    )
    member_capacity: int | None = Field(description="For members whose team has none either; without one any number.")
    language: str = Field(examples=["en"])
    customer_messages: dict[CustomerMessageKind, bool] = Field(
        description="Which kinds of messages customers are told by the system itself.",
        examples=[{"reminder": True, "resolved": True, "closed": False, "reopened": False}],
    )
    escalate_human_requests: bool = Field(
        description="Whether a customer who asks for a human is put into the queue, whatever the rules say."
    )
    created_at: datetime

    @field_validator("customer_messages", mode="before")
    @classmethod
    def _with_defaults(cls, chosen: Mapping[str, bool]) -> dict[CustomerMessageKind, bool]:
        return {kind: is_said(kind, chosen) for kind in CustomerMessageKind}


class CreateApiKey(Document):
    """A name that says which program will use the key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "chatbot", "scopes": ["conversations:write"]}, {"name": "back office"}]
        }
    )

    name: Name
    scopes: list[Scope] | None = Field(
        default=None, min_length=1, max_length=len(Scope), description="What it may be used for; all rights without it."
    )
    expires_at: Moment | None = Field(default=None, description="When it stops working by itself.")


class ApiKeyView(View):
    """A key as lists show it."""

    id: UUID
    name: str
    hint: str = Field(examples=["baton_3kT9aQ"])
    scopes: list[Scope] | None = Field(description="Null for all rights.")
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class NewApiKeyView(ApiKeyView):
    """A key just made. ``key`` is shown this once and kept nowhere; it is null when the request is sent again."""

    key: str | None = Field(examples=["baton_3kT9aQ…"])


class NewOrganizationView(OrganizationView):
    """A tenant just made, with its first API key."""

    api_key: NewApiKeyView | None
