"""How fast the stream's clock runs, and the organizations' rules on that clock."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

SHORTEST = timedelta(milliseconds=10)
"""Below this a rule would act before a reader could see what it acts on."""


@dataclass(frozen=True)
class Pace:
    """Rules in the stream's time, and the speed-up that turns them into the replay's."""

    speed_up: float
    acknowledge_within: timedelta = timedelta(hours=1)
    reminders_after: tuple[timedelta, ...] = (timedelta(hours=4), timedelta(hours=8))
    auto_resolve_after: timedelta = timedelta(hours=16)
    auto_close_after: timedelta = timedelta(hours=8)
    reopen_window: timedelta = timedelta(hours=24)
    targets: Mapping[str, timedelta] = field(
        default_factory=lambda: {
            "first_response": timedelta(hours=1),
            "next_response": timedelta(hours=1),
            "resolution": timedelta(hours=24),
        }
    )
    """Of the service level, at normal priority; half of it at a higher one."""
    told_again_after: tuple[timedelta, timedelta] = (timedelta(hours=2), timedelta(hours=4))
    """While nobody claims a conversation: its team, then the team's supervisor."""
    silence_limit: timedelta = timedelta(hours=12)

    def scaled(self, span: timedelta) -> timedelta:
        """The span as the replay lives it."""
        return max(span / self.speed_up, SHORTEST)

    def document(self, span: timedelta) -> str:
        """The same as the API takes it."""
        return f"PT{self.scaled(span).total_seconds():.6f}S"

    def ladder(self) -> dict[str, Any]:
        """The reminder ladder of every replayed organization."""
        steps = [{"after": self.document(after), "action": "remind"} for after in self.reminders_after]
        steps.append({"after": self.document(self.auto_resolve_after), "action": "resolve"})
        return {"name": "Replay", "is_default": True, "steps": steps}

    def queue_ladder(self) -> dict[str, Any]:
        """The ladder that is climbed while a conversation waits in a queue, once and once more."""
        targets = ("team", "supervisors")
        steps = [
            {"wait": self.document(wait), "actions": [{"kind": "notify", "targets": [target]}]}
            for wait, target in zip(self.told_again_after, targets, strict=True)
        ]
        return {"name": "Unclaimed", "steps": steps, "repeat": 1}

    def longest(self) -> timedelta:
        """How long after the last step something may still happen by itself."""
        last = max(self.acknowledge_within * 2, self.auto_resolve_after) + self.auto_close_after
        return self.scaled(last)

    def in_words(self) -> str:
        """The rules for a report, in the stream's time."""
        reminders = ", ".join(_words(after) for after in self.reminders_after)
        targets = ", ".join(f"{name.replace('_', ' ')} {_words(span)}" for name, span in self.targets.items())
        return (
            f"promised at normal priority, in half of it at a higher one: {targets}; assigned tickets are taken up "
            f"within {_words(self.acknowledge_within)} or go to the next member, waiting customers are reminded after "
            f"{reminders}, resolved after {_words(self.auto_resolve_after)}, closed {_words(self.auto_close_after)} "
            f"after that, and reopened for {_words(self.reopen_window)}; of unclaimed conversations the team is told "
            f"again after {_words(self.told_again_after[0])} and its supervisor after "
            f"{_words(self.told_again_after[1])} more, twice, and claimed ones come back to the queue when the "
            f"customer is left waiting for {_words(self.silence_limit)}"
        )


class StreamClock:
    """Says when a moment of the stream has come; it starts at ``begins_at`` the moment it is made."""

    def __init__(self, begins_at: datetime, speed_up: float) -> None:
        self._begins_at = begins_at
        self._speed_up = speed_up
        self._started = time.monotonic()

    def ahead(self, moment: datetime) -> float:
        """Seconds until ``moment``; below zero once it has passed."""
        due = (moment - self._begins_at).total_seconds() / self._speed_up
        return due - (time.monotonic() - self._started)


def _words(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g} h"
