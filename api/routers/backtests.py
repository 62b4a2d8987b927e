"""Back-tests of escalation events and routing rules, as they run."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response

from api.backtests import AnyRules, Backtests
from api.dependencies import AppServices, Caller, Session
from api.idempotency import Idempotency
from api.pagination import Page, Paging
from api.rule_router import own_rules
from api.rules import ESCALATION_EVENTS, ROUTING_RULES
from api.schemas.backtest import (
    BacktestFindingsView,
    BacktestView,
    EscalationEventBacktestDocument,
    RoutingRuleBacktestDocument,
)

router = APIRouter(tags=["rules"])


async def _backtests(services: AppServices, caller: Caller, session: Session) -> Backtests:
    return Backtests(services, session, caller)


OwnBacktests = Annotated[Backtests, Depends(_backtests)]
OwnEscalationEvents = Annotated[AnyRules, Depends(own_rules(ESCALATION_EVENTS))]
OwnRoutingRules = Annotated[AnyRules, Depends(own_rules(ROUTING_RULES))]


@router.post(
    "/escalation-events/backtests",
    status_code=202,
    response_model=BacktestFindingsView,
    summary="Try an escalation event on what customers wrote",
)
async def try_escalation_event(
    document: EscalationEventBacktestDocument,
    backtests: OwnBacktests,
    rules: OwnEscalationEvents,
    request: Idempotency,
) -> Response:
    """In which conversations it would have acted, and in which the rule it is to replace. Nothing else happens."""
    return await backtests.start(rules, document, request)


@router.post(
    "/routing-rules/backtests",
    status_code=202,
    response_model=BacktestFindingsView,
    summary="Try a routing rule on the tickets there were",
)
async def try_routing_rule(
    document: RoutingRuleBacktestDocument, backtests: OwnBacktests, rules: OwnRoutingRules, request: Idempotency
) -> Response:
    """On which new tickets it would have acted, and on which the rule it is to replace. Nothing else happens."""
    return await backtests.start(rules, document, request)


@router.get("/backtests", summary="List back-tests")
async def list_backtests(backtests: OwnBacktests, place: Paging) -> Page[BacktestView]:
    """The newest first."""
    return await backtests.page(place)


@router.get("/backtests/{backtest_id}", summary="Read how far a back-test is and what it has found")
async def read_backtest(backtest_id: UUID, backtests: OwnBacktests) -> BacktestFindingsView:
    return await backtests.read(backtest_id)


@router.post("/backtests/{backtest_id}/stop", response_model=BacktestFindingsView, summary="Stop a back-test")
async def stop_backtest(backtest_id: UUID, backtests: OwnBacktests, request: Idempotency) -> Response:
    """What it has found stays. One that is over stays as it is."""
    return await backtests.stop(backtest_id, request)
