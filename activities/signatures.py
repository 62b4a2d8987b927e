"""What workflows ask of activities: names and models, without the code that does it."""

from uuid import UUID

from pydantic import Field

from domain.commands import Remembered
from domain.events import Actor, TicketEvent
from domain.ladders import Frozen, Successor
from domain.terms import Terms
from domain.ticket import Ticket

RECORD_TICKET = "record_ticket"
LOAD_TICKET = "load_ticket"
CHOOSE_ASSIGNEE = "choose_assignee"
TELL_TICKETS = "tell_tickets"
LIST_TICKETS_TO_ERASE = "list_tickets_to_erase"
ERASE_TICKET = "erase_ticket"
ERASE_REQUESTER = "erase_requester"
LIST_FILES = "list_files"
EXPORT_PAGE = "export_page"
FINISH_EXPORT = "finish_export"
EXPIRE_EXPORT = "expire_export"


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


class EraseRequester(Frozen):
    """Which requester is erased, and who asked for it; ``after`` is the ticket the last page ended with."""

    organization_id: UUID
    requester_id: UUID
    erasure_id: UUID
    actor: Actor
    after: UUID | None = None
    tickets: int = 0


class TicketsToErase(Frozen):
    """A page of the requester's tickets; ``last`` is where the next begins, ``None`` when there is none."""

    ids: tuple[UUID, ...]
    last: UUID | None


class EraseTicket(Frozen):
    """Erase the words on one ticket, from its workflow and its record."""

    organization_id: UUID
    ticket_id: UUID
    erasure_id: UUID
    actor: Actor


class ExportRequest(Frozen):
    """The export that something is done for."""

    organization_id: UUID
    export_id: UUID


class ExportFiles(Frozen):
    """The files of an export, in the order in which they are written."""

    names: tuple[str, ...]


class ExportPageRequest(ExportRequest):
    """Write one page of a file, the rows behind ``after``."""

    file: str
    number: int
    after: tuple[str, ...] | None = None


class ExportedPage(Frozen):
    """A page that is written; ``last`` is where the next begins, ``None`` when there is none.

    ``given_up``: the export is no longer wanted, and nothing was written.
    """

    rows: int
    last: tuple[str, ...] | None
    given_up: bool = False
