"""What the kept runs of a workflow handed to the writer of its read model."""

from typing import TypeVar

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

T = TypeVar("T")


async def batches_of(temporal: Client, of_workflow: str, activity: str, kind: type[T]) -> list[T]:
    """The input of every task of the activity in all runs that Temporal has not forgotten, in no order of runs."""
    found = []
    async for execution in temporal.list_workflows(f"WorkflowId = '{of_workflow}'"):
        handle = temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
        async for event in handle.fetch_history_events():
            scheduled = event.activity_task_scheduled_event_attributes
            is_record = scheduled.activity_type.name == activity
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and is_record:
                (batch,) = await temporal.data_converter.decode(scheduled.input.payloads, [kind])
                found.append(batch)
    return found
