"""What a web chat's widget sends and sees."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from api.schemas.fields import Body, Document, Email, ExternalId, Name, View
from api.webchat import MINE
from db.models import Message


class OpenVisit(Document):
    """Open a web chat, or go on with the conversation a token is of."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"token": "eyJ…", "anew": True}]})

    token: Annotated[str, StringConstraints(max_length=2000)] | None = Field(
        default=None, description="The one from last time; one that is no longer good counts as none."
    )
    anew: bool = Field(default=False, description="Begin another conversation of the same visitor.")


class VisitView(View):
    """A visit: its token reads and writes this one conversation."""

    token: str = Field(repr=False)
    expires_at: datetime
    resumed: bool = Field(description="Whether it goes on with the conversation of the token that was sent.")


class Say(Document):
    """A visitor's message, kept once by its ``client_id``."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"client_id": "c-1", "body": "Can I talk to a human?", "name": "A visitor"}]}
    )

    client_id: Annotated[ExternalId, StringConstraints(max_length=100)] = Field(
        description="The widget's own id of the message; sent again, nothing is said twice."
    )
    body: Body
    name: Name | None = Field(default=None, description="As the visitor gives it; known from then on.")
    email: Email | None = None


class SaidView(View):
    """A message as a visitor sees it."""

    id: UUID
    client_id: str | None = Field(description="The widget's own id, of the visitor's own messages.")
    author: str = Field(examples=["agent"], description="`customer`, `bot`, `agent` or `system`.")
    author_name: str | None
    body: str
    sent_at: datetime

    @classmethod
    def of(cls, message: Message) -> "SaidView":
        own = message.author_kind == "customer" and message.external_id.startswith(MINE)
        return cls(
            id=message.id,
            client_id=message.external_id.removeprefix(MINE) if own else None,
            author=message.author_kind,
            author_name=message.author_name,
            body=message.body,
            sent_at=message.sent_at,
        )


class SaidPage(View):
    """Messages in their order, and who has the conversation."""

    items: list[SaidView]
    more: bool = Field(description="There are more behind the last one.")
    handled_by: str | None = Field(examples=["bot"], description="`bot` or `human`; null before anything was said.")
