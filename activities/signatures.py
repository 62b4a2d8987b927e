"""What workflows ask of activities: names and models, without the code that does it."""

from uuid import UUID

from pydantic import Field, JsonValue

from domain.commands import Absorb, AgentReplied, CustomerReplied, NoteAdded, Remembered
from domain.events import TicketEvent
from domain.ladders import Frozen, Successor
from domain.terms import Terms
from domain.ticket import Ticket

RECORD_TICKET = "record_ticket"
LOAD_TICKET = "load_ticket"
CHOOSE_ASSIGNEE = "choose_assignee"
TELL_TICKETS = "tell_tickets"
MERGE_TICKET = "merge_ticket"
FORWARD_FACT = "forward_fact"
CHANGE_TICKETS = "change_tickets"


class TicketBatch(Frozen):
    """What happened to a ticket since the last batch; ``ticket`` is the state after the last event.

    ``answers`` holds, by request id, the state a command was answered with where a later event of
    the same batch has changed it again. ``description`` comes with the batch that creates the ticket.
    """

    ticket: Ticket
    events: tuple[TicketEvent, ...]
    answers: dict[str, Ticket] = Field(default_factory=dict)
    description: str | None = None


class Recorded(Frozen):
    """The batch is in the read model; ``terms`` are what the ticket asked for, if it asked."""

    terms: Terms | None = None


class LoadTicket(Frozen):
    """Read a closed ticket's state, to begin a new run with, and its latest ``requests`` requests."""

    ticket_id: UUID
    requests: int


class LoadedTicket(Frozen):
    """What a new run begins with; ``remembered`` is by request id, the oldest first."""

    ticket: Ticket
    remembered: dict[str, Remembered]


class ChooseAssignee(Frozen):
    """Find who takes a ticket over: not anybody in ``tried``, nor its present assignee."""

    organization_id: UUID
    team_id: UUID | None
    assignee_id: UUID | None
    tried: tuple[UUID, ...]
    successor: Successor


class TellTickets(Frozen):
    """Tell one page of running tickets, those with ids after ``after``, that rules have changed."""

    organization_id: UUID
    rollout_id: UUID
    reason: str
    after: UUID | None = None


class ToldTickets(Frozen):
    """What became of a page; ``last`` is where the next begins, ``None`` when there is none."""

    examined: int
    told: int
    last: UUID | None


class MergeTicket(Frozen):
    """Decide whether a ticket may go into ``target_id``, and have that one, or what that one went into, take over."""

    organization_id: UUID
    target_id: UUID
    absorb: Absorb


class Refusal(Frozen):
    """A ``domain.errors.DomainError`` on its way through Temporal."""

    code: str
    message: str
    context: dict[str, JsonValue] = Field(default_factory=dict)


class MergedTicket(Frozen):
    """The ticket that took over, or why none did."""

    into: UUID | None = None
    refusal: Refusal | None = None


class ForwardFact(Frozen):
    """Tell a fact that came to a merged ticket to the one that goes on; one of the facts is given."""

    target_id: UUID
    customer_replied: CustomerReplied | None = None
    agent_replied: AgentReplied | None = None
    note_added: NoteAdded | None = None


class ChangeTickets(Frozen):
    """Change the next page of a bulk change's tickets, from ``examined`` on."""

    bulk_change_id: UUID
    examined: int


class ChangedTickets(Frozen):
    """How far the bulk change has come; ``over`` when there is nothing left to do."""

    examined: int
    over: bool
