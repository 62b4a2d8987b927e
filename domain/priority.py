"""How urgent a ticket is."""

from enum import StrEnum


class Priority(StrEnum):
    """The four priorities, in rising order."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"

    @property
    def rank(self) -> int:
        """Position in rising order, ``0`` for low; what lists sort by."""
        return _RISING.index(self)

    def raised(self) -> "Priority":
        """One step more urgent; ``urgent`` stays."""
        return _RISING[min(self.rank + 1, len(_RISING) - 1)]


_RISING = list(Priority)
