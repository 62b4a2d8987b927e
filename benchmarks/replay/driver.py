"""Sends the stream and has the agents act: each conversation in its order, all of them by the stream's clock."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.replay.api_client import Api, ApiAway, Refused
from benchmarks.replay.desk import Desk
from benchmarks.replay.door import MOST, Door
from benchmarks.replay.journal import Done, Journal
from benchmarks.replay.pace import StreamClock
from benchmarks.replay.plan import Kind, Step

ARRIVING = 2 * MOST
"""Messages on their way in at once, at most: a batch that is sent and one that waits."""


class StepFailed(Exception):
    """The API refused what it should take; the message says which step."""


@dataclass
class Driver:
    """Does every step that is not acknowledged yet, until all are or ``stop`` is set.

    At most ``concurrency`` agents act at once; what customers write goes in by their brand's door. ``advanced`` is told
    each step and the seconds by which it came later than the stream's clock asked.
    """

    api: Api
    journal: Journal
    plans: Mapping[str, Sequence[Step]]
    speed_up: float
    concurrency: int
    stop: asyncio.Event
    advanced: Callable[[Step, float], None] = lambda _step, _late: None
    _slots: asyncio.Semaphore = field(init=False)
    _arriving: asyncio.Semaphore = field(init=False)
    _doors: dict[str, Door] = field(init=False, default_factory=dict)
    _clock: StreamClock = field(init=False)
    _acknowledged_at: float = field(init=False, default=0)
    _left: list[str] = field(init=False, default_factory=list)

    async def run(self) -> bool:
        """Whether everything is acknowledged. A stop lets the requests finish that have begun; a failure does not.

        A conversation that gets no final answer while others do is left for the next run, which ``ApiAway`` says
        once all others are done.
        """
        pending = [step.at for steps in self.plans.values() for step in steps if step.key not in self.journal.done]
        if not pending:
            return True
        self._slots = asyncio.Semaphore(self.concurrency)
        self._arriving = asyncio.Semaphore(ARRIVING)
        for tenant in self.journal.tenants.values():
            self._doors[tenant.brand] = Door(self.api.caller(tenant.api_key))
        self._clock = StreamClock(min(pending), self.speed_up)  # goes on where an earlier run stopped
        try:
            async with asyncio.TaskGroup() as group:
                for steps in self.plans.values():
                    group.create_task(self._converse(steps))
        except* (ApiAway, StepFailed) as problems:
            raise problems.exceptions[0] from None
        if self._left and not self.stop.is_set():
            raise ApiAway(
                f"All is sent but {len(self._left)} conversations, for which there was no final answer. Run the same "
                f"command to go on with them. The first: {self._left[0]}"
            )
        return not self.stop.is_set()

    async def _converse(self, steps: Sequence[Step]) -> None:
        tenant = self.journal.tenants[steps[0].message.brand]
        desk = Desk(self.api.caller(tenant.api_key), tenant, self._doors[tenant.brand])
        for step in steps:
            if done := self.journal.done.get(step.key):
                desk.remember(step, done)
                continue
            await self._until_due(step)
            async with self._arriving if step.kind is Kind.TELL else self._slots:
                if self.stop.is_set():
                    return
                began = time.monotonic()
                try:
                    await self._do(step, desk)
                except ApiAway as away:
                    if self._acknowledged_at < began:  # it has answered nobody meanwhile
                        raise
                    self._left.append(f"step {step.key}. {away}")
                    return

    async def _do(self, step: Step, desk: Desk) -> None:
        late = -self._clock.ahead(step.at)
        try:
            answered = await desk.do(step)
        except Refused as refused:
            raise StepFailed(
                f"The API refused the step {step.key} ({refused}). Nothing acknowledged is lost: once the cause is put "
                "right, run the same command to go on."
            ) from None
        self.journal.write(
            Done(
                key=step.key,
                brand=step.message.brand,
                ticket_id=desk.ticket_id,
                requests=desk.take_requests(),
                answered=answered,
                did=desk.act.did,
                escalation_id=desk.act.escalation_id,
                member_id=desk.holder,
                said=desk.act.said,
            )
        )
        self._acknowledged_at = time.monotonic()
        self.advanced(step, late)

    async def _until_due(self, step: Step) -> None:
        """Wait until the step is due, or the replay is told to stop."""
        if (wait := self._clock.ahead(step.at)) > 0:
            try:
                await asyncio.wait_for(self.stop.wait(), wait)
            except TimeoutError:
                return
