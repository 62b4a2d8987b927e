"""Message templates as clients send and see them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Document, LanguageTag, TemplateText, View
from domain.events import CustomerMessageKind

# What is wrong in it is said by ``check_template``, which names the line.
TemplateBody = Annotated[
    TemplateText,
    Field(
        description="Text with `{{ ticket.number }}`, `{{ ticket.title }}`, `{{ customer.name }}`, `{{ agent.name }}`, "
        "`{{ organization.name }}`, and `{% if … %}…{% else %}…{% endif %}`. What is not known is empty.",
        examples=["{% if customer.name %}Dear {{ customer.name }}, {% endif %}#{{ ticket.number }} is resolved."],
    ),
]


class TemplateDocument(Document):
    """How one kind of message is worded in one language."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "resolved",
                    "language": "es",
                    "body": "{% if customer.name %}Hola, {{ customer.name }}. {% endif %}"
                    "Hemos resuelto «{{ ticket.title }}».",
                }
            ]
        }
    )

    kind: CustomerMessageKind
    language: LanguageTag
    body: TemplateBody


class TemplateView(View):
    """A template of the organization's own."""

    id: UUID
    kind: CustomerMessageKind
    language: str = Field(examples=["es"])
    body: str
    created_at: datetime


class PreviewTemplate(Document):
    """What to show: words that are not saved yet, or those that would be used for a customer of some language."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "reminder", "body": "{{ customer.name }}, we wait for you about #{{ ticket.number }}."},
                {"kind": "reminder", "language": "pt-BR"},
            ]
        }
    )

    kind: CustomerMessageKind
    language: LanguageTag | None = Field(default=None, description="The customer's; where it is not known, leave it.")
    body: TemplateBody | None = None


class TemplateOrigin(StrEnum):
    """Where words come from."""

    GIVEN = "given"
    OWN = "own"
    BUILT_IN = "built_in"


class PreviewView(View):
    """The message as a customer would read it, with made-up names."""

    text: str
    template: str
    language: str | None = Field(description="Of the template; null for words that were given.")
    origin: TemplateOrigin
    said: bool = Field(description="Whether this kind is said at all: PATCH /organization, `customer_messages`.")
