"""Whether a run makes progress, and what hinders it."""

from dataclasses import dataclass

from temporalio.client import WorkflowExecutionDescription
from temporalio.converter import DataConverter

from activities.ticket_record import ANOTHER_HISTORY

STUCK_ATTEMPTS = 5
"""A workflow task or an activity that failed so often in a row needs somebody to look."""


@dataclass(frozen=True)
class Hindrance:
    """What a run fails at, in words for an operator."""

    words: str
    of_another_history: bool = False
    """The record tells of decisions this run does not know of: it was restored from an older backup."""


async def stuck(description: WorkflowExecutionDescription, converter: DataConverter) -> Hindrance | None:
    """Why a run makes no progress; ``None`` when it does."""
    raw = description.raw_description
    if raw.HasField("pending_workflow_task") and raw.pending_workflow_task.attempt >= STUCK_ATTEMPTS:
        attempts = raw.pending_workflow_task.attempt
        return Hindrance(f"its workflow task failed {attempts} times; the worker's log says why")
    for activity in raw.pending_activities:
        failure = activity.last_failure
        if failure.HasField("server_failure_info") and failure.HasField("cause"):
            failure = failure.cause  # too long for the server, which puts what it kept of it here
        if failure.application_failure_info.type == ANOTHER_HISTORY:
            return Hindrance("its workflow is older than its record", of_another_history=True)
        if activity.attempt >= STUCK_ATTEMPTS:
            error = await converter.decode_failure(failure)
            # Only the first line: a database's second one quotes the row.
            why = str(error).partition("\n")[0] or "see the Temporal UI"
            return Hindrance(f"{activity.activity_type.name} failed {activity.attempt - 1} times: {why}")
    return None
