"""What a customer who waits for a human is told."""

from datetime import timedelta

_MINUTE = timedelta(minutes=1)


def expected_wait(position: int, usual: timedelta | None) -> timedelta | None:
    """How long whoever is at a position may wait, from what others waited lately; ``None`` where nobody knows.

    Those in front wait as well, and several people work: the usual wait holds for the first few, and grows from there.
    """
    if usual is None:
        return None
    return usual if position <= 1 else usual * (1 + (position - 1) * 0.25)


def queue_line(position: int | None, wait: timedelta | None, owner: str | None = None) -> str:
    """A sentence for the customer; without a position somebody has them, or nothing is known yet."""
    if owner:
        return f"{owner} is with you."
    if position is None:
        return "Somebody will be with you soon."
    place = "You are next." if position == 1 else f"You are number {position} in the queue."
    if wait is None:
        return f"{place} Somebody will be with you soon."
    minutes = max(1, round(wait / _MINUTE))
    if minutes >= 120:
        return f"{place} It will take about {round(minutes / 60)} hours."
    return f"{place} It will take about {minutes} {'minute' if minutes == 1 else 'minutes'}."
