"""The clock of one workflow where time is skipped: how a test lets time pass."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from tests.support import eventually

BEFORE_IT_RINGS = timedelta(milliseconds=50)
"""How close to a timer a clock is moved; from there it runs by itself."""

SHORT = timedelta(seconds=1)
"""What is waited for instead of skipped."""


class Wait(Protocol):
    @property
    def due_at(self) -> datetime: ...


class Live(Protocol):
    """What a workflow answers of itself: what it waits for, the next first."""

    @property
    def timers(self) -> Sequence[Wait]: ...


@dataclass(frozen=True)
class SkippedClock:
    """``live`` asks the workflow."""

    environment: WorkflowEnvironment
    handle: WorkflowHandle[Any, Any]
    live: Callable[[], Awaitable[Live]]

    async def now(self) -> datetime:
        """What the workflow's own clock shows."""
        return await self.environment.get_current_time(self.handle)

    async def let_pass(self, time: timedelta) -> None:
        """Move the clock on, until the workflow rests again.

        It skips to just before each timer, which then rings by itself: where a skip crosses one and the worker takes
        long over it, the server may skip on to the timer after that, however far away it is.
        """
        await at_rest(self.handle)
        until = await self.now() + time
        while (due_at := await self._next_ring()) and due_at <= until:
            await self._skip_to(due_at - BEFORE_IT_RINGS)
        await self._skip_to(until)
        await at_rest(self.handle)

    async def _next_ring(self) -> datetime | None:
        """When the next timer is due that has not rung."""

        async def found() -> tuple[datetime | None]:
            waits = (await self.live()).timers
            assert not waits or waits[0].due_at > await self.now()
            return (waits[0].due_at if waits else None,)

        return (await eventually(found))[0]

    async def _skip_to(self, moment: datetime) -> None:
        """Nothing where the workflow has ended.

        Where the moment comes by itself while the workflow is busy, the server skips on to the next timer as well: seen
        where a skip of 0.2 s met an activity of 0.1 s.
        """
        if (await at_rest(self.handle)).status is not WorkflowExecutionStatus.RUNNING:
            return
        if (rest := moment - await self.now()) > SHORT:
            await self.environment.fast_forward(self.handle, rest)
        elif rest > timedelta(0):
            await asyncio.sleep(rest.total_seconds())


async def at_rest(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionDescription:
    """The latest run once nothing is under way in it; time that passes before would pass its next timer by."""

    async def rests() -> WorkflowExecutionDescription:
        found = await handle.describe()
        raw = found.raw_description
        assert not raw.HasField("pending_workflow_task")
        assert not raw.pending_activities
        return found

    return await eventually(rests)
