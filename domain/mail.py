"""What becomes of a mail."""

from datetime import timedelta
from enum import StrEnum

TRIED_FOR = timedelta(days=1)
"""A mail that nobody has taken by then is given up; what it says is no news any more."""


class MailState(StrEnum):
    """How far a mail has come."""

    QUEUED = "queued"
    SENT = "sent"
    REFUSED = "refused"  # for good: the address does not exist, or its server wants nothing from us
    GIVEN_UP = "given_up"  # nobody took it for a day
