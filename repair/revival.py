"""Starts the workflow of a ticket, or of an escalation, again from its read model."""

from collections.abc import Mapping
from dataclasses import dataclass

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from domain.commands import Remembered
from domain.escalation import Escalation
from domain.ids import workflow_id
from domain.ticket import Ticket
from settings import Settings
from workflows.attributes import attributes_of
from workflows.bell import escalation_options
from workflows.details import summary
from workflows.escalation import EscalationWorkflow
from workflows.messages import StartEscalation, StartTicket
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

    async def start_escalation(self, escalation: Escalation, remembered: Mapping[str, Remembered]) -> None:
        """Start a run that goes on with the escalation as it is on record; a run that lives is left alone."""
        of = (escalation.organization_id, escalation.conversation_id)
        await self.temporal.start_workflow(
            EscalationWorkflow.run,
            StartEscalation(
                organization_id=escalation.organization_id,
                conversation_id=escalation.conversation_id,
                escalation=escalation,
                remembered=dict(remembered),
                history_limit=self.settings.history_limit,
            ),
            **escalation_options(self.settings, *of),
        )

    async def terminate(self, workflow: str, reason: str) -> None:
        """End a stuck run. What it had decided and not recorded is lost with it."""
        await self.temporal.get_workflow_handle(workflow).terminate(reason=reason)
