"""What goes into the workflows of tickets and escalations, and comes out of them."""

from uuid import UUID

from pydantic import Field, JsonValue

from domain.commands import Command, Remembered
from domain.escalation import Escalation
from domain.escalation_commands import Raise
from domain.escalation_story import EscalationChange
from domain.escalation_timers import EscalationTimer
from domain.events import Actor, TicketEvent
from domain.ladders import Frozen
from domain.ticket import Ticket
from domain.timers import Timer


class Created(Frozen):
    """The request that made the ticket; ``because`` are the rules that had a part in it, and what they matched."""

    actor: Actor
    request_id: str
    fingerprint: str
    description: str = ""
    because: list[dict[str, JsonValue]] = Field(default_factory=list)


class Entry(Frozen):
    """One decision that the read model does not have yet, and the state it led to."""

    events: tuple[TicketEvent, ...]
    after: Ticket


class StartTicket(Frozen):
    """The input of every run of a ticket's workflow.

    A new ticket brings ``ticket`` at version 0 and ``created``; a run that continues another brings
    all state; a run that reopens a closed ticket brings its id alone and reads the rest.
    """

    ticket_id: UUID
    ticket: Ticket | None = None
    created: Created | None = None
    description: str | None = None
    outbox: tuple[Entry, ...] = ()
    remembered: dict[str, Remembered] = Field(default_factory=dict)
    history_limit: int = 500


class Outcome(Frozen):
    """The answer to a command: the ticket as the command left it.

    ``fingerprint`` is that of the request the answer belongs to, so that whoever sent another
    content under the same id notices. ``repeated`` says that the effect is of an earlier run:
    ``version`` is then that effect's, ``ticket`` the state of now.
    """

    version: int
    fingerprint: str
    ticket: Ticket
    repeated: bool = False


class Submitted(Frozen):
    """A command sent as a signal, by a client that does not wait for the outcome."""

    command: Command


class LiveTicket(Frozen):
    """The state the workflow holds and what it waits for, the earliest first."""

    ticket: Ticket | None
    timers: tuple[Timer, ...]


class EscalationEntry(Frozen):
    """One decision on an escalation that the read model does not have yet, and the state it led to."""

    events: tuple[EscalationChange, ...]
    after: Escalation


class StartEscalation(Frozen):
    """The input of every run of an escalation's workflow.

    The first one brings the conversation's ids alone: what makes the escalation comes with a signal or an update. A run
    that continues another brings all state.
    """

    organization_id: UUID
    conversation_id: UUID
    escalation: Escalation | None = None
    outbox: tuple[EscalationEntry, ...] = ()
    remembered: dict[str, Remembered] = Field(default_factory=dict)
    waiting: tuple[Raise, ...] = ()
    """Reasons that came after the escalation had ended, for the next one."""
    dealt_with: tuple[str, ...] = ()
    """Requests that earlier escalations of the conversation have dealt with."""
    history_limit: int = 500


class EscalationOutcome(Frozen):
    """The answer to a command: the escalation as the command left it; as ``Outcome`` is for tickets."""

    version: int
    fingerprint: str
    escalation: Escalation
    repeated: bool = False


class LiveEscalation(Frozen):
    """The state the workflow holds and what it waits for, the earliest first."""

    escalation: Escalation | None
    timers: tuple[EscalationTimer, ...]
