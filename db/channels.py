"""The names under which processes tell each other of changes through Postgres."""

from uuid import UUID

TICKETS = "baton_tickets"
"""``LISTEN``: a ticket's read model reached a version."""

LIVE = "baton_live"
"""``LISTEN``: there are live events to be read."""

ACCESS = "baton_access"
"""``LISTEN``: a session, a key or a member may no longer do what it could."""


WEBCHAT = "baton_webchat"
"""``LISTEN``: something was said in a conversation of a web chat; a trigger of ``messages`` says in which."""


def ticket_payload(ticket_id: UUID, version: int) -> str:
    """What a notification on ``TICKETS`` says."""
    return f"{ticket_id}:{version}"


def read_ticket_payload(payload: str) -> tuple[UUID, int]:
    """The ticket and version of a notification."""
    ticket_id, _, version = payload.partition(":")
    return UUID(ticket_id), int(version)
