"""Makes an escalation's read model anew from the workflow of its conversation, as is done for tickets."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.escalation_record import EscalationRecord
from activities.signatures import RECORD_ESCALATION, EscalationBatch
from domain.escalation import Escalation
from domain.ids import escalation_workflow_id
from repair.rebuilding import CannotRebuild
from workflows.escalation import EscalationWorkflow
from workflows.handles import escalation_handle


@dataclass(frozen=True)
class EscalationRebuilding:
    """Writes through the read model's one writer."""

    temporal: Client
    record: EscalationRecord

    async def rebuild(self, conversation_id: UUID) -> Escalation:
        """Write the conversation's escalations as its workflow has them, and return the latest.

        Safe to repeat, and beside a running one. Changes of runs that Temporal has forgotten stay as they are. Nobody
        is told anything twice. Raises ``CannotRebuild``.
        """
        handle = escalation_handle(self.temporal, conversation_id)
        live, written = (await handle.query(EscalationWorkflow.live)).escalation, None
        while live is not None and live != written:  # it may have gone on meanwhile
            batches = await self._batches(conversation_id)
            batches.sort(key=lambda batch: (batch.escalation.raised_at, batch.escalation.version))
            try:
                await self.record.restore(live, batches)
            except ApplicationError as error:
                raise CannotRebuild(f"{error.message} Restart it instead.") from error
            except IntegrityError as error:
                raise CannotRebuild("Postgres refuses its row; its organization may be gone.") from error
            live, written = (await handle.query(EscalationWorkflow.live)).escalation, live
        if live is None:
            raise CannotRebuild("its workflow has no escalation.")
        return live

    async def _batches(self, conversation_id: UUID) -> list[EscalationBatch]:
        """Every batch all kept runs handed to the record."""
        converter = self.temporal.data_converter
        found = []
        query = f"WorkflowId = '{escalation_workflow_id(conversation_id)}'"
        async for execution in self.temporal.list_workflows(query):
            handle = self.temporal.get_workflow_handle(execution.id, run_id=execution.run_id)
            async for event in handle.fetch_history_events():
                scheduled = event.activity_task_scheduled_event_attributes
                is_record = scheduled.activity_type.name == RECORD_ESCALATION
                if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED and is_record:
                    (batch,) = await converter.decode(scheduled.input.payloads, [EscalationBatch])
                    found.append(batch)
        return found
