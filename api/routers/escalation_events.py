"""Escalation events: which customers' messages call for attention, and what happens then."""

from api.rule_router import Words, rule_router
from api.rules import ESCALATION_EVENTS

router = rule_router(ESCALATION_EVENTS, "/escalation-events", Words("an", "event", "message", gets="its ticket"))
