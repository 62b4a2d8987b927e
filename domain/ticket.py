"""A ticket: its statuses, the one table of moves between them, and the state its workflow owns."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from domain.clocks import Clocks, Metric
from domain.errors import IllegalTransition
from domain.ladders import Frozen, LadderRun, ReminderLadder, ReminderStep
from domain.priority import Priority

MAX_TITLE = 200
MAX_DESCRIPTION = 20_000
MAX_TAGS = 50
MAX_TAG = 50

ERASED_TITLE = "Erased"
"""What a ticket is called once its requester's words have been erased."""


class Status(StrEnum):
    """Where a ticket stands."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    RESOLVED = "resolved"
    CLOSED = "closed"


class Move(StrEnum):
    """The name of a transition."""

    START = "start"
    UNASSIGN = "unassign"
    WAIT = "wait"
    RESUME = "resume"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    CLOSE = "close"


TRANSITIONS: Mapping[Status, Mapping[Status, Move]] = MappingProxyType(
    {
        Status.OPEN: MappingProxyType(
            {Status.IN_PROGRESS: Move.START, Status.WAITING: Move.WAIT, Status.RESOLVED: Move.RESOLVE}
        ),
        Status.IN_PROGRESS: MappingProxyType(
            {Status.OPEN: Move.UNASSIGN, Status.WAITING: Move.WAIT, Status.RESOLVED: Move.RESOLVE}
        ),
        Status.WAITING: MappingProxyType(
            {Status.OPEN: Move.UNASSIGN, Status.IN_PROGRESS: Move.RESUME, Status.RESOLVED: Move.RESOLVE}
        ),
        Status.RESOLVED: MappingProxyType(
            {Status.OPEN: Move.REOPEN, Status.IN_PROGRESS: Move.REOPEN, Status.CLOSED: Move.CLOSE}
        ),
        Status.CLOSED: MappingProxyType({Status.OPEN: Move.REOPEN, Status.IN_PROGRESS: Move.REOPEN}),
    }
)
"""From, to, and what the move is called. The workflow, the API's 409 answers and the docs read this table."""

ACTIVE = frozenset({Status.OPEN, Status.IN_PROGRESS, Status.WAITING})
"""Statuses in which somebody still owes the customer something, or waits for them."""


def legal_targets(status: Status) -> list[str]:
    """The statuses that can be reached from ``status``, in the lifecycle's order."""
    return [target.value for target in Status if target in TRANSITIONS[status]]


def move_between(current: Status, target: Status) -> Move:
    """The move's name; ``IllegalTransition`` with the legal targets when the table has none."""
    move = TRANSITIONS[current].get(target)
    if move is None:
        legal = legal_targets(current)
        raise IllegalTransition(
            f"A ticket that is {current} cannot become {target}; it can become {', '.join(legal)}.",
            current=current.value,
            requested=target.value,
            legal=legal,
        )
    return move


class Source(StrEnum):
    """What raised the ticket."""

    ASSISTANT = "assistant"
    FLOW = "flow"
    TAKEOVER = "takeover"
    RULE = "rule"
    API = "api"
    SLA = "sla"


class ChannelKind(StrEnum):
    """Where the conversation happens."""

    WEBCHAT = "webchat"
    EMAIL = "email"
    WHATSAPP = "whatsapp"
    INSTAGRAM = "instagram"
    TELEGRAM = "telegram"
    SMS = "sms"
    API = "api"


class WaitingRun(Frozen):
    """One waiting period on its reminder ladder; the ladder is the one in force when it began."""

    ladder: ReminderLadder
    episode: int
    began_at: datetime
    step: int = 0

    @property
    def current(self) -> ReminderStep | None:
        """The step that is waited for; ``None`` when the ladder has none left."""
        return self.ladder.steps[self.step] if self.step < len(self.ladder.steps) else None

    @property
    def due_at(self) -> datetime | None:
        """When the current step is due."""
        return self.began_at + self.current.after if self.current else None


class BreachLadder(Frozen):
    """What follows a breach: once for each episode of a metric.

    ``run`` is ``None`` once it was stopped or has come to its end, and where the policy has no ladder.
    """

    metric: Metric
    episode: int
    run: LadderRun | None = None


class Ticket(Frozen):
    """Everything a ticket's workflow decides from; what the read model keeps is equal to it.

    ``version`` counts events, from 1 without a gap. ``*_episode`` number the waiting periods and
    the assignments, so that a second one is never mistaken for a repetition of the first.
    ``unanswered_since`` is the oldest customer message no human has answered. Names of teams and
    people are those of the moment they were set. ``sla_asked`` counts what has happened that may call
    for other deadlines, ``sla_planned`` how far the deadlines of ``clocks`` have kept up with it.
    ``sla_policy_id`` is the policy a routing rule chose, whatever that policy's conditions say.
    ``merged_into`` is the ticket that took this one over for good; it is closed then and never reopens.
    """

    id: UUID
    organization_id: UUID
    number: int
    title: str
    status: Status = Status.OPEN
    priority: Priority = Priority.NORMAL
    tags: tuple[str, ...] = ()
    source: Source = Source.API
    channel: ChannelKind = ChannelKind.API
    requester_id: UUID
    conversation_id: UUID
    follow_up_of: UUID | None = None
    merged_into: UUID | None = None
    team_id: UUID | None = None
    team_name: str | None = None
    assignee_id: UUID | None = None
    assignee_name: str | None = None

    version: int = 0
    created_at: datetime
    updated_at: datetime
    status_since: datetime
    assigned_at: datetime | None = None
    assignment_episode: int = 0
    waiting_episode: int = 0
    unanswered_since: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reopened: int = 0
    escalated: int = 0

    reminders: WaitingRun | None = None
    acknowledgement: LadderRun | None = None
    auto_close_at: datetime | None = None
    reopen_until: datetime | None = None

    clocks: Clocks = Clocks()
    sla_asked: int = 0
    sla_planned: int = 0
    sla_policy_id: UUID | None = None
    breach_ladders: tuple[BreachLadder, ...] = ()

    @property
    def breached(self) -> bool:
        """Whether a metric has been breached, and not begun anew since."""
        return any(clock.breached_at for clock in self.clocks.all())

    @property
    def label(self) -> str:
        """Number and title, as people name a ticket."""
        return f"#{self.number} {self.title}"
