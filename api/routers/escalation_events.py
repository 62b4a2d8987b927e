"""Escalation events: which customers' messages call for attention, and what happens then."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response

from api.dependencies import Caller, Session
from api.idempotency import Idempotency
from api.pagination import Page, Paging
from api.rules import ESCALATION_EVENTS, Rules
from api.schemas.decision import DecisionView
from api.schemas.rule import (
    EscalationEventDocument,
    EscalationEventsView,
    EscalationEventVersionView,
    EscalationEventView,
    ModeDocument,
    RuleOrderDocument,
)
from domain.rules.rule import Outcome

router = APIRouter(prefix="/escalation-events", tags=["rules"])

Own = Rules[EscalationEventDocument, EscalationEventView, EscalationEventVersionView, EscalationEventsView]


async def _own(caller: Caller, session: Session) -> Own:
    return Rules(session, caller, ESCALATION_EVENTS)


OwnRules = Annotated[Own, Depends(_own)]


@router.post("", status_code=201, response_model=EscalationEventView, summary="Create an escalation event")
async def create_escalation_event(document: EscalationEventDocument, rules: OwnRules, request: Idempotency) -> Response:
    """The new event is the last in order, and looks at the next message."""
    return await rules.create(document, request)


@router.get("", summary="List escalation events in their order")
async def list_escalation_events(rules: OwnRules) -> EscalationEventsView:
    return await rules.all()


@router.put("/order", response_model=EscalationEventsView, summary="Put the escalation events into another order")
async def reorder_escalation_events(document: RuleOrderDocument, rules: OwnRules, request: Idempotency) -> Response:
    """All ids, each once. Of several that match a message, the first gives its ticket each field."""
    return await rules.reorder(document, request)


@router.get("/{rule_id}", summary="Read an escalation event")
async def read_escalation_event(rule_id: UUID, rules: OwnRules) -> EscalationEventView:
    return await rules.read(rule_id)


@router.put("/{rule_id}", response_model=EscalationEventView, summary="Replace an escalation event by a new version")
async def replace_escalation_event(
    rule_id: UUID, document: EscalationEventDocument, rules: OwnRules, request: Idempotency
) -> Response:
    """The next message is judged by the new version; those before it are kept."""
    return await rules.replace(rule_id, document, request)


@router.put(
    "/{rule_id}/mode", response_model=EscalationEventView, summary="Switch an escalation event on, into shadow or off"
)
async def switch_escalation_event(
    rule_id: UUID, document: ModeDocument, rules: OwnRules, request: Idempotency
) -> Response:
    """In shadow it decides and is recorded, and has no effect."""
    return await rules.switch(rule_id, document, request)


@router.delete("/{rule_id}", status_code=204, response_class=Response, summary="Delete an escalation event")
async def delete_escalation_event(rule_id: UUID, rules: OwnRules, request: Idempotency) -> Response:
    """What it has decided is kept with its conversations and tickets."""
    return await rules.delete(rule_id, request)


@router.get("/{rule_id}/versions", summary="List the versions of an escalation event")
async def list_escalation_event_versions(
    rule_id: UUID, rules: OwnRules, place: Paging
) -> Page[EscalationEventVersionView]:
    """The first version first."""
    return await rules.versions(rule_id, place)


@router.get("/{rule_id}/decisions", summary="List what an escalation event has decided, and why")
async def list_escalation_event_decisions(
    rule_id: UUID, rules: OwnRules, place: Paging, outcome: Annotated[Outcome | None, Query()] = None
) -> Page[DecisionView]:
    """The newest first."""
    return await rules.decisions(rule_id, place, outcome)
