"""Tickets as clients send and see them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import (
    Description,
    Document,
    Email,
    ExternalId,
    LanguageTag,
    Name,
    Named,
    Reason,
    Tags,
    Title,
    View,
    named,
)
from api.schemas.offer import OfferView
from api.schemas.sla import ClockView
from db.tickets import RecordedTicket
from domain.clocks import Metric
from domain.ids import workflow_id
from domain.ladders import LadderRun
from domain.priority import Priority
from domain.ticket import ChannelKind, Source, Status, Ticket, legal_targets
from domain.timers import Timer, timers
from settings import Settings


class RequesterDocument(Document):
    """The customer who asks; known by ``external_id`` next time."""

    external_id: ExternalId | None = None
    name: Name | None = None
    email: Email | None = None
    language: LanguageTag | None = Field(default=None, description="In which they are told things, if it is known.")


class CreateTicket(Document):
    """A new ticket, with a conversation of its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "The invoice shows the wrong amount",
                    "description": "Invoice 1093 shows 120 instead of 100.",
                    "priority": "high",
                    "tags": ["invoice"],
                    "requester": {"external_id": "customer-77", "name": "A customer", "email": "a@example.com"},
                }
            ]
        }
    )

    title: Title
    description: Description = ""
    priority: Priority = Priority.NORMAL
    tags: Tags = Field(default_factory=list)
    channel: ChannelKind = ChannelKind.API
    channel_id: UUID | None = Field(
        default=None,
        description="One of the organization's channels, by which the customer is answered; sets `channel`.",
    )
    source: Source = Source.API
    team_id: UUID | None = None
    assignee_id: UUID | None = None
    requester: RequesterDocument = Field(default_factory=RequesterDocument)


class EditTicket(Document):
    """The fields to change; a field left out stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": "urgent", "tags": ["refund", "vip"]}]})

    title: Title | None = None
    priority: Priority | None = None
    tags: Tags | None = None


class ChangeStatusDocument(Document):
    """Where the ticket should go; the lifecycle's table says what is legal."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "waiting", "reason": "Asked for the order number."}]}
    )

    to: Status
    reason: Reason | None = None
    tell_customer: bool = Field(default=True, description="When resolving: send the confirmation.")


class AssignDocument(Document):
    """Who should have it; a field left out stays, ``null`` empties it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"assignee_id": "0b6a2f2e-8f6f-4d2a-9a39-5d7f0c1f4b11"},
                {"team_id": "7d1b8d8e-4f0e-4c43-9f0b-3c8f5a2f9d22", "reason": "It is about an invoice."},
            ]
        }
    )

    team_id: UUID | None = None
    assignee_id: UUID | None = None
    reason: Reason | None = None


class EscalateDocument(Document):
    """Why it needs more attention; the priority rises to ``priority``, else by one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The customer threatens to leave."}]})

    reason: Reason
    priority: Priority | None = None


class TimerView(View):
    """Something that will happen by itself."""

    kind: str = Field(examples=["reminder"])
    due_at: datetime
    summary: str = Field(examples=["Remind the customer (1 of 2)"])

    @classmethod
    def of(cls, timer: Timer) -> "TimerView":
        """The view of a domain timer."""
        return cls(kind=timer.kind, due_at=timer.due_at, summary=timer.summary)


class LadderView(View):
    """A ladder the ticket climbs: because of a breached metric, or because nobody acknowledges it."""

    because_of: str = Field(examples=["first_response"])
    name: str
    began_at: datetime
    next_step: int = Field(description="Counted through all repetitions, from 1.")
    next_at: datetime

    @classmethod
    def of(cls, because_of: str, run: LadderRun | None) -> "LadderView | None":
        """The view of a run, ``None`` where there is nothing left to climb."""
        if run is None or run.due_at is None:
            return None
        return cls(
            because_of=because_of,
            name=run.ladder.name,
            began_at=run.began_at,
            next_step=run.position,
            next_at=run.due_at,
        )


class RequesterView(View):
    """The customer who asks."""

    id: UUID
    external_id: str | None
    name: str | None
    email: str | None


