"""Members, teams and notifications as clients send and see them."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Document, Email, Name, Span, View
from domain.permissions import Role


class MemberStatus(StrEnum):
    """Whether a member takes part."""

    INVITED = "invited"
    ACTIVE = "active"
    DISABLED = "disabled"


class Presence(StrEnum):
    """Whether a member is there now."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class Assignment(StrEnum):
    """How a team hands out tickets."""

    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    MANUAL = "manual"


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
    presence: Presence
    created_at: datetime


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
    member_ids: list[UUID] = Field(default_factory=list, max_length=1000, description="In the order of their turns.")


class TeamView(View):
    """Members who share a queue."""

    id: UUID
    name: str
    assignment: Assignment
    acknowledge_within: timedelta | None
    escalation_ladder_id: UUID | None
    supervisor_id: UUID | None
    member_ids: list[UUID]
    created_at: datetime


class NotificationView(View):
    """Something a member was told, and why."""

    id: int
    member_id: UUID
    conversation_id: UUID | None = Field(description="Where it is about a conversation.")
    ticket_id: UUID | None
    ticket_version: int | None
    kind: str = Field(examples=["ticket_assigned"])
    why: str
    created_at: datetime
    read_at: datetime | None
