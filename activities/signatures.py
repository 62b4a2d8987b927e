"""What workflows ask of activities: names and models, without the code that does it."""

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import Field, JsonValue

from domain.assignment import Offer
from domain.commands import Absorb, AgentReplied, CustomerReplied, NoteAdded, Remembered
from domain.delivery import DeliveryState
from domain.escalation import Escalation
from domain.escalation_lifecycle import Raised
from domain.escalation_story import EscalationChange
from domain.escalation_timers import EscalationTerms
from domain.events import Actor, TicketEvent
from domain.ladders import Frozen, Successor
from domain.mail import MailState
from domain.terms import Terms
from domain.ticket import Ticket

RECORD_TICKET = "record_ticket"
LOAD_TICKET = "load_ticket"
CHOOSE_ASSIGNEE = "choose_assignee"
TELL_TICKETS = "tell_tickets"
TRY_RULE = "try_rule"
HAND_OUT = "hand_out"
RELEASE_TICKETS = "release_tickets"
PLAN_MAIL = "plan_mail"
FOLD_MAIL = "fold_mail"
SEND_MAIL = "send_mail"
GIVE_MAIL_UP = "give_mail_up"
SWEEP = "sweep"
NEXT_DELIVERY = "next_delivery"
DELIVER = "deliver"
GIVE_DELIVERY_UP = "give_delivery_up"
MERGE_TICKET = "merge_ticket"
FORWARD_FACT = "forward_fact"
CHANGE_TICKETS = "change_tickets"
LIST_TICKETS_TO_ERASE = "list_tickets_to_erase"
ERASE_TICKET = "erase_ticket"
ERASE_REQUESTER = "erase_requester"
LIST_FILES = "list_files"
EXPORT_PAGE = "export_page"
FINISH_EXPORT = "finish_export"
EXPIRE_EXPORT = "expire_export"
LOAD_ESCALATION = "load_escalation"
RECORD_ESCALATION = "record_escalation"
LOOK_AFTER_ESCALATION = "look_after_escalation"


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
    """The batch is in the read model; ``terms`` are what the ticket asked for, if it asked.

    ``offer`` is who was chosen for a ticket that waits in its team's queue. ``leaver_id`` is an assignee who has been
    removed.
    """

    terms: Terms | None = None
    offer: Offer | None = None
    leaver_id: UUID | None = None


class LoadTicket(Frozen):
    """Read a closed ticket's state, to begin a new run with, and its latest ``requests`` requests."""

    ticket_id: UUID
    requests: int


class LoadedTicket(Frozen):
    """What a new run begins with; ``remembered`` is by request id, the oldest first."""

    ticket: Ticket
    remembered: dict[str, Remembered]


class LoadEscalation(Frozen):
    """Read the conversation that is escalated, and whether ``request_id`` has been dealt with already."""

    organization_id: UUID
    conversation_id: UUID
    request_id: str


class LoadedEscalation(Frozen):
    """What a new escalation begins with. ``known``: an earlier one has dealt with the request.

    ``live`` is one on record that has lost its workflow; it goes on. ``dealt_with`` are the latest requests that any of
    the conversation's has on record: they may come again, and are none of this one's.
    """

    of: Raised
    known: bool = False
    live: Escalation | None = None
    dealt_with: tuple[str, ...] = ()


class EscalationBatch(Frozen):
    """What happened to an escalation since the last batch; as ``TicketBatch`` is for tickets."""

    escalation: Escalation
    changes: tuple[EscalationChange, ...]
    answers: dict[str, Escalation] = Field(default_factory=dict)

    @property
    def organization_id(self) -> UUID:
        """Whose it is."""
        return self.escalation.organization_id


class RecordedEscalation(Frozen):
    """The batch is in the read model; ``terms`` are what the escalation asked for, and the conversation's times.

    ``leaver_id`` is an owner who has been removed.
    """

    terms: EscalationTerms
    leaver_id: UUID | None = None


class LookAfterEscalation(Frozen):
    """See whether an escalation's owner still owes an answer, and is still away."""

    organization_id: UUID
    conversation_id: UUID
    owner_id: UUID


class ChooseAssignee(Frozen):
    """Find who takes a ticket over: not anybody in ``tried``, nor its present assignee.

    ``episode`` is the number of assignments the ticket has had; asked again for it, the answer is the same.
    """

    organization_id: UUID
    team_id: UUID | None
    assignee_id: UUID | None
    tried: tuple[UUID, ...]
    successor: Successor
    ticket_id: UUID | None = None
    episode: int = 0


class HandOut(Frozen):
    """Give what waits in an organization's queues to whoever is free, and tell the tickets offered by ``cause``."""

    organization_id: UUID
    cause: UUID


class ReleaseTickets(Frozen):
    """Have a page of a removed member's tickets let go of them, those with ids after ``after``."""

    organization_id: UUID
    member_id: UUID
    release_id: UUID
    after: UUID | None = None


class ReleasedTickets(Frozen):
    """What became of a page; ``last`` is where the next begins, ``None`` when there is none."""

    told: int
    last: UUID | None


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


class TryRule(Frozen):
    """Try a back-test's rule on its next page, the one after ``pages`` pages."""

    backtest_id: UUID
    pages: int


class TriedRule(Frozen):
    """How far a back-test is: ``examined`` of about ``cases`` conversations or tickets. ``over`` ends it."""

    pages: int = 0
    examined: int = 0
    cases: int = 0
    messages: int = 0
    over: bool = False


class MemberMail(Frozen):
    """What a member is told by mail, as of ``now``, which is the workflow's."""

    member_id: UUID
    now: datetime


class MailPlan(Frozen):
    """When a member's next mail goes; ``None`` while they have nothing to be told."""

    due_at: datetime | None = None


class FoldedMail(Frozen):
    """The mail that notifications became; ``None`` where none was to go."""

    mail_id: UUID | None = None


class SendMail(Frozen):
    """A mail to be sent."""

    mail_id: UUID


class MailOutcome(Frozen):
    """What became of it, and in the server's words why."""

    state: MailState
    error: str | None = None


class DeliverNext(Frozen):
    """Find what a conversation has to be told first."""

    conversation_id: UUID


class Deliver(Frozen):
    """A delivery to be made."""

    organization_id: UUID
    delivery_id: UUID


class NextDelivery(Frozen):
    """What is to be delivered, ``None`` for nothing, and how much longer it is worth trying."""

    deliver: Deliver | None = None
    try_for: timedelta = timedelta()


class Delivered(Frozen):
    """What became of a delivery, and why."""

    state: DeliveryState
    reason: str | None = None


class Swept(Frozen):
    """What lay about: mails and members nobody was sending to; events and back-tests nobody will ask for.

    ``conversations`` are those with something to be delivered that nobody delivered. ``raisings``, ``spoken``,
    ``presences``, ``openings`` and ``messages`` are what escalations and tickets had not been told.
    """

    mails: int
    members: int
    forgotten: int
    backtests: int = 0
    conversations: int = 0
    raisings: int = 0
    spoken: int = 0
    presences: int = 0
    openings: int = 0
    messages: int = 0


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
