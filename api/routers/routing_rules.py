"""Routing rules: where new tickets go."""

from api.rule_router import Words, rule_router
from api.rules import ROUTING_RULES

router = rule_router(ROUTING_RULES, "/routing-rules", Words("a", "rule", "ticket", gets="it"))
