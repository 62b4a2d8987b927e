"""Delivering what a conversation's customer, or their platform, has to be told."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.signatures import (
        DELIVER,
        GIVE_DELIVERY_UP,
        NEXT_DELIVERY,
        Deliver,
        Delivered,
        DeliverNext,
        NextDelivery,
    )
    from domain.delivery import FIRST_WAIT, LONGEST_WAIT
    from domain.ladders import Frozen
    from workflows.calling import UNHURRIED, call

DELIVERIES_A_RUN = 100
"""In one run's history: each takes some ten events, however often it is tried."""

ATTEMPT = timedelta(seconds=90)
"""For one attempt; a connector takes a minute at most, and a killed worker is noticed when this has passed."""

_LOOK = timedelta(seconds=10)


class StartDelivering(Frozen):
    """Whose deliveries."""

    conversation_id: UUID


@workflow.defn(name="DeliveriesOfConversation")
class DeliveringWorkflow:
    """Lives while a conversation has something to be delivered: one after another, in the order they were written.

    Signals: ``told``, ``look_again``.
    """

    @workflow.init
    def __init__(self, start: StartDelivering) -> None:
        self._conversation_id = start.conversation_id
        self._told = False
        self._attempts: workflow.ActivityHandle[Delivered] | None = None

    @workflow.run
    async def run(self, start: StartDelivering) -> None:
        for _ in range(DELIVERIES_A_RUN):
            self._told = False
            following = await self._next()
            if following.deliver is not None:
                await self._deliver(following.deliver, following.try_for)
            elif not self._told:
                return
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(start)

    @workflow.signal
    def told(self) -> None:
        """There is something new."""
        self._told = True

    @workflow.signal
    def look_again(self) -> None:
        """A person has given up what is waited for, or wants it tried now."""
        self._told = True
        if self._attempts is not None:
            self._attempts.cancel()

    async def _next(self) -> NextDelivery:
        request = DeliverNext(conversation_id=self._conversation_id)
        return await call(
            NEXT_DELIVERY, request, NextDelivery, "What is to be delivered next?", attempt=_LOOK, retry=UNHURRIED
        )

    async def _deliver(self, delivery: Deliver, try_for: timedelta) -> None:
        """Try until it is taken or refused; what was overdue from the start is tried once."""
        self._attempts = workflow.start_activity(
            DELIVER,
            delivery,
            result_type=Delivered,
            start_to_close_timeout=ATTEMPT,
            schedule_to_close_timeout=max(try_for, ATTEMPT),
            # An attempt that was heard says itself when the next is due (``domain.delivery.wait_after``).
            retry_policy=RetryPolicy(initial_interval=FIRST_WAIT, maximum_interval=LONGEST_WAIT),
            # One that is being made is waited for, so that no other is made beside it.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary="Deliver",
        )
        try:
            await self._attempts
        except ActivityError as error:
            if not is_cancelled_exception(error):
                await self._give_up(delivery)
        finally:
            self._attempts = None

    async def _give_up(self, delivery: Deliver) -> None:
        await call(GIVE_DELIVERY_UP, delivery, Delivered, "Nobody took it for a day", attempt=_LOOK, retry=UNHURRIED)
