"""What is read back of a replay: tickets, conversations, escalations and deliveries, as those who have them say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.rules.rule import Outcome, RuleKind

Json = dict[str, Any]


@dataclass(frozen=True)
class TicketReading:
    """A ticket as its row, its story and its workflow have it; ``None`` where one of them does not know it.

    ``workflow`` is the document that the state it holds makes, with the fields that follow from that state alone.
    ``listed_as`` is the status under whose filter the lists show the row.
    """

    id: str
    view: Json | None
    listed_as: str | None
    events: Sequence[Json]
    workflow: Json | None


@dataclass(frozen=True)
class ConversationReading:
    """A conversation: its messages in the order in which they came in, and what rules decided in it."""

    external_id: str
    messages: Sequence[Json]
    decisions: Sequence[Json]

    @property
    def escalated_by(self) -> list[Json]:
        """The decisions of escalation events that asked for a ticket."""
        return [each for each in self.decisions if escalates(each)]

    def concerns_ticket(self) -> list[Json]:
        """Its customer's messages from the one on by which a rule first asked for a ticket."""
        asked = {each["message_id"] for each in self.escalated_by}
        customers = [each for each in self.messages if each["author_kind"] == "customer"]
        first = next((place for place, each in enumerate(customers) if each["id"] in asked), len(customers))
        return customers[first:]


@dataclass(frozen=True)
class EscalationReading:
    """An escalation as the lists show it, and as its workflow has it.

    A conversation's escalations come one after another, and its workflow holds the last: one that is ``replaced`` is
    compared with nothing. ``workflow`` is ``None`` too where Temporal does not have it.
    """

    id: str
    view: Json
    workflow: Json | None
    replaced: bool = False


@dataclass(frozen=True)
class TenantReading:
    """Everything of one organization; ``notices`` are the in-app notifications of its members about conversations.

    What the receiver got after ``deliveries_at`` (seconds of the epoch) may be missing among the deliveries.
    """

    brand: str
    tickets: Sequence[TicketReading]
    conversations: Sequence[ConversationReading]
    escalations: Sequence[EscalationReading] = ()
    deliveries: Sequence[Json] = ()
    notices: Sequence[Json] = ()
    deliveries_at: float = math.inf

    @property
    def messages(self) -> list[Json]:
        """Those of all its conversations."""
        return [message for conversation in self.conversations for message in conversation.messages]


def escalates(decision: Json) -> bool:
    """Whether a decision is that of an escalation event which asked for a ticket."""
    return (
        decision["kind"] == RuleKind.ESCALATION_EVENT
        and decision["outcome"] == Outcome.ACTED
        and bool(decision["actions"].get("create_ticket", True))
    )
