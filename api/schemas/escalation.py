"""Escalations as clients send and see them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.schemas.fields import Document, ExternalId, Named, Reason, Title, View, named
from api.schemas.offer import OfferView
from domain.escalation import ESCALATION_TRANSITIONS, Escalation, EscalationStatus
from domain.escalation_timers import receivers_of_step, step_in_words
from domain.priority import Priority
from domain.ticket import ACTIVE, ChannelKind, Source


class RaisedBy(StrEnum):
    """What asks for a human by this route."""

    ASSISTANT = "assistant"
    FLOW = "flow"
    API = "api"


class RaiseDocument(Document):
    """Why a human is needed. A flow's node names the flow and itself; an assistant says `assistant`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": "flow",
                    "flow_id": "refunds",
                    "node_id": "escalate-to-human",
                    "reason": "The customer wants to speak to somebody about a refund.",
                    "priority": "high",
                    "note": "Order 1093; the bot has asked for the reason twice.",
                },
                {"source": "assistant", "reason": "I cannot see the customer's invoice."},
            ]
        }
    )

    source: RaisedBy = RaisedBy.API
    flow_id: ExternalId | None = None
    node_id: ExternalId | None = None
    reason: Reason | None = Field(default=None, description="In a sentence; whoever is told reads it.")
    note: Reason | None = Field(default=None, description="For whoever takes the conversation.")
    priority: Priority | None = None
    team_id: UUID | None = Field(default=None, description="Whose queue it goes to, where it is in none yet.")

    @model_validator(mode="after")
    def _of_a_flow(self) -> Self:
        if self.source is RaisedBy.FLOW and not (self.flow_id and self.node_id):
            raise ValueError("a flow names flow_id and node_id")
        return self


class ClaimDocument(Document):
    """Who takes the conversation; whoever asks, if left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    member_id: UUID | None = None


class NoteDocument(Document):
    """A word for those who read it later."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"note": "Explained the fare."}]})

    note: Reason | None = None


class EscalationTicketDocument(Document):
    """The ticket that goes with the escalation: an open one of the same customer, or a new one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"title": "Refund for order 1093", "priority": "high"}, {}]}
    )

    ticket_id: UUID | None = Field(default=None, description="One that is there; without it one is made.")
    title: Title | None = Field(default=None, description="Of a new one; the customer's first line, if left out.")
    priority: Priority | None = Field(default=None, description="Of a new one; the escalation's, if left out.")


class ReasonView(View):
    """Why a human is needed."""

    source: Source
    at: datetime
    words: str = Field(examples=["The customer asked for a human."])
    rule_id: UUID | None
    rule_version: int | None
    rule_name: str | None
    flow_id: str | None
    node_id: str | None
    metric: str | None
    priority: Priority | None
    note: str | None


class NextNoticeView(View):
    """Who is told next if nobody claims it."""

    at: datetime | None = Field(description="Null while it is worked out in working time.")
    step: int = Field(description="Counted through all repetitions, from 1.")
    words: str = Field(examples=["notify supervisors"])
    targets: list[str] = Field(examples=[["supervisors"]])
    member_ids: list[UUID]


class TicketOfEscalation(View):
    """The ticket that goes with it; number and status are null until it is recorded."""

    id: UUID
    number: int | None
    status: str | None


class EscalationView(View):
    """A conversation that needs a human. ``version`` is its ``ETag``."""

    id: UUID
    conversation_id: UUID
    conversation_external_id: str | None
    requester_id: UUID
    channel: ChannelKind
    status: EscalationStatus
    legal_statuses: list[str] = Field(examples=[["claimed", "resolved", "dismissed"]])
    priority: Priority
    team: Named | None
    owner: Named | None = Field(description="Who has the conversation, or had it last.")
    reasons: list[ReasonView] = Field(description="The first one first; all that came while it lived.")
    position: int | None = Field(description="In its team's queue, from 1; null where it is not queued.")
    next_notice: NextNoticeView | None = Field(description="Null where nobody is to be told any more.")
    waiting_since: datetime | None = Field(description="The customer's first message that no human has answered.")
    raised_at: datetime
    queued_at: datetime
    first_claimed_at: datetime | None
    claimed_at: datetime | None
    absent_since: datetime | None = Field(description="Since when its owner is offline.")
    returns_at: datetime | None = Field(description="When it goes back to the queue if its owner does not answer.")
    closed_at: datetime | None
    ticket: TicketOfEscalation | None
    offers: list[OfferView]
    notes: list[str]
    version: int

    @classmethod
    def of(
        cls,
        escalation: Escalation,
        *,
        external_id: str | None,
        team_name: str | None,
        reasons: Sequence[ReasonView],
        position: int | None,
        ticket: TicketOfEscalation | None,
        notes: Sequence[str] = (),
    ) -> "EscalationView":
        """The view of an escalation with what its workflow does not carry."""
        own = {name: getattr(escalation, name) for name in cls.model_fields.keys() & Escalation.model_fields.keys()}
        limit, since = escalation.silence_limit, (escalation.silent_since, escalation.absent_since)
        returns = [each + limit for each in since if each is not None] if limit is not None else []
        return cls(
            **{
                **own,
                "conversation_external_id": external_id,
                "legal_statuses": [each.value for each in ESCALATION_TRANSITIONS[escalation.status]],
                "team": named(escalation.team_id, team_name),
                "owner": named(escalation.owner_id, escalation.owner_name),
                "reasons": list(reasons),
                "position": position,
                "next_notice": _next_notice(escalation),
                "returns_at": min(returns, default=None),
                "ticket": ticket,
                "offers": _offers(escalation, ticket),
                "notes": list(notes),
            }
        )


def _next_notice(escalation: Escalation) -> NextNoticeView | None:
    climb = escalation.climb
    if escalation.status is not EscalationStatus.QUEUED or climb is None or climb.over:
        return None
    targets, members = receivers_of_step(climb)
    return NextNoticeView(
        at=climb.due_at,
        step=climb.run.position,
        words=step_in_words(climb),
        targets=[target.value for target in targets],
        member_ids=list(members),
    )


def _offers(escalation: Escalation, ticket: TicketOfEscalation | None) -> list[OfferView]:
    if ticket is None or ticket.status is None:
        return []
    over = ticket.status not in ACTIVE
    if escalation.status is EscalationStatus.RESOLVED and not over:
        return [OfferView.resolve_ticket(ticket.id)]
    if escalation.is_live and over:
        return [OfferView.resolve_escalation(escalation.id)]
    return []


class RaisedView(View):
    """What came of asking for a human. ``escalation`` is null where it is kept, and not in the queue yet."""

    escalation: EscalationView | None
    position: int | None = Field(description="In the queue, from 1; null where somebody has it.")
    expected_wait: timedelta | None = Field(description="From how long others waited lately; null where none did.")
    line: str = Field(description="To be said to the customer.", examples=["You are number 3. It takes 5 minutes."])
