"""What the system says to customers, until an organization words it itself."""

from domain.events import CustomerMessageKind
from domain.ticket import Ticket

SYSTEM_AUTHOR = "Support"


def wording(kind: CustomerMessageKind, ticket: Ticket) -> str:
    """The text of a message of ``kind`` about ``ticket``."""
    if kind is CustomerMessageKind.REMINDER:
        return (
            f"We are waiting for your answer about “{ticket.title}” (#{ticket.number}). "
            "Please reply here, so that we can go on."
        )
    return (
        f"We have marked “{ticket.title}” (#{ticket.number}) as resolved. "
        "If it is not, reply here and we will open it again."
    )
