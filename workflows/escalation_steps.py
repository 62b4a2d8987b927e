"""The activities an escalation's workflow calls; nobody who waits for a human must be dropped for an outage."""

from temporalio import workflow

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
    from workflows.calling import call


async def load(request: LoadEscalation) -> LoadedEscalation:
    """Read the conversation, and whether what is asked was dealt with before."""
    return await call(LOAD_ESCALATION, request, LoadedEscalation, "Read the conversation")


async def record(batch: EscalationBatch) -> RecordedEscalation:
    """Write the batch to the read model, however long that takes."""
    kinds = ", ".join(dict.fromkeys(each.kind for each in batch.changes))
    return await call(RECORD_ESCALATION, batch, RecordedEscalation, f"Record {kinds} (v{batch.escalation.version})")


async def look_after(request: LookAfterEscalation) -> Look:
    """See whether the owner still owes an answer, and is still away."""
    return await call(LOOK_AFTER_ESCALATION, request, Look, "Look whether its owner is there")
