"""Tickets to test decisions on: in each status, reached by the moves that lead there."""

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid5

from domain import lifecycle
from domain.commands import Assign, ChangeStatus
from domain.events import Actor, ActorKind
from domain.ladders import DEFAULT_REMINDERS, acknowledgement_ladder
from domain.sla import SlaPolicy
from domain.sla_planning import plan
from domain.terms import SlaTerms, Terms, adopt
from domain.ticket import Status, Ticket

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LIMIT = timedelta(minutes=30)
TERMS = Terms(
    reminders=DEFAULT_REMINDERS,
    acknowledgement=acknowledgement_ladder(LIMIT),
    auto_close_after=timedelta(days=3),
    reopen_window=timedelta(days=30),
)

_NAMESPACE = UUID("7d1d5b0e-6f0c-4f0e-9a2e-3d8f1c5a7b90")
_numbers = count(1)


def named(name: str) -> UUID:
    """The id that belongs to ``name`` in every test."""
    return uuid5(_NAMESPACE, name)


def member(name: str) -> Actor:
    return Actor(kind=ActorKind.MEMBER, id=named(name), name=name)


ANA, BEN = member("Ana"), member("Ben")
CUSTOMER = Actor(kind=ActorKind.CUSTOMER, id=named("Customer"), name="Customer")
API = Actor(kind=ActorKind.API_KEY, id=named("Key"), name="Key")


def request() -> str:
    """A request id nobody has used."""
    return f"request-{next(_numbers)}"


def new_ticket(**changes: object) -> Ticket:
    """A ticket before its first event."""
    values: dict[str, object] = {
        "id": named("ticket"),
        "organization_id": named("organization"),
        "number": 7,
        "title": "Refund for order 1001",
        "requester_id": named("requester"),
        "conversation_id": named("conversation"),
        "created_at": NOW,
        "updated_at": NOW,
        "status_since": NOW,
    }
    return Ticket.model_validate({**values, **changes})


def to(status: Status, actor: Actor = API, **fields: object) -> ChangeStatus:
    """The command to move to ``status``."""
    return ChangeStatus.model_validate({"request_id": request(), "actor": actor, "to": status, **fields})


def assign_to(name: str | None, actor: Actor = API, **fields: object) -> Assign:
    """The command to give the ticket to the member called ``name``, or to nobody."""
    who = {"assignee_id": named(name) if name else None, "assignee_name": name}
    return Assign.model_validate(
        {"request_id": request(), "actor": actor, "fields": {"assignee"}, **who, **fields},
    )


_WAY: dict[Status, tuple[Status, ...]] = {
    Status.OPEN: (),
    Status.IN_PROGRESS: (Status.IN_PROGRESS,),
    Status.WAITING: (Status.IN_PROGRESS, Status.WAITING),
    Status.RESOLVED: (Status.IN_PROGRESS, Status.RESOLVED),
    Status.CLOSED: (Status.IN_PROGRESS, Status.RESOLVED, Status.CLOSED),
}


def ticket_in(status: Status, *, assignee: str | None = "Ana", terms: Terms = TERMS) -> Ticket:
    """A ticket that has come to ``status`` and knows its terms."""
    ticket = lifecycle.create(new_ticket(), API, NOW, request(), "print").ticket
    if assignee:
        ticket = lifecycle.decide(ticket, assign_to(assignee), NOW).ticket
    for step in _WAY[status]:
        ticket = recorded(lifecycle.decide(ticket, to(step), NOW).ticket, terms)
    return recorded(ticket, terms)


def recorded(ticket: Ticket, terms: Terms = TERMS, policy: SlaPolicy | None = None) -> Ticket:
    """The ticket once it is in the read model and has taken on the terms that were found there."""
    found = plan(ticket.clocks, policy, None, ticket.priority, ticket.updated_at)
    return adopt(ticket, terms.model_copy(update={"sla": SlaTerms(asked=ticket.sla_asked, plan=found)}))
