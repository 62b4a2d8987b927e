"""Routing rules: where new tickets go."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from api.dependencies import Caller, Session
from api.idempotency import Idempotency
from api.pagination import Page, Paging
from api.rules import ROUTING_RULES, Rules
from api.schemas.decision import DecisionView
from api.schemas.rule import (
    ModeDocument,
    RoutingRuleDocument,
    RoutingRulesView,
    RoutingRuleVersionView,
    RoutingRuleView,
    RuleOrderDocument,
)
from domain.rules.rule import Outcome

router = APIRouter(prefix="/routing-rules", tags=["rules"])

Own = Rules[RoutingRuleDocument, RoutingRuleView, RoutingRuleVersionView, RoutingRulesView]


async def _own(caller: Caller, session: Session) -> Own:
    return Rules(session, caller, ROUTING_RULES)


OwnRules = Annotated[Own, Depends(_own)]


@router.post("", status_code=201, response_model=RoutingRuleView, summary="Create a routing rule")
async def create_routing_rule(document: RoutingRuleDocument, rules: OwnRules, request: Idempotency) -> Response:
    """The new rule is the last in order, and looks at the next ticket."""
    return await rules.create(document, request)


@router.get("", summary="List routing rules in their order")
async def list_routing_rules(rules: OwnRules) -> RoutingRulesView:
    return await rules.all()


@router.put("/order", response_model=RoutingRulesView, summary="Put the routing rules into another order")
async def reorder_routing_rules(document: RuleOrderDocument, rules: OwnRules, request: Idempotency) -> Response:
    """All ids, each once. Of several that match a ticket, the first gives it each field."""
    return await rules.reorder(document, request)


@router.get("/{rule_id}", summary="Read a routing rule")
async def read_routing_rule(rule_id: UUID, rules: OwnRules) -> RoutingRuleView:
    return await rules.read(rule_id)


@router.put("/{rule_id}", response_model=RoutingRuleView, summary="Replace a routing rule by a new version")
async def replace_routing_rule(
    rule_id: UUID, document: RoutingRuleDocument, rules: OwnRules, request: Idempotency
) -> Response:
    """The next ticket is judged by the new version; those before it are kept."""
    return await rules.replace(rule_id, document, request)


@router.put("/{rule_id}/mode", response_model=RoutingRuleView, summary="Switch a routing rule on, into shadow or off")
async def switch_routing_rule(rule_id: UUID, document: ModeDocument, rules: OwnRules, request: Idempotency) -> Response:
    """In shadow it decides and is recorded, and has no effect."""
    return await rules.switch(rule_id, document, request)


@router.delete("/{rule_id}", status_code=204, response_class=Response, summary="Delete a routing rule")
async def delete_routing_rule(rule_id: UUID, rules: OwnRules, request: Idempotency) -> Response:
    """What it has decided is kept with its conversations and tickets."""
    return await rules.delete(rule_id, request)


@router.get("/{rule_id}/versions", summary="List the versions of a routing rule")
async def list_routing_rule_versions(rule_id: UUID, rules: OwnRules, place: Paging) -> Page[RoutingRuleVersionView]:
    """The first version first."""
    return await rules.versions(rule_id, place)


@router.get("/{rule_id}/decisions", summary="List what a routing rule has decided, and why")
async def list_routing_rule_decisions(
    rule_id: UUID, rules: OwnRules, place: Paging, outcome: Annotated[Outcome | None, Query()] = None
) -> Page[DecisionView]:
    """The newest first."""
    return await rules.decisions(rule_id, place, outcome)
