"""Handles on running workflows, typed in one place: their ids come from ``domain.ids``."""

from uuid import UUID

from temporalio.client import Client, WorkflowHandle

from domain.escalation import Escalation
from domain.ids import escalation_workflow_id, workflow_id
from domain.ticket import Ticket
from workflows.escalation import EscalationWorkflow
from workflows.ticket import TicketWorkflow


def ticket_handle(client: Client, ticket_id: UUID) -> WorkflowHandle[TicketWorkflow, Ticket]:
    """The ticket's latest run, whether it runs or has ended; asks nothing of the server yet."""
    return client.get_workflow_handle(workflow_id(ticket_id), result_type=Ticket)


def escalation_handle(
    client: Client, conversation_id: UUID, run_id: str | None = None
) -> WorkflowHandle[EscalationWorkflow, Escalation | None]:
    """The same for a conversation's escalation; or one run of it."""
    known_as = escalation_workflow_id(conversation_id)
    return client.get_workflow_handle(known_as, run_id=run_id, result_type=Escalation)
