"""SLA policies, and what they make of tickets, as clients send and see them."""

from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field, RootModel

from api.schemas.fields import Document, Moment, Name, Span, Tags, View
from domain.clocks import Clock, ClockState, Metric, Verdict
from domain.priority import Priority
from domain.sla import WARN_AT, SlaConditions, SlaTime
from domain.sla_book import DeadlineChange
from domain.ticket import ChannelKind, Source


class SlaPolicyDocument(Document):
    """What is promised to which tickets. The first policy in order whose conditions hold is a ticket's policy."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Refunds",
                    "conditions": {"tags": ["refund"]},
                    "targets": {
                        "first_response": {"normal": "PT1H", "urgent": "PT15M"},
                        "resolution": {"normal": "P1D", "urgent": "PT4H"},
                    },
                    "counts": "business",
                    "warn_at": 0.8,
                }
            ]
        }
    )

    name: Name
    enabled: bool = True
    conditions: SlaConditions = SlaConditions()
    targets: dict[Metric, dict[Priority, Span]] = Field(description="By metric and priority; left out: not promised.")
    counts: SlaTime = SlaTime.BUSINESS
    calendar_id: UUID | None = Field(default=None, description="For business time; else the default calendar.")
    warn_at: float = Field(default=WARN_AT, description="Warn when this share of the target has passed.")
    escalation_ladder_id: UUID | None = Field(default=None, description="What happens on a breach.")


class SlaPolicyView(SlaPolicyDocument):
    """An SLA policy. ``effective_from``: tickets created earlier are under an older version until it is applied."""

    model_config = ConfigDict(extra="ignore")

    id: UUID
    version: int
    position: int
    effective_from: datetime
    created_at: datetime


class ChangedPolicyView(SlaPolicyView):
    """An SLA policy as it was just replaced."""

    rollout_id: UUID | None = Field(
        description="The rollout that tells running tickets, where it was switched on or off."
    )


class PoliciesView(RootModel[list[SlaPolicyView]]):
    """All policies, in the order in which they are tried."""


class OrderDocument(Document):
    """All ids, in the order in which they should be tried."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ids": ["0b6a2f2e-8f6f-4d2a-9a39-5d7f0c1f4b11", "7d1b8d8e-4f0e-4c43-9f0b-3c8f5a2f9d22"]}]
        }
    )

    ids: list[UUID] = Field(min_length=1, max_length=500)


class ApplyTo(StrEnum):
    """Which tickets a changed policy is for."""

    RUNNING = "running"
    NEW = "new"


class ApplyDocument(Document):
    """First look (``dry_run``), then apply to running tickets, or leave it to new ones."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}, {"dry_run": False, "to": "running"}]})

    dry_run: bool = True
    to: ApplyTo = ApplyTo.RUNNING


class DeadlineChangeView(View):
    """A deadline before and after."""

    metric: Metric
    before: datetime | None
    after: datetime | None
    policy_before: str | None = Field(examples=["Refunds v1"])
    policy_after: str | None = Field(examples=["Refunds v2"])
    breaches_at_once: bool

    @classmethod
    def of(cls, change: DeadlineChange) -> "DeadlineChangeView":
        """The view of a change."""
        before, after = change.policy_before, change.policy_after
        return cls(
            metric=change.metric,
            before=change.before,
            after=change.after,
            policy_before=f"{before.name} v{before.version}" if before else None,
            policy_after=f"{after.name} v{after.version}" if after else None,
            breaches_at_once=change.breaches_at_once,
        )


class ChangedTicketView(View):
    """A running ticket whose deadlines would change."""

    id: UUID
    number: int
    title: str
    changes: list[DeadlineChangeView]


class ApplyView(View):
    """What applying changes. ``tickets`` are the first hundred; ``complete`` is false where time ran out."""

    dry_run: bool
    to: ApplyTo
    examined: int = 0
    changed: int = 0
    breaching_at_once: int = 0
    complete: bool = True
    tickets: list[ChangedTicketView] = Field(default_factory=list)
    rollout_id: UUID | None = Field(default=None, description="The rollout that tells running tickets.")


class RolloutView(View):
    """How far running tickets have been told of changed rules."""

    id: UUID
    status: Literal["running", "done"]
    examined: int
    told: int


class PreviewDocument(Document):
    """A ticket that might be, to be told when it would be due and why."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"created_at": "2026-11-20T16:30:00+01:00", "priority": "normal"}]}
    )

    created_at: Moment
    priority: Priority = Priority.NORMAL
    tags: Tags = Field(default_factory=list)
    team_id: UUID | None = None
    channel: ChannelKind = ChannelKind.API
    source: Source = Source.API
    policy_id: UUID | None = Field(default=None, description="This policy, instead of the first that matches.")


class WorkedDayView(View):
    """How much of a target a day takes."""

    date: date
    counted: timedelta


class MetricPreviewView(View):
    """A metric's deadline: ``days`` add up to the target (the first and last ones, where there are many)."""

    metric: Metric
    target: timedelta
    warn_at: datetime
    due_at: datetime
    days: list[WorkedDayView]
    why: str = Field(examples=["1 h of business time in Europe/Berlin: 30 min on Fri 2026-11-20, 30 min on Mon …"])


class PreviewView(View):
    """The policy that would apply, and its deadlines."""

    policy_id: UUID | None
    policy: str | None
    version: int | None
    metrics: list[MetricPreviewView]


class PolicyRef(View):
    """The policy a deadline came from, as it was then."""

    id: UUID
    name: str
    version: int


class ClockView(View):
    """A metric's clock: its state, deadlines, and the policy that set them."""

    metric: Metric
    state: ClockState
    verdict: Verdict
    episode: int
    activated_at: datetime | None
    running_since: datetime | None
    paused_since: datetime | None
    fulfilled_at: datetime | None
    target: timedelta | None
    warn_at: datetime | None
    due_at: datetime | None
    warned_at: datetime | None
    breached_at: datetime | None
    policy: PolicyRef | None
    explanation: str | None = Field(
        default=None,
        description="The arithmetic in words, where a single ticket is read.",
        examples=["2 h 10 min of business time, paused 1 h 02 min; the target is 4 h"],
    )

    @classmethod
    def of(cls, clock: Clock, explanation: str | None = None) -> "ClockView":
        """The view of a clock."""
        view = cls.model_validate(clock)
        view.explanation = explanation
        return view