class TicketView(View):
    """A ticket. ``version`` is also its ``ETag``: send it as ``If-Match`` to change only what you have seen."""

    id: UUID
    number: int
    title: str
    description: str
    status: Status
    legal_statuses: list[str] = Field(description="Where it can go from here.", examples=[["in_progress", "waiting"]])
    priority: Priority
    tags: list[str]
    source: Source
    channel: ChannelKind
    requester: RequesterView
    conversation_id: UUID
    follow_up_of: UUID | None = Field(description="The closed ticket this one goes on from.")
    merged_into: UUID | None = Field(description="The ticket that took this one over for good.")
    team: Named | None
    assignee: Named | None
    version: int
    created_at: datetime
    updated_at: datetime
    status_since: datetime
    unanswered_since: datetime | None = Field(description="The oldest customer message no human has answered.")
    resolved_at: datetime | None
    closed_at: datetime | None
    reopen_until: datetime | None = Field(description="Until when a customer's message reopens the closed ticket.")
    reopened: int = Field(description="How many times.")
    escalated: int = Field(description="How many times.")
    breached: bool = Field(description="Whether an SLA metric was breached, and not begun anew since.")
    clocks: list[ClockView]
    ladders: list[LadderView] = Field(description="Escalation ladders the ticket climbs.")
    timers: list[TimerView] = Field(description="What will happen by itself, the next first.")
    temporal_ui_url: str = Field(description="The ticket's workflow in the Temporal UI.")
    offers: list[OfferView] = Field(
        description="Of a resolved or closed ticket, how to end the escalations that went with it. Empty in lists."
    )

    @classmethod
    def of(
        cls,
        recorded: RecordedTicket,
        settings: Settings,
        explanations: Mapping[Metric, str] | None = None,
        offers: Sequence[OfferView] = (),
    ) -> "TicketView":
        """The view of a ticket; ``explanations`` are of its clocks."""
        ticket = recorded.ticket
        own = {
            name: getattr(ticket, name) for name in cls.model_fields.keys() & Ticket.model_fields.keys() - {"clocks"}
        }
        climbed = [LadderView.of("acknowledgement", ticket.acknowledgement)]
        climbed += [LadderView.of(ladder.metric.value, ladder.run) for ladder in ticket.breach_ladders]
        return cls(
            **own,
            description=recorded.description,
            legal_statuses=[] if ticket.merged_into else legal_targets(ticket.status),
            requester=RequesterView.model_validate(recorded.requester),
            team=named(ticket.team_id, ticket.team_name),
            assignee=named(ticket.assignee_id, ticket.assignee_name),
            breached=ticket.breached,
            clocks=[ClockView.of(clock, (explanations or {}).get(clock.metric)) for clock in ticket.clocks.all()],
            ladders=[view for view in climbed if view],
            timers=[TimerView.of(timer) for timer in timers(ticket)],
            temporal_ui_url=ui_url(settings, ticket.id),
            offers=list(offers),
        )


class TimersView(View):
    """What the ticket's workflow waits for at this moment, asked of the workflow itself."""

    ticket_id: UUID
    version: int
    status: Status
    timers: list[TimerView]


class AcceptedView(View):
    """A command that was handed on without waiting; its outcome will be in the ticket's events under this id."""

    ticket_id: UUID
    request_id: str
    status: Literal["accepted"] = "accepted"


class ActorView(View):
    """Who did it, with the name they had then."""

    kind: str = Field(examples=["member"])
    id: UUID | None
    name: str | None


class EventView(View):
    """One line of a ticket's story: who, what, when and why."""

    version: int
    kind: str = Field(examples=["status_changed"])
    at: datetime
    actor: ActorView
    reason: str | None
    changes: dict[str, object] = Field(examples=[{"status": {"before": "open", "after": "in_progress"}}])
    about: dict[str, object]
    clocks: list[dict[str, object]] = Field(
        description="What it did to the SLA clocks: activate, pause, resume, fulfil, warn, breach."
    )
    request_id: str | None


def ui_url(settings: Settings, ticket_id: UUID) -> str:
    """Where the Temporal UI shows a ticket's runs."""
    base = settings.temporal_ui_url.rstrip("/")
    return f"{base}/namespaces/{settings.temporal_namespace}/workflows/{workflow_id(ticket_id)}"
