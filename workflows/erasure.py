"""Forgetting a requester, however many tickets they have and whatever is away meanwhile."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import (
        ERASE_REQUESTER,
        ERASE_TICKET,
        LIST_TICKETS_TO_ERASE,
        EraseRequester,
        EraseTicket,
        TicketsToErase,
    )

TICKETS_A_RUN = 1000
"""Tickets in one run's history, some six events each."""

# For ever: who is to be forgotten is not remembered for an outage's sake.
_FOREVER = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=1.5, maximum_interval=timedelta(seconds=30)
)


@workflow.defn(name="Erasure")
class ErasureWorkflow:
    """Erases a requester's tickets one by one, then their conversations, then who they are.

    Its own history holds ids, and the name of who asked for it.
    """

    @workflow.init
    def __init__(self, start: EraseRequester) -> None:
        self._at = start

    @workflow.run
    async def run(self, _: EraseRequester) -> int:
        told = 0
        while True:
            page: TicketsToErase = await workflow.execute_activity(
                LIST_TICKETS_TO_ERASE,
                self._at,
                result_type=TicketsToErase,
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=_FOREVER,
                summary="Find tickets",
            )
            for ticket_id in page.ids:
                await workflow.execute_activity(
                    ERASE_TICKET,
                    EraseTicket(
                        organization_id=self._at.organization_id,
                        ticket_id=ticket_id,
                        erasure_id=self._at.erasure_id,
                        actor=self._at.actor,
                    ),
                    start_to_close_timeout=timedelta(seconds=30),
                    retry_policy=_FOREVER,
                    summary="Erase a ticket",
                )
            told += len(page.ids)
            done = self._at.tickets + len(page.ids)
            self._at = self._at.model_copy(update={"after": page.last or self._at.after, "tickets": done})
            if page.last is None:
                break
            if told >= TICKETS_A_RUN:
                workflow.continue_as_new(self._at)
        messages: int = await workflow.execute_activity(
            ERASE_REQUESTER,
            self._at,
            result_type=int,
            start_to_close_timeout=timedelta(minutes=30),
            heartbeat_timeout=timedelta(seconds=60),
            retry_policy=_FOREVER,
            summary="Erase conversations and the requester",
        )
        return messages
