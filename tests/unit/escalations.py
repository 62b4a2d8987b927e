"""Escalations for unit tests."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from domain import escalation_lifecycle as lifecycle
from domain.escalation import QUEUE_LADDER, Escalation, Reason
from domain.escalation_commands import Claim, Raise, Spoken
from domain.escalation_lifecycle import Raised
from domain.escalation_timers import EscalationTerms, adopt
from domain.events import Actor, ActorKind
from domain.ladders import EscalationLadder
from domain.priority import Priority
from domain.ticket import Source

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANA = Actor(kind=ActorKind.MEMBER, id=uuid4(), name="Ana")
BEN = Actor(kind=ActorKind.MEMBER, id=uuid4(), name="Ben")
TEAM = uuid4()


def reason(source: Source = Source.ASSISTANT, **fields: object) -> Reason:
    return Reason.model_validate({"id": uuid4(), "source": source, "at": NOW, **fields})


def conversation(waiting_since: datetime | None = NOW - MINUTE) -> Raised:
    return Raised(
        organization_id=uuid4(),
        conversation_id=uuid4(),
        requester_id=uuid4(),
        spoken=Spoken(waiting_since=waiting_since),
    )


def queued(
    team_id: UUID | None = TEAM, ladder: EscalationLadder = QUEUE_LADDER, priority: Priority | None = None
) -> Escalation:
    """A recorded escalation in its team's queue, raised at ``NOW``, that knows its ladder."""
    raising = Raise(reason=reason(priority=priority), team_id=team_id)
    escalation = lifecycle.begin(conversation(), raising, NOW).escalation
    return adopt(escalation, EscalationTerms(ladder=ladder, team_id=team_id, stay=1))


def claim(by: Actor = ANA, request_id: str = "claim") -> Claim:
    assert by.id is not None
    return Claim(request_id=request_id, fingerprint="claim", actor=by, member_id=by.id, member_name=by.name or "")


def claimed(by: Actor = ANA, limit: timedelta = 30 * MINUTE, at: datetime = NOW) -> Escalation:
    """The same in a member's hands, who knows the limit."""
    escalation = lifecycle.decide(queued(), claim(by), at).escalation
    return adopt(escalation, EscalationTerms(silence_limit=limit))
