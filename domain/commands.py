"""What can be asked of a ticket (commands) and what it can be told (facts)."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain.events import SYSTEM, Actor
from domain.ladders import Frozen, Tagged
from domain.priority import Priority
from domain.ticket import Status


class Request(Tagged):
    """What every command carries.

    ``request_id`` makes it safe to send again: the ticket acts on each id once. ``fingerprint`` is
    a hash of the request's content, so that one id with two contents is noticed. With
    ``if_version`` the command holds only for that version of the ticket.
    """

    request_id: str
    fingerprint: str = ""
    actor: Actor = SYSTEM
    if_version: int | None = None


class ChangeStatus(Request):
    """Move the ticket to another status; ``tell_customer`` matters when resolving."""

    kind: Literal["change_status"] = "change_status"
    to: Status
    reason: str | None = None
    tell_customer: bool = True


class Assign(Request):
    """Give the ticket to a team, a member, both, or nobody; only the named ``fields`` change.

    With ``released_from`` it is a member's removal that lets go of the ticket: nothing happens where another member
    has it by now, and the team is told.
    """

    kind: Literal["assign"] = "assign"
    fields: frozenset[Literal["team", "assignee"]]
    team_id: UUID | None = None
    team_name: str | None = None
    assignee_id: UUID | None = None
    assignee_name: str | None = None
    reason: str | None = None
    released_from: UUID | None = None


class Edit(Request):
    """Change what the ticket is about; ``None`` leaves a field as it is."""

    kind: Literal["edit"] = "edit"
    title: str | None = None
    priority: Priority | None = None
    tags: tuple[str, ...] | None = None


class Escalate(Request):
    """Call for more attention: the priority rises (to ``priority``, else by one) and supervisors are told."""

    kind: Literal["escalate"] = "escalate"
    reason: str
    priority: Priority | None = None


class Merge(Request):
    """End the ticket and have another one go on with all of it; ``target_id`` is of the same organization."""

    kind: Literal["merge"] = "merge"
    target_id: UUID
    reason: str | None = None


class Absorb(Request):
    """Go on with another ticket's customer, tags and watchers; asked by that ticket's workflow, never by a client."""

    kind: Literal["absorb"] = "absorb"
    source_id: UUID
    source_label: str
    tags: tuple[str, ...] = ()
    unanswered_since: datetime | None = None


class Remembered(Frozen):
    """A request that was acted on: the version it led to and what it asked for."""

    version: int
    fingerprint: str


Command = Annotated[ChangeStatus | Assign | Edit | Escalate, Field(discriminator="kind")]


class CustomerReplied(Frozen):
    """A customer's message, stored before it is told; an automatic reply moves nothing."""

    message_id: UUID
    at: datetime
    actor: Actor
    automatic: bool = False

    @property
    def request_id(self) -> str:
        """The message's id: a message counts once."""
        return str(self.message_id)


class AgentReplied(Frozen):
    """A public answer by a human, stored before it is told."""

    message_id: UUID
    at: datetime
    actor: Actor

    @property
    def request_id(self) -> str:
        """The message's id: a message counts once."""
        return str(self.message_id)


class NoteAdded(Frozen):
    """An internal note, stored before it is told."""

    note_id: UUID
    at: datetime
    actor: Actor

    @property
    def request_id(self) -> str:
        """The note's id: a note counts once."""
        return str(self.note_id)


class Erase(Frozen):
    """The requester's words are to be forgotten; ``request_id`` names the erasure, and counts once."""

    request_id: str
    actor: Actor = SYSTEM


class PolicyChanged(Frozen):
    """The organization's rules changed in a way that concerns running tickets."""

    request_id: str
    reason: str
    actor: Actor = SYSTEM
