"""Bulk changes as clients send and see them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.schemas.fields import Document, Moment, Reason, Sought, Tags, View
from domain.bulk import MAX_TICKETS
from domain.priority import Priority
from domain.ticket import ChannelKind, Status


class BulkFilter(Document):
    """Which tickets, as in the list: all that are given hold, each by any of its values."""

    status: list[Status] = Field(default_factory=list)
    priority: list[Priority] = Field(default_factory=list)
    channel: list[ChannelKind] = Field(default_factory=list)
    team_id: list[UUID] = Field(default_factory=list, max_length=100)
    assignee_id: list[UUID] = Field(default_factory=list, max_length=100)
    unassigned: bool | None = None
    breached: bool | None = None
    due_before: Moment | None = None
    tag: list[Sought] = Field(default_factory=list, max_length=50)
    q: Sought | None = None


class StatusChange(Document):
    """To another status, where the lifecycle has that move."""

    kind: Literal["status"]
    to: Status
    reason: Reason | None = None
    tell_customer: bool = True


class AssignmentChange(Document):
    """A field left out stays, ``null`` empties it."""

    kind: Literal["assignment"]
    team_id: UUID | None = None
    assignee_id: UUID | None = None
    reason: Reason | None = None


class PriorityChange(Document):
    """All to one priority."""

    kind: Literal["priority"]
    priority: Priority


class TagsChange(Document):
    """Some tags on, some off; the others stay."""

    kind: Literal["tags"]
    add: Tags = Field(default_factory=list)
    remove: Tags = Field(default_factory=list)


Change = Annotated[StatusChange | AssignmentChange | PriorityChange | TagsChange, Field(discriminator="kind")]


class BulkDocument(Document):
    """Which tickets, by their ids or by a filter, and one change."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"filter": {"status": ["open"], "tag": ["outage"]}, "change": {"kind": "tags", "add": ["may-outage"]}},
                {
                    "ticket_ids": ["5f0c6f1e-90a4-4a54-8a6e-7a1f3b1d9c10"],
                    "change": {"kind": "status", "to": "resolved", "reason": "The outage is over."},
                    "dry_run": True,
                },
            ]
        }
    )

    ticket_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MAX_TICKETS)
    filter: BulkFilter | None = None
    change: Change
    dry_run: bool = Field(default=False, description="Only count what it would come to.")

    @model_validator(mode="after")
    def _one_of_both(self) -> "BulkDocument":
        if (self.ticket_ids is None) == (self.filter is None):
            raise ValueError("send either ticket_ids or filter")
        return self


class RefusedView(View):
    """A ticket that was not changed, and why."""

    ticket_id: UUID
    number: int | None
    code: str = Field(examples=["illegal_transition"])
    reason: str


class BulkView(View):
    """A bulk change and how far it has come; of a dry run, what it would come to."""

    id: UUID | None = Field(description="Null of a dry run.")
    dry_run: bool
    status: Literal["running", "stopping", "stopped", "done"]
    change: dict[str, Any]
    tickets: int = Field(description="How many it was asked of: those that matched when it was asked for.")
    examined: int
    changed: int
    unchanged: int = Field(description="They were so already.")
    refused: int
    refusals: dict[str, int] = Field(description="How many of the refused, by code.", examples=[{"ticket_closed": 2}])
    first_refused: list[RefusedView] = Field(description="At most 200.")
    created_at: datetime | None
    finished_at: datetime | None
