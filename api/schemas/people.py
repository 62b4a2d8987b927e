"""Members and teams as clients send and see them."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.schemas.fields import Capacity, Document, Email, Name, Span, View
from domain.assignment import Assignment, Presence, presence_at
from domain.permissions import Role


class MemberStatus(StrEnum):
    """Whether a member takes part."""

    INVITED = "invited"
    ACTIVE = "active"
    DISABLED = "disabled"


class CreateMember(Document):
    """A person of the organization."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "An agent", "email": "agent@example.com"}]})

    name: Name
    email: Email
    role: Role = Role.AGENT
    presence: Presence = Presence.OFFLINE


class EditMember(Document):
    """What to change; what is left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"presence": "online"}]})

    name: Name | None = None
    role: Role | None = None
    status: Literal[MemberStatus.ACTIVE, MemberStatus.DISABLED] | None = Field(
        default=None, description="Members become `invited` by an invitation."
    )
    presence: Presence | None = None


class MemberView(View):
    """A person of the organization."""

    id: UUID
    name: str
    email: str
    role: Role
    status: MemberStatus
    presence: Presence = Field(description="`offline` where the heartbeat has stopped.")
    heartbeat_at: datetime | None = Field(description="Of a presence that has to be kept up.")
    capacity: int | None = Field(description="Tickets they are given at most; without one their team's.")
    out_from: datetime | None = Field(description="Out of office from here on,")
    out_until: datetime | None = Field(description="until then.")
    replacement_id: UUID | None = Field(description="Who takes their turns meanwhile.")
    created_at: datetime

    @model_validator(mode="after")
    def _as_it_counts(self) -> "MemberView":
        self.presence = presence_at(datetime.now(UTC), self.presence, self.heartbeat_at)
        return self


class TeamDocument(Document):
    """A team; ``PUT`` replaces it, members included."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Billing", "acknowledge_within": "PT4H", "member_ids": []}]}
    )

    name: Name
    assignment: Assignment = Assignment.MANUAL
    acknowledge_within: Span | None = Field(
        default=None, description="How long an assigned ticket may stay open before it goes to the next member."
    )
    escalation_ladder_id: UUID | None = Field(
        default=None, description="What happens then; without one: the next member, then the supervisor."
    )
    supervisor_id: UUID | None = None
    member_capacity: Capacity | None = Field(
        default=None, description="For members without a capacity of their own; without one the organization's."
    )
    queue_ladder_id: UUID | None = Field(
        default=None,
        description="Who is told while a conversation waits in the team's queue; without one: the team after five "
        "minutes, its supervisors after ten more, three times.",
    )
    queue_in_business_hours: bool = Field(
        default=False, description="Whether that ladder's waits count the working time of the default calendar."
    )
    silence_limit: Span | None = Field(
        default=None,
        description="How long whoever has a conversation may leave its customer waiting, or be offline, before it goes "
        "back to the queue; without one half an hour.",
    )
    member_ids: list[UUID] = Field(default_factory=list, max_length=1000, description="In the order of their turns.")


class TeamView(View):
    """Members who share a queue."""

    id: UUID
    name: str
    assignment: Assignment
    acknowledge_within: timedelta | None
    escalation_ladder_id: UUID | None
    supervisor_id: UUID | None
    member_capacity: int | None
    queue_ladder_id: UUID | None
    queue_in_business_hours: bool
    silence_limit: timedelta | None
    member_ids: list[UUID]
    created_at: datetime
