"""What rules decided, as clients see it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.schemas.fields import View


class EvidenceView(View):
    """A condition that held: where in the rule, what matched, and where in the text."""

    path: str = Field(examples=["conditions/any/0/keyword"])
    kind: str = Field(examples=["keyword"])
    matched: str = Field(examples=["refund"])
    span: tuple[int, int] | None = None


class DecisionView(View):
    """A rule that matched a message (escalation events) or a new ticket (routing rules): why, and what came of it."""

    id: UUID
    kind: str = Field(examples=["escalation_event"])
    rule_id: UUID
    rule_name: str
    rule_version: int
    conversation_id: UUID
    message_id: UUID | None
    ticket_id: UUID | None
    outcome: str = Field(examples=["acted"], description="`acted`, `shadow` or `cooldown`.")
    evidence: list[EvidenceView]
    actions: dict[str, Any] = Field(description="What it did, or would have done.")
    at: datetime
