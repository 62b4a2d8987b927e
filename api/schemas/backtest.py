"""Back-tests of rules as clients ask for them and see them."""

from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from api.schemas.decision import EvidenceView
from api.schemas.fields import Document, Moment, Span, View
from api.schemas.rule import EscalationEventDocument, RoutingRuleDocument
from domain.rules.backtest import MOST_LISTED, BacktestStatus, FoundBy
from domain.rules.rule import RuleKind


class BacktestDocument(Document):
    """On what a rule is tried: the last days, or a range. With ``rule_id`` alone that rule is tried as it stands."""

    rule_id: UUID | None = Field(default=None, description="The rule that the draft is to replace: both are tried.")
    last: Span | None = Field(default=None, description="Instead of `since`; `P7D` are the last seven days.")
    since: Moment | None = None
    until: Moment | None = Field(default=None, description="Now, if left out.")

    def range(self, now: datetime) -> tuple[datetime, datetime]:
        """From when to when."""
        until = min(self.until or now, now)
        return self.since or until - (self.last or timedelta(0)), until

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.last is None) == (self.since is None):
            raise ValueError("needs either last or since")
        if self.since and self.until and self.since >= self.until:
            raise ValueError("since must come before until")
        if self.rule_id is None and getattr(self, "draft", None) is None:
            raise ValueError("needs a draft or a rule_id")
        return self


class EscalationEventBacktestDocument(BacktestDocument):
    """A draft or a kept escalation event, and the messages it is tried on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "draft": {"name": "Refunds", "conditions": {"keyword": ["refund", "money back"]}},
                    "last": "P7D",
                },
                {
                    "draft": {"name": "Refunds", "conditions": {"keyword": ["refund", "money back"]}},
                    "since": "2026-11-01T00:00:00Z",
                    "until": "2026-11-08T00:00:00Z",
                },
            ]
        }
    )

    draft: EscalationEventDocument | None = None


class RoutingRuleBacktestDocument(BacktestDocument):
    """A draft or a kept routing rule, and the new tickets it is tried on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "draft": {"name": "Refunds", "conditions": {"keyword": "refund"}, "actions": {"tags": ["money"]}},
                    "last": "P7D",
                }
            ]
        }
    )

    draft: RoutingRuleDocument | None = None


class ProgressView(View):
    """How much has been looked at."""

    examined: int = Field(description="Conversations (escalation events) or tickets (routing rules) that were passed.")
    of: int = Field(description="How many there are, about.")
    messages: int = Field(description="Customers' messages in the range that were looked at.")


class TallyView(View):
    """What a rule would have done."""

    cases: int = Field(description="Conversations, or tickets, in which it acts.")
    acted: int = Field(description="How often it acts in all of them.")
    cooldown: int = Field(description="How often it matches and rests, since it has acted not long before.")


class NotifiedView(View):
    """A member who would have been told."""

    id: UUID
    name: str
    times: int


class HitView(View):
    """A conversation, or a ticket, on which a rule would have acted, and the first message that made it."""

    conversation_id: UUID
    external_id: str | None = Field(description="The chat platform's own id of the conversation.")
    ticket_id: UUID | None
    message_id: UUID | None
    at: datetime
    found_by: FoundBy
    evidence: list[EvidenceView]


class BacktestView(View):
    """A back-test, and what it has found so far."""

    id: UUID
    kind: RuleKind
    rule_id: UUID | None
    replaces_version: int | None = Field(description="The version of the rule that the draft is compared with.")
    name: str
    since: datetime
    until: datetime
    status: BacktestStatus
    progress: ProgressView
    would_have: TallyView
    replaced_would_have: TallyView | None
    difference: dict[FoundBy, int] = Field(
        description="Conversations, or tickets, on which only the new rule acts, only the old one, or both."
    )
    notified: list[NotifiedView]
    created_at: datetime
    updated_at: datetime


class BacktestFindingsView(BacktestView):
    """A back-test with the conversations, or the tickets, it has found."""

    found: list[HitView] = Field(description=f"At most {MOST_LISTED} of each `found_by`.")
    definition: dict[str, Any] = Field(description="What is tried.")
    replaced_definition: dict[str, Any] | None
