"""What happens to a ticket: one event a version, and whom each one tells."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field, JsonValue

from domain.clocks import ClockEvent
from domain.ladders import Frozen, Target


class ActorKind(StrEnum):
    """Who can change a ticket."""

    MEMBER = "member"
    API_KEY = "api_key"
    CUSTOMER = "customer"
    SYSTEM = "system"


class Actor(Frozen):
    """Who did it; ``id`` is the member's, the key's or the requester's, ``None`` for the system.

    ``name`` is the one they had then.
    """

    kind: ActorKind
    id: UUID | None = None
    name: str | None = None

    @property
    def member_id(self) -> UUID | None:
        """The member's id when a member acted."""
        return self.id if self.kind is ActorKind.MEMBER else None


SYSTEM = Actor(kind=ActorKind.SYSTEM, name="Baton")


class EventKind(StrEnum):
    """What happened."""

    CREATED = "created"
    EDITED = "edited"
    ASSIGNED = "assigned"
    STATUS_CHANGED = "status_changed"
    ESCALATED = "escalated"
    CUSTOMER_REPLIED = "customer_replied"
    AGENT_REPLIED = "agent_replied"
    NOTE_ADDED = "note_added"
    REMINDER_SENT = "reminder_sent"
    REASSIGNED = "reassigned"
    LADDER_STEP = "ladder_step"
    POLICY_CHANGED = "policy_changed"
    SLA_WARNING = "sla_warning"
    SLA_BREACHED = "sla_breached"
    COMMAND_REFUSED = "command_refused"
    MERGED = "merged"
    ABSORBED = "absorbed"
    ERASED = "erased"


class NoticeKind(StrEnum):
    """What a member is told about."""

    TICKET_ASSIGNED = "ticket_assigned"
    TICKET_REASSIGNED = "ticket_reassigned"
    TICKET_ESCALATED = "ticket_escalated"
    TICKET_REOPENED = "ticket_reopened"
    TICKET_RESOLVED = "ticket_resolved"
    CUSTOMER_REPLIED = "customer_replied"
    REMINDER_SENT = "reminder_sent"
    SLA_WARNING = "sla_warning"
    SLA_BREACHED = "sla_breached"
    ESCALATION_RAISED = "escalation_raised"
    TICKET_RELEASED = "ticket_released"
    STATUS_CHANGED = "status_changed"
    TICKET_MERGED = "ticket_merged"
    MENTIONED = "mentioned"


class Notice(Frozen):
    """A message to members, told once a receiver: ``key`` names the episode and step within the ticket."""

    key: str
    kind: NoticeKind
    why: str
    targets: tuple[Target, ...] = ()
    member_ids: tuple[UUID, ...] = ()


class CustomerMessageKind(StrEnum):
    """What the system itself says to a customer."""

    REMINDER = "reminder"
    RESOLVED = "resolved"
    CLOSED = "closed"  # by itself, some time after it was resolved
    REOPENED = "reopened"  # "we are back"


class CustomerMessage(Frozen):
    """A message to the customer, sent once: ``key`` names the episode and step within the ticket."""

    key: str
    kind: CustomerMessageKind


class FieldChange(Frozen):
    """A field's value before and after."""

    before: JsonValue = None
    after: JsonValue = None


class TicketEvent(Frozen):
    """One line of a ticket's story: who, what, when, why.

    ``request_id`` names the command or message that caused it (set on the first event of each) and
    ``fingerprint`` that request's content. ``about`` holds ids and times that belong to the kind.
    """

    version: int
    kind: EventKind
    at: datetime
    actor: Actor
    reason: str | None = None
    changes: dict[str, FieldChange] = Field(default_factory=dict)
    about: dict[str, JsonValue] = Field(default_factory=dict)
    request_id: str | None = None
    fingerprint: str | None = None
    clocks: tuple[ClockEvent, ...] = ()
    """What it did to the metrics' clocks."""
    notices: tuple[Notice, ...] = ()
    customer_messages: tuple[CustomerMessage, ...] = ()
