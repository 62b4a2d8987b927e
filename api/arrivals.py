"""A message on its way through the front door."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from api.problems import Problem
from api.schemas.intake import IncomingMessage
from api.schemas.ticket import RequesterDocument
from db.conversations import Customer, KeptConversation, NewConversation, NewMessage
from db.models import Decision
from domain.ids import requester_id
from domain.reading import Reading
from domain.rules.rule import Decided, EscalationActions
from workflows.messages import StartTicket


class ReadMessage(NamedTuple):
    """A message as it was sent, with its conversation's external id; ``reading`` is what a customer's says."""

    external_id: str
    document: IncomingMessage
    reading: Reading | None


@dataclass
class Arrival:
    """A message on its way in, and what is known of it by now; one that comes again is as it was kept."""

    organization_id: UUID
    conversation: NewConversation
    message: NewMessage
    reading: Reading | None = None
    """What was read in a customer's message."""
    fresh: bool = False
    tags: tuple[str, ...] = ()
    """The conversation's once this message has come."""
    row: KeptConversation | None = None
    """The conversation once it is locked; read it as ``kept``."""
    ticket_id: UUID | None = None
    """The ticket that is to be told of the message; ``None`` also where there was none yet when the message came."""
    opening: StartTicket | None = None
    """The start of that ticket, where it may not have been started yet."""
    opened: bool = False
    """Whether the ticket was made of this message."""
    decided: list[Decided[EscalationActions]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    """What is kept of ``decided``, be it from the first time the message came."""
    untold: Problem | None = None
    """Why the ticket could not be told."""

    @property
    def kept(self) -> KeptConversation:
        """The conversation as it is now."""
        assert self.row is not None
        return self.row


def customer_of(organization_id: UUID, conversation_id: UUID, requester: RequesterDocument | None) -> Customer:
    """Whose conversation it is by what a message, or who hands it over, says of them; ``None`` says nothing."""
    known_as = requester.external_id if requester else None
    nobody_id = requester_id(organization_id, f"conversation:{conversation_id}")
    return Customer(
        id=requester_id(organization_id, known_as) if known_as else nobody_id,
        external_id=known_as,
        name=requester.name if requester else None,
        email=requester.email if requester else None,
        language=requester.language if requester else None,
        named=known_as is not None,
        nobody_id=nobody_id,
    )
