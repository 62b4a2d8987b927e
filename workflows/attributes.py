"""What a ticket's search attributes hold: ids, never names, since they are not encrypted."""

from collections.abc import Callable
from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributePair, SearchAttributeUpdate, TypedSearchAttributes

from domain.ticket import Ticket
from workflows.search_attributes import (
    TICKET_ASSIGNEE,
    TICKET_BREACHED,
    TICKET_ORGANIZATION,
    TICKET_PRIORITY,
    TICKET_STATUS,
    TICKET_TEAM,
)

_VALUES: dict[SearchAttributeKey[Any], Callable[[Ticket], str | bool | None]] = {
    TICKET_STATUS: lambda ticket: ticket.status.value,
    TICKET_PRIORITY: lambda ticket: ticket.priority.value,
    TICKET_TEAM: lambda ticket: str(ticket.team_id) if ticket.team_id else None,
    TICKET_ASSIGNEE: lambda ticket: str(ticket.assignee_id) if ticket.assignee_id else None,
    TICKET_ORGANIZATION: lambda ticket: str(ticket.organization_id),
    TICKET_BREACHED: lambda ticket: ticket.breached,
}


def attributes_of(ticket: Ticket) -> TypedSearchAttributes:
    """Everything a run starts with."""
    values = {key: read(ticket) for key, read in _VALUES.items()}
    return TypedSearchAttributes(
        [SearchAttributePair(key, value) for key, value in values.items() if value is not None]
    )


def changed_attributes(before: Ticket | None, after: Ticket) -> list[SearchAttributeUpdate[Any]]:
    """What differs from what was last written: each write costs the server, so nothing is written twice."""
    return [
        key.value_unset() if (value := read(after)) is None else key.value_set(value)
        for key, read in _VALUES.items()
        if before is None or read(before) != read(after)
    ]
