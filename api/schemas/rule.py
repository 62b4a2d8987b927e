"""Escalation events and routing rules as clients send and see them."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, RootModel, WithJsonSchema, model_validator

from api.schemas.fields import Document, Name, Tags, View
from domain.priority import Priority
from domain.rules.conditions import read_conditions
from domain.rules.rule import COOLDOWN, LONGEST_COOLDOWN, EscalationActions, RoutingActions, Rule, RuleMode

MOST_RULES = 1000
"""Rules of one kind that an organization keeps, those that are off included."""

_NAMED = 50
"""Teams or members that one rule tells."""


def _cooldown(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= LONGEST_COOLDOWN:
        raise ValueError("must be nothing or more, and at most 366 days")
    return value


Cooldown = Annotated[timedelta, AfterValidator(_cooldown)]

_REFUND: dict[str, Any] = {
    "all": [
        {"any": [{"keyword": ["refund", "money back"]}, {"human_requested": True}]},
        {"not": {"tag": "test"}},
    ]
}

# Read by ``read_conditions``, which names the path of what is wrong.
Conditions = Annotated[
    Any,
    WithJsonSchema({"type": "object", "additionalProperties": True, "examples": [_REFUND]}),
    Field(
        description="A tree: each object has one key. `all`, `any` and `not` hold other conditions; `keyword`, "
        "`sentiment`, `channel`, `human_requested`, `business_hours` and `tag` ask something of the message."
    ),
]


class EscalationActionsDocument(Document):
    """What happens when an escalation event matches."""

    create_ticket: bool = Field(default=True, description="Unless the conversation has a ticket already.")
    notify_team_ids: list[UUID] = Field(default_factory=list, max_length=_NAMED)
    notify_member_ids: list[UUID] = Field(default_factory=list, max_length=_NAMED)
    priority: Priority | None = Field(default=None, description="Of the ticket; one it has is raised, never lowered.")
    team_id: UUID | None = None
    assignee_id: UUID | None = None
    tags: Tags = Field(default_factory=list)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.create_ticket or self.notify_team_ids or self.notify_member_ids or self.priority or self.tags):
            raise ValueError("must create a ticket, notify somebody, or set a priority or tags")
        return self


class RoutingActionsDocument(Document):
    """What a new ticket gets where it was not given it; of several rules the first in order has each field."""

    team_id: UUID | None = None
    assignee_id: UUID | None = None
    priority: Priority | None = None
    tags: Tags = Field(default_factory=list, description="Those of all rules that match.")
    sla_policy_id: UUID | None = Field(default=None, description="Instead of the policy whose conditions hold.")

    @model_validator(mode="after")
    def _sets_something(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError("must set a team, an assignee, a priority, tags or an SLA policy")
        return self


class RuleDocument(Document):
    """What rules of both kinds have."""

    name: Name
    mode: RuleMode | None = Field(
        default=None,
        description="`shadow` decides and has no effect. Left out: a new rule is on, another stays as it is.",
    )
    conditions: Conditions

    def rule(self, rule_id: UUID, version: int = 1, mode: RuleMode = RuleMode.ON) -> Rule[Any]:
        """The domain's rule; raises ``InvalidConditions`` with the paths of what is wrong."""
        raise NotImplementedError


class EscalationEventDocument(RuleDocument):
    """When a customer's message calls for attention, and what happens then."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Wants the money back",
                    "conditions": _REFUND,
                    "actions": {"create_ticket": True, "priority": "high", "tags": ["refund"]},
                    "cooldown": "PT1H",
                },
                {
                    "name": "Angry twice",
                    "mode": "shadow",
                    "conditions": {"sentiment": {"at_most": -0.4, "messages": 2, "of_last": 3}},
                    "actions": {"create_ticket": True},
                },
            ]
        }
    )

    actions: EscalationActionsDocument = EscalationActionsDocument()
    cooldown: Cooldown = Field(
        default=COOLDOWN, description="How long it rests in a conversation in which it has acted; `PT0S`: never."
    )

    def rule(self, rule_id: UUID, version: int = 1, mode: RuleMode = RuleMode.ON) -> Rule[Any]:
        conditions, actions = read_conditions(self.conditions), EscalationActions(**self.actions.model_dump())
        return Rule(rule_id, self.name, version, mode, conditions, actions, self.cooldown)


class RoutingRuleDocument(RuleDocument):
    """Which new tickets go where. All rules that match have a part, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Refunds",
                    "conditions": {"any": [{"keyword": ["refund", "money back"]}, {"tag": "refund"}]},
                    "actions": {"priority": "high", "tags": ["billing"]},
                }
            ]
        }
    )

    actions: RoutingActionsDocument

    def rule(self, rule_id: UUID, version: int = 1, mode: RuleMode = RuleMode.ON) -> Rule[Any]:
        conditions, actions = read_conditions(self.conditions), RoutingActions(**self.actions.model_dump())
        return Rule(rule_id, self.name, version, mode, conditions, actions)


class ModeDocument(Document):
    """Whether the rule acts."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "shadow"}, {"mode": "on"}]})

    mode: RuleMode


class RuleOrderDocument(Document):
    """All ids, in the order in which they should be tried."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ids": ["0b6a2f2e-8f6f-4d2a-9a39-5d7f0c1f4b11", "7d1b8d8e-4f0e-4c43-9f0b-3c8f5a2f9d22"]}]
        }
    )

    ids: list[UUID] = Field(min_length=1, max_length=MOST_RULES)


class VersionView(View):
    """What a rule said in one of its versions."""

    version: int
    conditions: dict[str, Any]
    created_at: datetime = Field(description="From when on it was the rule's newest version.")


class RoutingRuleCountsView(View):
    """What came of a rule in the last 30 days, in all its versions."""

    matched: int = Field(description="Every time; also in shadow, and while it rested.")
    acted: int
    shadow: int = Field(description="How often it would have acted.")


class DismissalsView(View):
    """The escalations raised in this time that a version of the rule was a reason of."""

    version: int
    escalations: int
    ended: int
    dismissed: int = Field(description="Did not need a human, as somebody has said; as `/analytics/dismissals`.")


class EscalationEventCountsView(RoutingRuleCountsView):
    """The same, and how often nobody was needed."""

    false_alarms: int = Field(description="Its tickets that were resolved without an answer by any human.")
    dismissals: list[DismissalsView] = Field(description="By version, the newest first.")


class RuleView(View):
    """A rule in its newest version."""

    id: UUID
    name: str
    mode: RuleMode
    position: int
    version: int
    conditions: dict[str, Any]
    created_at: datetime
    changed_at: datetime = Field(description="When the newest version was written.")


class EscalationEventVersionView(VersionView):
    """What an escalation event said in one of its versions."""

    actions: EscalationActions
    cooldown: timedelta


class RoutingRuleVersionView(VersionView):
    """What a routing rule said in one of its versions."""

    actions: RoutingActions


class EscalationEventView(RuleView):
    """An escalation event."""

    actions: EscalationActions
    cooldown: timedelta
    counts: EscalationEventCountsView


class RoutingRuleView(RuleView):
    """A routing rule."""

    actions: RoutingActions
    counts: RoutingRuleCountsView


class EscalationEventsView(RootModel[list[EscalationEventView]]):
    """All escalation events, in their order."""


class RoutingRulesView(RootModel[list[RoutingRuleView]]):
    """All routing rules, in the order in which they are tried."""
