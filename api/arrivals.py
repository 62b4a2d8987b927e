"""A message on its way through the front door."""

from dataclasses import dataclass, field
from uuid import UUID

from api.schemas.intake import IncomingMessage
from db.conversations import KeptConversation, NewConversation, NewMessage
from db.models import Decision
from domain.reading import Reading
from domain.rules.rule import Decided, EscalationActions
from workflows.messages import StartTicket


@dataclass
class Arrival:
    """A message on its way in, and what is known of it by now."""

    organization_id: UUID
    document: IncomingMessage
    conversation: NewConversation
    message: NewMessage
    reading: Reading | None
    fresh: bool = False
    decided: list[Decided[EscalationActions]] = field(default_factory=list)
    row: KeptConversation | None = None
    """The conversation once it is locked; read it as ``kept``."""
    opening: StartTicket | None = None
    """The start of the conversation's ticket, where it may not have been started yet."""
    had_ticket: bool = False
    stored_decisions: list[Decision] = field(default_factory=list)

    @property
    def kept(self) -> KeptConversation:
        """The conversation as it is now."""
        assert self.row is not None
        return self.row
