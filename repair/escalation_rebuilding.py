"""Makes an escalation's read model anew from the workflow of its conversation, as is done for tickets."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.escalation_record import EscalationRecord
from activities.signatures import RECORD_ESCALATION, EscalationBatch
from domain.escalation import Escalation
from domain.ids import escalation_workflow_id
from repair.histories import batches_of
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
            known_as = escalation_workflow_id(conversation_id)
            batches = await batches_of(self.temporal, known_as, RECORD_ESCALATION, EscalationBatch)
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
