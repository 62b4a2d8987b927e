"""Finding what was committed and never signalled, once in a while."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import SWEEP, Swept


@workflow.defn(name="Sweep")
class SweepWorkflow:
    """Looks once; a schedule starts it every minute (ADR 16)."""

    @workflow.run
    async def run(self) -> Swept:
        swept: Swept = await workflow.execute_activity(
            SWEEP,
            result_type=Swept,
            start_to_close_timeout=timedelta(minutes=1),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary="Wake what waits for a signal that got lost; forget old live events",
        )
        return swept
