"""Handles on running workflows, typed in one place: their ids come from ``domain.ids``."""

from uuid import UUID

from temporalio.client import Client, WorkflowHandle

from domain.ids import workflow_id
from domain.ticket import Ticket
from workflows.ticket import TicketWorkflow


def ticket_handle(client: Client, ticket_id: UUID) -> WorkflowHandle[TicketWorkflow, Ticket]:
    """The ticket's latest run, whether it runs or has ended; asks nothing of the server yet."""
    return client.get_workflow_handle(workflow_id(ticket_id), result_type=Ticket)
