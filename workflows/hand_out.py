"""Handing out what waits, once a member has become free."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import HAND_OUT, HandOut


@workflow.defn(name="HandOut")
class HandOutWorkflow:
    """Tells waiting tickets of whoever has become free; started in the transaction that frees them, before its commit.

    Ends with the number of tickets told.
    """

    @workflow.run
    async def run(self, request: HandOut) -> int:
        told: int = await workflow.execute_activity(
            HAND_OUT,
            request,
            result_type=int,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
            ),
            summary="Hand out what waits",
        )
        return told
