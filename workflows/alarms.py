"""The timer a workflow has armed for the earliest of what it waits for."""

import asyncio
from collections.abc import Hashable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from temporalio import workflow

LATENESS = "baton_timer_lateness"
"""Metric: how late timers are."""


class Timed(Hashable, Protocol):
    """Something that is due at a moment, and says in words what it is."""

    @property
    def due_at(self) -> datetime: ...

    @property
    def summary(self) -> str: ...


class Alarms:
    """Has a timer in history for the earliest deadline; ``rang`` stays true until it is taken back."""

    def __init__(self) -> None:
        self._armed: dict[Timed, asyncio.Task[None]] = {}
        self.rang = False

    def arm(self, waits: Sequence[Timed]) -> None:
        """Have a timer for the first of what is waited for.

        One that was armed before an earlier deadline came up stays as long as it is waited for: to start it again later
        would cost two events more each time.
        """
        for timer in [timer for timer, alarm in self._armed.items() if alarm.done() or timer not in waits]:
            self._armed.pop(timer).cancel()
        if waits and waits[0] not in self._armed:
            self._armed[waits[0]] = asyncio.create_task(self._ring(waits[0]))

    async def _ring(self, timer: Timed) -> None:
        await workflow.sleep(timer.due_at - workflow.now(), summary=timer.summary)
        self.rang = True


def measure_lateness(late: timedelta, kind: str) -> None:
    """Count how long after its due moment a timer of a kind was done."""
    histogram = workflow.metric_meter().create_histogram_timedelta(LATENESS, "From due to done, by kind of timer")
    histogram.record(late, {"timer": kind})
