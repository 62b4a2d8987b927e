"""What rules make of a ticket: of several that set a field, the first in order has it; tags add up."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.ladders import Frozen
from domain.priority import Priority
from domain.rules.evaluation import Facts, RuleSet
from domain.rules.rule import Decided, EscalationActions, RoutingActions, RoutingRule, acting, decide


class Properties(Frozen):
    """What a ticket has been given so far; ``None`` where nobody has said anything."""

    team_id: UUID | None = None
    assignee_id: UUID | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] = ()
    sla_policy_id: UUID | None = None

    def with_actions(self, actions: Iterable[EscalationActions | RoutingActions]) -> "Properties":
        """These, and where there is nothing yet, what ``actions`` say."""
        result = self
        for each in actions:
            given = Properties(**each.model_dump(include=set(Properties.model_fields)))
            empty = {name: value for name, value in given if name != "tags" and getattr(result, name) is None}
            result = result.model_copy(update={**empty, "tags": tuple(dict.fromkeys((*result.tags, *given.tags)))})
        return result


def route(
    rules: RuleSet[RoutingRule], facts: Facts, given: Properties, now: datetime
) -> tuple[Properties, list[Decided[RoutingActions]]]:
    """What a new ticket is given, and the rules that had a part in it. Rules see the tags the ticket comes with."""
    decided = decide(rules, replace(facts, tags=facts.tags | set(given.tags)), {}, now)
    return given.with_actions(acting(decided)), decided
