"""One run of a replay: prepare, send, let the timers come due, read everything back."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from temporalio.client import Client

from benchmarks.replay.api_client import Api, open_api
from benchmarks.replay.display import phase
from benchmarks.replay.driver import Driver
from benchmarks.replay.journal import Began, Journal
from benchmarks.replay.pace import Pace
from benchmarks.replay.plan import Step
from benchmarks.replay.reading import Reader, Stopped
from benchmarks.replay.receiver import receiving
from benchmarks.replay.report import Report, make_report
from benchmarks.replay.stack import Target
from benchmarks.replay.stream import Stream
from benchmarks.replay.tenants import CannotPrepare, prepare
from embedded.ports import LOOPBACK
from workflows.connection import connect

LONGEST_SETTLING = timedelta(minutes=10)
"""At a small speed-up the last timers come due too late to wait for; they are then compared while they wait."""
_SETTLING_MARGIN = timedelta(seconds=30)
_LOOK_EVERY_SECONDS = 2


@dataclass(frozen=True)
class Session:
    """Everything a run needs; ``stop`` ends it early, with nothing half done.

    ``trouble`` is the share of attempts at deliveries that the receiver, at ``receive_at``, fails or cuts off.
    """

    stream: Stream
    plans: Mapping[str, Sequence[Step]]
    pace: Pace
    journal: Journal
    target: Target
    concurrency: int
    console: Console
    stop: asyncio.Event
    trouble: float = 0
    receive_at: str = LOOPBACK

    async def run(self) -> Report | None:
        """The report, read back from the system; ``None`` when it was stopped."""
        try:
            temporal = await self._temporal()
            async with (
                receiving(self.journal, self.journal.header.seed, self.trouble, self.receive_at) as receiver,
                open_api(self.target.url, self.concurrency) as api,
            ):
                reader = Reader(api, self.journal, temporal, self.concurrency, self.stop, self.target.settings)
                await prepare(api, self.target.operator_key, self.stream, self.pace, receiver)
                await reader.on_their_way(timedelta())  # an earlier run may have left them without a receiver
                if not await self._send(api):
                    return None
                if not await self._settle(reader):
                    return None
                return await self._report(reader)
        finally:
            # Temporal's runtime may still call back for finished RPCs; an interpreter that exits in that
            # moment crashes (https://github.com/temporalio/sdk-python/issues/300).
            await asyncio.sleep(0.25)

    async def _temporal(self) -> Client:
        settings = self.target.settings
        try:
            return await connect(settings)
        except RuntimeError as error:
            raise CannotPrepare(
                f"Temporal does not answer at {settings.temporal_address}, which is needed to compare read models with "
                f"their workflows. Set BATON_TEMPORAL_ADDRESS to the one this API uses. ({error})"
            ) from None

    async def _send(self, api: Api) -> bool:
        """Whether every step is acknowledged."""
        steps, done = sum(map(len, self.plans.values())), len(self.journal.done)
        self._announce(steps, done)
        if done < steps:
            self.journal.write(Began())
        with phase(self.console, "Replaying", steps, done) as shown:

            def advanced(_step: Step, late: float) -> None:
                note = f"{late:.0f} s behind the stream's clock" if late >= 1 else ""
                shown.at(len(self.journal.done), steps, note)

            driver = Driver(
                api, self.journal, self.plans, self.pace.speed_up, self.concurrency, self.stop, advanced=advanced
            )
            finished = await driver.run()
        if not finished:
            left = steps - len(self.journal.done)
            self.console.print(f"Stopped with {left:,} of {steps:,} steps to do. Run the same command to go on.")
        return finished

    def _announce(self, steps: int, done: int) -> None:
        if done == steps:
            self.console.print(f"This replay is finished: all {steps:,} steps are acknowledged. Reading it back again.")
            return
        span = (self.stream.ended_at - self.stream.began_at) / self.pace.speed_up
        sent = f"{len(self.stream.messages):,} messages in {len(self.stream.conversations):,} conversations"
        self.console.print(
            f"{sent} of {len(self.stream.brands)} brands, at this speed-up in {span.total_seconds() / 60:.1f} minutes. "
            "Ctrl-C stops it, the same command goes on."
        )
        if done:
            self.console.print(f"Going on: {done:,} of {steps:,} steps are acknowledged already.")

    async def _settle(self, reader: Reader) -> bool:
        """Let what is due happen; whether it was not stopped meanwhile."""
        patience = min(self.pace.longest() + _SETTLING_MARGIN, LONGEST_SETTLING)
        deadline = time.monotonic() + patience.total_seconds()
        waiting, sending = await reader.waiting(), await reader.on_their_way()
        first = waiting + sending
        with phase(self.console, "Timers", first) as shown:
            while waiting + sending and time.monotonic() < deadline and not self.stop.is_set():
                shown.at(max(first - waiting - sending, 0), first)
                await asyncio.sleep(_LOOK_EVERY_SECONDS)
                waiting, sending = await reader.waiting(), await reader.on_their_way()
            shown.at(max(first - waiting - sending, 0), first)
        if waiting and not self.stop.is_set():
            self.console.print(f"{waiting:,} tickets still wait for something; they are compared as they stand.")
        if sending and not self.stop.is_set():
            self.console.print(f"{sending:,} deliveries are still on their way.")
        return not self.stop.is_set()

    async def _report(self, reader: Reader) -> Report | None:
        with phase(self.console, "Reading back", 1) as shown:
            read = 0

            def advanced(known: int) -> None:
                nonlocal read
                read += 1
                shown.at(read, known)

            reader.advanced = advanced
            try:
                tenants = await reader.read()
            except Stopped:
                self.console.print(
                    "Stopped while reading back. Everything is sent; run the same command for the report."
                )
                return None
        return make_report(self.stream, tenants, self.journal, self.pace)
