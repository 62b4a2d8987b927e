"""Working together on a ticket, as clients send and see it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Document, Reason, View
from db.links import LinkKind, Relation
from domain.ticket import Status


class WatcherView(View):
    """A member who follows a ticket."""

    member_id: UUID
    name: str
    since: datetime


class Activity(StrEnum):
    """What a member does with a ticket at this moment."""

    VIEWING = "viewing"
    ANSWERING = "answering"


class PresenceDocument(Document):
    """What the member does; say it again every few seconds for as long as it is so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"activity": "viewing"}, {"activity": "answering"}]})

    activity: Activity


class PresenceView(View):
    """A member who has the ticket open."""

    member_id: UUID
    name: str
    activity: Activity
    since: datetime = Field(description="Since when they do this.")
    expires_at: datetime = Field(description="Until when it counts, if it is not said again.")


class LinkDocument(Document):
    """Another ticket of the organization, and what this one is to it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "blocks", "ticket_id": "5f0c6f1e-90a4-4a54-8a6e-7a1f3b1d9c10"}]}
    )

    kind: LinkKind
    ticket_id: UUID


class LinkView(View):
    """Another ticket and what it has to do with this one."""

    id: UUID | None = Field(description="To delete the link by; null where it follows from the tickets themselves.")
    relation: Relation = Field(description="Read on from this ticket: it `blocks` the other, it is `blocked_by` it.")
    ticket_id: UUID
    number: int
    title: str
    status: Status
    at: datetime = Field(description="Since when.")


class MergeDocument(Document):
    """The ticket that goes on with both."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"into": "5f0c6f1e-90a4-4a54-8a6e-7a1f3b1d9c10", "reason": "The same customer wrote twice."}]
        }
    )

    into: UUID
    reason: Reason | None = None
