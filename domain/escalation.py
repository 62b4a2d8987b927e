"""An escalation: its states, the one table of moves between them, and the state its workflow owns."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from domain.clocks import Metric
from domain.errors import EscalationOver, NotClaimed
from domain.ladders import EscalationLadder, Frozen, LadderRun, LadderStep, Notify, Target
from domain.priority import Priority
from domain.sla_notices import overdue
from domain.ticket import ChannelKind, Source

MOST_REASONS = 20
"""Reasons an escalation holds itself; all of them are in the read model."""


class EscalationStatus(StrEnum):
    """Where an escalation stands."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"


class EscalationMove(StrEnum):
    """The name of a transition."""

    CLAIM = "claim"
    RETURN = "return"
    RESOLVE = "resolve"
    DISMISS = "dismiss"


_END = {EscalationStatus.RESOLVED: EscalationMove.RESOLVE, EscalationStatus.DISMISSED: EscalationMove.DISMISS}

ESCALATION_TRANSITIONS: Mapping[EscalationStatus, Mapping[EscalationStatus, EscalationMove]] = MappingProxyType(
    {
        EscalationStatus.QUEUED: MappingProxyType({EscalationStatus.CLAIMED: EscalationMove.CLAIM, **_END}),
        EscalationStatus.CLAIMED: MappingProxyType({EscalationStatus.QUEUED: EscalationMove.RETURN, **_END}),
        EscalationStatus.RESOLVED: MappingProxyType({}),
        EscalationStatus.DISMISSED: MappingProxyType({}),
    }
)
"""From, to, and what the move is called. The workflow, the API's 409 answers and the docs read this table."""

LIVE = frozenset(status for status, targets in ESCALATION_TRANSITIONS.items() if targets)
"""Statuses of which a conversation has one at most."""


def check_move(current: EscalationStatus, target: EscalationStatus) -> None:
    """Refuse a move the table does not have, in words that say what can be done instead."""
    if target in ESCALATION_TRANSITIONS[current]:
        return
    if current in LIVE:
        raise NotClaimed(f"The escalation is {current}; only a claimed one can go back.", current=current.value)
    raise EscalationOver(f"The escalation is {current} already.", current=current.value)


QUEUE_LADDER = EscalationLadder(
    name="Unclaimed",
    steps=(
        LadderStep(wait=timedelta(minutes=5), actions=(Notify(targets=(Target.TEAM,)),)),
        LadderStep(wait=timedelta(minutes=10), actions=(Notify(targets=(Target.SUPERVISORS,)),)),
    ),
    repeat=2,
)
"""What follows on the first notice where the team has no ladder for its queue."""

SILENCE_LIMIT = timedelta(minutes=30)
"""How long who has a conversation may leave its customer waiting, or be offline, where the team does not say."""


class Reason(Frozen):
    """Why a human is needed; ``id`` is what it is known by, so that it counts once.

    Nothing here quotes the customer or what somebody noted: such words stay in Postgres.
    """

    id: UUID
    source: Source
    at: datetime
    priority: Priority | None = None
    rule_id: UUID | None = None
    rule_version: int | None = None
    rule_name: str | None = None
    flow_id: str | None = None
    node_id: str | None = None
    metric: Metric | None = None
    """Whose breach it was."""
    by: str | None = None
    """Who took over, or which program asked."""

    @property
    def words(self) -> str:
        """The reason as a sentence, for whoever is told."""
        if self.source is Source.RULE:
            return f"The rule “{self.rule_name}” matched what the customer wrote."
        if self.source is Source.SLA and self.metric:
            return overdue(self.metric)
        if self.source is Source.TAKEOVER:
            return f"{self.by or 'Somebody'} took the conversation over."
        return _WORDS[self.source]


_WORDS = {
    Source.ASSISTANT: "The customer asked for a human.",
    Source.FLOW: "A chatbot's flow handed the conversation over.",
    Source.API: "A program asked for a human.",
    Source.SLA: "An SLA promise is overdue.",
}


class Climb(Frozen):
    """A ladder while it is climbed; it is the one in force when the escalation came into the queue.

    With ``business`` its waits count working time; then ``planned`` is false until somebody who has calendars has said
    when the current step is due (ADR 5). ``since`` is what its wait counts from.
    """

    run: LadderRun
    since: datetime
    business: bool = False
    planned: bool = True

    @property
    def over(self) -> bool:
        """Whether no step is left."""
        return self.run.due_at is None

    @property
    def due_at(self) -> datetime | None:
        """When the current step is due; ``None`` when it is not known yet, or none is left."""
        return self.run.due_at if self.planned else None

    @classmethod
    def begin(cls, ladder: EscalationLadder, episode: int, at: datetime, *, business: bool) -> "Climb":
        """The ladder from its first step on."""
        return cls(run=LadderRun.begin(ladder, episode, at), since=at, business=business, planned=not business)

    def advanced(self, now: datetime) -> "Climb":
        """After its current step was done; the next wait counts from when that step was due."""
        since = self.run.due_at or now
        run = self.run.advanced(now)
        if run.due_at is not None:  # whoever takes over at a step, nobody had the escalation before
            run = run.model_copy(update={"due_at": since + run.current.wait})
        return self.model_copy(update={"run": run, "since": since, "planned": not self.business or run.due_at is None})

    def with_due(self, due_at: datetime) -> "Climb":
        """With the moment at which the current step is due in working time."""
        return self.model_copy(update={"run": self.run.model_copy(update={"due_at": due_at}), "planned": True})


class Escalation(Frozen):
    """Everything an escalation's workflow decides from; what the read model keeps is equal to it.

    ``version`` counts changes, from 1 without a gap. ``waiting_since`` is the customer's first message that no human
    has answered, ``answered_at`` when one last did. ``stay`` numbers its stays in the queue, ``queued_at`` is when the
    present or last one began. ``first_claimed_at`` is when a human had it first. ``silence_limit`` is set while it is
    claimed; ``absent_since`` while its owner is offline.
    """

    id: UUID
    organization_id: UUID
    conversation_id: UUID
    requester_id: UUID
    channel: ChannelKind = ChannelKind.API
    status: EscalationStatus = EscalationStatus.QUEUED
    priority: Priority = Priority.NORMAL
    team_id: UUID | None = None
    owner_id: UUID | None = None
    owner_name: str | None = None
    ticket_id: UUID | None = None
    reasons: tuple[Reason, ...] = ()
    further_reasons: int = 0

    version: int = 0
    raised_at: datetime
    updated_at: datetime
    status_since: datetime
    queued_at: datetime
    stay: int = 1
    waiting_since: datetime | None = None
    answered_at: datetime | None = None
    first_claimed_at: datetime | None = None
    claimed_at: datetime | None = None
    closed_at: datetime | None = None

    climb: Climb | None = None
    silence_limit: timedelta | None = None
    absent_since: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is neither resolved nor dismissed."""
        return self.status in LIVE

    @property
    def in_line_since(self) -> datetime:
        """By when it is put into the queue, within its priority: since when the customer waits."""
        return self.waiting_since or self.raised_at

    @property
    def silent_since(self) -> datetime | None:
        """Since when whoever has it owes the customer an answer."""
        if self.status is not EscalationStatus.CLAIMED or self.claimed_at is None or self.waiting_since is None:
            return None
        return max(self.claimed_at, self.waiting_since)
