"""One change asked of many tickets: what it is of each of them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain import lifecycle
from domain.commands import Assign, ChangeStatus, Command, Edit
from domain.events import Actor
from domain.ladders import Frozen
from domain.priority import Priority
from domain.ticket import MAX_TAGS, Status, Ticket

MAX_TICKETS = 10_000
"""Tickets one bulk change is asked of."""


class MoveAll(Frozen):
    """To another status, where the lifecycle has that move."""

    kind: Literal["status"] = "status"
    to: Status
    reason: str | None = None
    tell_customer: bool = True


class AssignAll(Frozen):
    """To a team, a member, or nobody; only the named ``fields`` change."""

    kind: Literal["assignment"] = "assignment"
    fields: frozenset[Literal["team", "assignee"]]
    team_id: UUID | None = None
    team_name: str | None = None
    assignee_id: UUID | None = None
    assignee_name: str | None = None
    reason: str | None = None


class PrioritizeAll(Frozen):
    """All to one priority."""

    kind: Literal["priority"] = "priority"
    priority: Priority


class TagAll(Frozen):
    """Some tags on, some off; the others stay."""

    kind: Literal["tags"] = "tags"
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


BulkChange = Annotated[MoveAll | AssignAll | PrioritizeAll | TagAll, Field(discriminator="kind")]


def command_for(ticket: Ticket, change: BulkChange, request_id: str, actor: Actor) -> Command:
    """The change as a command for the ticket as it stands; tags hold only for the version they were worked out of."""
    sent = {"request_id": request_id, "fingerprint": "bulk", "actor": actor}
    if isinstance(change, MoveAll):
        return ChangeStatus.model_validate({**sent, **change.model_dump(exclude={"kind"})})
    if isinstance(change, AssignAll):
        return Assign.model_validate({**sent, **change.model_dump(exclude={"kind"})})
    if isinstance(change, PrioritizeAll):
        return Edit.model_validate({**sent, "priority": change.priority})
    kept = [tag for tag in ticket.tags if tag not in change.remove]
    tags = tuple(dict.fromkeys((*kept, *change.add)))[:MAX_TAGS]
    return Edit.model_validate({**sent, "tags": tags, "if_version": ticket.version})


def would_change(ticket: Ticket, command: Command, now: datetime) -> bool:
    """Whether the command makes a difference to the ticket; raises the ``DomainError`` that refuses it.

    To move a ticket to the status it has makes none.
    """
    if isinstance(command, ChangeStatus) and command.to is ticket.status:
        return False
    return bool(lifecycle.decide(ticket, command, now).events)
