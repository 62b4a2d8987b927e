"""The activities an escalation's workflow calls, with the patience each deserves."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import (
        LOAD_ESCALATION,
        LOOK_AFTER_ESCALATION,
        RECORD_ESCALATION,
        EscalationBatch,
        LoadedEscalation,
        LoadEscalation,
        LookAfterEscalation,
        RecordedEscalation,
    )
    from domain.escalation_timers import Look

# As for tickets: forever, since nobody who waits for a human must be dropped for a database's outage.
_FOREVER = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
_ATTEMPT = timedelta(seconds=5)


async def load(request: LoadEscalation) -> LoadedEscalation:
    """Read the conversation, and whether what is asked was dealt with before."""
    loaded: LoadedEscalation = await workflow.execute_activity(
        LOAD_ESCALATION,
        request,
        result_type=LoadedEscalation,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary="Read the conversation",
    )
    return loaded


async def record(batch: EscalationBatch) -> RecordedEscalation:
    """Write the batch to the read model, however long that takes."""
    recorded: RecordedEscalation = await workflow.execute_activity(
        RECORD_ESCALATION,
        batch,
        result_type=RecordedEscalation,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary=f"Record {', '.join(dict.fromkeys(each.kind for each in batch.changes))} (v{batch.escalation.version})",
    )
    return recorded


async def look_after(request: LookAfterEscalation) -> Look:
    """See whether the owner still owes an answer, and is still away."""
    look: Look = await workflow.execute_activity(
        LOOK_AFTER_ESCALATION,
        request,
        result_type=Look,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary="Look whether its owner is there",
    )
    return look
