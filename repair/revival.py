"""Starts a ticket's workflow again from its read model."""

from dataclasses import dataclass
from uuid import UUID

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from domain.ids import workflow_id
from domain.ticket import Ticket
from settings import Settings
from workflows.attributes import attributes_of
from workflows.details import summary
from workflows.messages import StartTicket
from workflows.ticket import TicketWorkflow


@dataclass(frozen=True)
class Revival:
    """Starts runs; what they decide first is what has fallen due meanwhile."""

    temporal: Client
    settings: Settings

    async def start(self, ticket: Ticket) -> None:
        """Start a run that reads the ticket's state from the read model; a run that lives is left alone."""
        await self.temporal.start_workflow(
            TicketWorkflow.run,
            StartTicket(ticket_id=ticket.id, history_limit=self.settings.history_limit),
            id=workflow_id(ticket.id),
            task_queue=self.settings.temporal_task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            search_attributes=attributes_of(ticket),
            static_summary=summary(ticket),
        )

    async def terminate(self, ticket_id: UUID, reason: str) -> None:
        """End a stuck run. What it had decided and not recorded is lost with it."""
        await self.temporal.get_workflow_handle(workflow_id(ticket_id)).terminate(reason=reason)
