"""Handing out what waits, once a member has become free."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.signatures import HAND_OUT, HandOut
    from workflows.calling import call


@workflow.defn(name="HandOut")
class HandOutWorkflow:
    """Tells waiting tickets of whoever has become free; started in the transaction that frees them, before its commit.

    Ends with the number of tickets told.
    """

    @workflow.run
    async def run(self, request: HandOut) -> int:
        return await call(HAND_OUT, request, int, "Hand out what waits", attempt=timedelta(seconds=60))
