"""What rules decided, as it is kept and told."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from db.models import Decision
from domain.ids import decision_id
from domain.rules.rule import Decided, Outcome, RuleKind


def decision_row(
    kind: RuleKind, decided: Decided[Any], organization_id: UUID, of_id: UUID, at: datetime
) -> dict[str, Any]:
    """A row of ``decisions``: of the message ``of_id`` (escalation events), or of that ticket (routing rules).

    Its conversation, and the ticket of an escalation event, are the caller's to add.
    """
    rule = decided.rule
    of_message = kind is RuleKind.ESCALATION_EVENT
    return {
        "id": decision_id(of_id, rule.id),
        "organization_id": organization_id,
        "kind": kind,
        "rule_id": rule.id,
        "rule_name": rule.name,
        "rule_version": rule.version,
        "message_id": of_id if of_message else None,
        "ticket_id": None if of_message else of_id,
        "outcome": decided.outcome,
        "evidence": evidence_rows(decided),
        "actions": rule.actions.model_dump(mode="json", exclude_defaults=True),
        "at": at,
    }


def evidence_rows(decided: Decided[Any]) -> list[dict[str, Any]]:
    """What matched, as it is stored and shown."""
    return [
        {"path": each.path, "kind": each.kind, "matched": each.matched, "span": each.span} for each in decided.evidence
    ]


def because(decided: Iterable[Decided[Any]]) -> list[dict[str, JsonValue]]:
    """The part that rules had in a ticket, as its first event tells it."""
    told: list[dict[str, JsonValue]] = []
    for each in decided:
        if each.outcome is Outcome.ACTED:
            rule = each.rule
            matched: list[JsonValue] = [f"{item.kind}: {item.matched}" for item in each.evidence]
            told.append({"rule_id": str(rule.id), "rule": rule.name, "version": rule.version, "matched": matched})
    return told


def why(decided: Decided[Any]) -> str:
    """The rule and what it matched, in a line."""
    return _line(decided.rule.name, evidence_rows(decided))


def why_of(decision: Decision) -> str:
    """The same of what is kept."""
    return _line(decision.rule_name, decision.evidence)


def _line(rule: str, evidence: Sequence[Mapping[str, Any]]) -> str:
    matched = "; ".join(f"{each['kind']}: {each['matched']}" for each in evidence[:3])
    return f"{rule} ({matched})"[:500]
