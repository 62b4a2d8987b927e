"""Escalation events and routing rules: one condition language, two sets of actions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

from domain.ladders import Frozen
from domain.priority import Priority
from domain.rules.conditions import Condition, dump_conditions, read_conditions
from domain.rules.evaluation import Evidence, Facts, RuleSet

COOLDOWN = timedelta(hours=1)
"""How long an escalation event rests in a conversation in which it has acted, unless it says otherwise."""

LONGEST_COOLDOWN = timedelta(days=366)


class RuleKind(StrEnum):
    """What a rule is for: customers' messages, or new tickets."""

    ESCALATION_EVENT = "escalation_event"
    ROUTING_RULE = "routing_rule"


class RuleMode(StrEnum):
    """Whether a rule acts, only records what it would have done, or rests."""

    ON = "on"
    SHADOW = "shadow"
    OFF = "off"


class EscalationActions(Frozen):
    """What happens when an escalation event matches, besides that the conversation is escalated.

    Priority, team, assignee and tags are those of the ticket; a ticket the conversation has already is not made
    again. The teams and members to notify are told whether there is a ticket or not.
    """

    create_ticket: bool = True
    notify_team_ids: tuple[UUID, ...] = ()
    notify_member_ids: tuple[UUID, ...] = ()
    priority: Priority | None = None
    team_id: UUID | None = None
    assignee_id: UUID | None = None
    tags: tuple[str, ...] = ()


class RoutingActions(Frozen):
    """What a new ticket gets where it was not given it."""

    team_id: UUID | None = None
    assignee_id: UUID | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] = ()
    sla_policy_id: UUID | None = None


Actions = TypeVar("Actions", EscalationActions, RoutingActions)


@dataclass(frozen=True, eq=False)
class Rule(Generic[Actions]):
    """A rule in one of its versions; equal only to itself."""

    id: UUID
    name: str
    version: int
    mode: RuleMode
    conditions: Condition
    actions: Actions
    cooldown: timedelta = timedelta(0)


EscalationEvent = Rule[EscalationActions]
RoutingRule = Rule[RoutingActions]


class Outcome(StrEnum):
    """What came of a match."""

    ACTED = "acted"
    SHADOW = "shadow"
    COOLDOWN = "cooldown"


@dataclass(frozen=True)
class Decided(Generic[Actions]):
    """A rule that matched, why, and what came of it."""

    rule: Rule[Actions]
    evidence: tuple[Evidence, ...]
    outcome: Outcome


def read_escalation_event(
    rule_id: UUID, name: str, version: int, mode: RuleMode, definition: Mapping[str, Any]
) -> EscalationEvent:
    """The rule in a stored definition; raises ``InvalidConditions`` or pydantic's error for what no rule can be."""
    return Rule(
        id=rule_id,
        name=name,
        version=version,
        mode=mode,
        conditions=read_conditions(definition["conditions"]),
        actions=EscalationActions.model_validate(definition["actions"]),
        cooldown=timedelta(seconds=definition["cooldown_seconds"]),
    )


def read_routing_rule(
    rule_id: UUID, name: str, version: int, mode: RuleMode, definition: Mapping[str, Any]
) -> RoutingRule:
    """The rule in a stored definition; raises as ``read_escalation_event`` does."""
    return Rule(
        id=rule_id,
        name=name,
        version=version,
        mode=mode,
        conditions=read_conditions(definition["conditions"]),
        actions=RoutingActions.model_validate(definition["actions"]),
    )


def read_actions(kind: RuleKind, definition: Mapping[str, Any]) -> EscalationActions | RoutingActions:
    """The actions in a stored definition of a kind."""
    actions = EscalationActions if kind is RuleKind.ESCALATION_EVENT else RoutingActions
    return actions.model_validate(definition["actions"])


def dump_definition(rule: Rule[Any]) -> dict[str, Any]:
    """What is stored of a version: ``conditions``, ``actions``, ``cooldown_seconds``; read by the functions above."""
    return {
        "conditions": dump_conditions(rule.conditions),
        "actions": rule.actions.model_dump(mode="json"),
        "cooldown_seconds": rule.cooldown.total_seconds(),
    }


def in_force(rules: Iterable[Rule[Actions]]) -> RuleSet[Rule[Actions]]:
    """Those that are not off, ready to be evaluated in their order."""
    return RuleSet((rule, rule.conditions) for rule in rules if rule.mode is not RuleMode.OFF)


def decide(
    rules: RuleSet[Rule[Actions]], facts: Facts, acted_at: Mapping[UUID, datetime], now: datetime
) -> list[Decided[Actions]]:
    """What the rules make of a message or a ticket, in their order.

    ``acted_at`` is by rule when it last acted in the conversation. A rule in shadow keeps its cooldown too, so that it
    records what it would have done.
    """
    decided = []
    for match in rules.matches(facts):
        rule = match.rule
        last = acted_at.get(rule.id)
        resting = last is not None and now - last < rule.cooldown
        outcome = Outcome.COOLDOWN if resting else Outcome.SHADOW if rule.mode is RuleMode.SHADOW else Outcome.ACTED
        decided.append(Decided(rule, match.evidence, outcome))
    return decided


def acting(decided: Iterable[Decided[Actions]]) -> list[Actions]:
    """The actions that are to be done, in the rules' order."""
    return [each.rule.actions for each in decided if each.outcome is Outcome.ACTED]


def first(values: Iterable[Any]) -> Any:
    """The first value that is not ``None``: of several rules that set a field, the first in order has it."""
    return next((value for value in values if value is not None), None)
