"""What becomes of a customer's message to a closed ticket: it reopens it, or another ticket goes on from it."""

from datetime import datetime

from domain.ids import follow_up_id
from domain.ticket import Status, Ticket

LONGEST_CHAIN = 100
"""Follow-ups of follow-ups that are looked through for one that can take a message."""

FOLLOW_UP = "follow-up"
"""The fingerprint of every request for one: what it asks for follows from the closed ticket."""

_HANDED_ON = {
    "organization_id",
    "title",
    "tags",
    "source",
    "channel",
    "requester_id",
    "conversation_id",
    "team_id",
    "team_name",
}


def takes_messages(ticket: Ticket, kept_at: datetime) -> bool:
    """Whether a customer's message is the ticket's own: a closed one takes what was kept before its window ended.

    ``kept_at`` is when Baton stored the message, however late the ticket is told: a customer who was in time does not
    pay for an outage, and one who was late gains nothing by it.
    """
    return ticket.status is not Status.CLOSED or ticket.reopen_until is None or kept_at <= ticket.reopen_until


def follow_up(old: Ticket, number: int, at: datetime) -> Ticket:
    """A new ticket in the same conversation, linked to the old one."""
    return Ticket(
        **old.model_dump(include=_HANDED_ON),
        id=follow_up_id(old.id),
        number=number,
        follow_up_of=old.id,
        created_at=at,
        updated_at=at,
        status_since=at,
    )


def follow_up_request(old: Ticket) -> str:
    """The id of the request that makes it, whoever asks: a closed ticket has one follow-up."""
    return f"follow-up:{old.id}"
