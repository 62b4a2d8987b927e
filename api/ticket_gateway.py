"""The way to a ticket's workflow and back: commands, facts, live state, and every way Temporal can fail."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from temporalio.client import (
    Client,
    RPCError,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from api.security import update_id
from api.temporal_answers import away, temporal_answers, unknown
from domain.commands import (
    AgentReplied,
    Assign,
    ChangeStatus,
    Command,
    CustomerReplied,
    Edit,
    Escalate,
    Merge,
    NoteAdded,
    PolicyChanged,
)
from domain.ids import workflow_id
from domain.ticket import Ticket
from settings import Settings
from workflows.attributes import attributes_of
from workflows.details import summary
from workflows.handles import ticket_handle
from workflows.messages import Created, LiveTicket, Outcome, StartTicket, Submitted
from workflows.search_attributes import TICKET_ORGANIZATION
from workflows.ticket import TicketWorkflow

_UPDATES: dict[type, Any] = {
    ChangeStatus: TicketWorkflow.change_status,
    Assign: TicketWorkflow.assign,
    Edit: TicketWorkflow.edit,
    Escalate: TicketWorkflow.escalate,
    Merge: TicketWorkflow.merge,
}
_SIGNALS: dict[type, Any] = {
    CustomerReplied: TicketWorkflow.customer_replied,
    AgentReplied: TicketWorkflow.agent_replied,
    NoteAdded: TicketWorkflow.note_added,
    PolicyChanged: TicketWorkflow.policy_changed,
}

Fact = CustomerReplied | AgentReplied | NoteAdded | PolicyChanged


@dataclass(frozen=True)
class TicketGateway:
    """Talks to ticket workflows; raises ``Problem`` for what a client should know, ``RunEnded`` for what it should not.

    Every call may be repeated with the same request id.
    """

    client: Client
    settings: Settings

    async def start(self, ticket: Ticket, created: Created) -> None:
        """Start a new ticket's workflow; nothing happens if it has been started before."""
        async with temporal_answers(self._timeout):
            try:
                await self.client.start_workflow(
                    TicketWorkflow.run,
                    StartTicket(
                        ticket_id=ticket.id, ticket=ticket, created=created, history_limit=self.settings.history_limit
                    ),
                    id=workflow_id(ticket.id),
                    task_queue=self.settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=attributes_of(ticket),
                    static_summary=summary(ticket),
                    rpc_timeout=self._timeout,
                )
            except WorkflowAlreadyStartedError:
                return
            except RPCError as error:
                # There is nothing that could be missing: a server that is overwhelmed may say so all the same.
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise away() from None
                raise

    async def open(self, start: StartTicket, fact: Fact) -> bool:
        """Start a new ticket with the first fact it is told, and tell one that runs already; false for one that ended.

        Safe to repeat: a ticket starts once, and takes a fact once.
        """
        assert start.ticket is not None
        async with temporal_answers(self._timeout):
            try:
                await self.client.start_workflow(
                    TicketWorkflow.run,
                    start,
                    id=workflow_id(start.ticket_id),
                    task_queue=self.settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    search_attributes=attributes_of(start.ticket),
                    static_summary=summary(start.ticket),
                    start_signal=_SIGNALS[type(fact)].__name__,
                    start_signal_args=[fact],
                    rpc_timeout=self._timeout,
                )
            except WorkflowAlreadyStartedError:
                return False
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    raise away() from None
                raise
        return True

    async def command(self, ticket_id: UUID, command: Command | Merge) -> Outcome:
        """Have the workflow act on a command, and return what it made of it."""
        handle = self._handle(ticket_id)
        async with temporal_answers(self._timeout):
            outcome: Outcome = await handle.execute_update(
                _UPDATES[type(command)], command, id=self._update_id(command), rpc_timeout=self._timeout
            )
        return outcome

    async def reopen(self, ticket: Ticket, command: ChangeStatus) -> Outcome:
        """The same for a closed ticket: its next run starts with the command."""
        next_run = WithStartWorkflowOperation(
            TicketWorkflow.run, self._next_run(ticket.id), **self._next_run_options(ticket)
        )
        async with temporal_answers(self._timeout):
            try:
                outcome: Outcome = await self.client.execute_update_with_start_workflow(
                    _UPDATES[ChangeStatus],
                    command,
                    id=self._update_id(command),
                    start_workflow_operation=next_run,
                    rpc_timeout=self._timeout,
                )
            except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError):
                # The operation's own future has the same error by now, and asyncio logs one that nobody asked for.
                with suppress(RPCError, asyncio.CancelledError):
                    await next_run.workflow_handle()
                raise
        return outcome

    async def submit(self, ticket: Ticket, command: Command, *, start: bool) -> None:
        """Hand a command on without waiting; with ``start`` a closed ticket's next run begins with it."""
        await self._signal(ticket, TicketWorkflow.submit, Submitted(command=command), start=start)

    async def tell(self, ticket: Ticket, fact: Fact, *, start: bool = False) -> None:
        """Tell the workflow a fact; with ``start`` a closed ticket's next run begins with it."""
        await self._signal(ticket, _SIGNALS[type(fact)], fact, start=start)

    async def tell_running(self, ticket_id: UUID, fact: Fact) -> None:
        """Tell a workflow that runs a fact, without knowing more of its ticket."""
        async with temporal_answers(self._timeout):
            await self._handle(ticket_id).signal(_SIGNALS[type(fact)], fact, rpc_timeout=self._timeout)

    async def owner_of(self, ticket_id: UUID) -> UUID:
        """The organization of a ticket that has a workflow; it needs no worker to know."""
        async with temporal_answers(self._timeout):
            description = await self._handle(ticket_id).describe(rpc_timeout=self._timeout)
        return UUID(description.typed_search_attributes[TICKET_ORGANIZATION])

    async def require_ended(self, ticket_id: UUID) -> None:
        """Return once nothing more can be recorded of the ticket's run; ``outcome_unknown`` while it still works."""
        async with temporal_answers(self._timeout):
            description = await self._handle(ticket_id).describe(rpc_timeout=self._timeout)
        if description.status is WorkflowExecutionStatus.RUNNING:
            raise unknown()

    async def live(self, ticket_id: UUID) -> LiveTicket:
        """What the workflow holds at this moment, also after it has ended, while its history is kept."""
        async with temporal_answers(self._timeout):
            live: LiveTicket = await self._handle(ticket_id).query(TicketWorkflow.live, rpc_timeout=self._timeout)
        return live

    async def _signal(self, ticket: Ticket, signal: Any, argument: Any, *, start: bool) -> None:
        async with temporal_answers(self._timeout):
            if start:
                await self.client.start_workflow(
                    TicketWorkflow.run,
                    self._next_run(ticket.id),
                    **self._next_run_options(ticket),
                    start_signal=signal.__name__,
                    start_signal_args=[argument],
                    rpc_timeout=self._timeout,
                )
            else:
                await self._handle(ticket.id).signal(signal, argument, rpc_timeout=self._timeout)

    def _next_run(self, ticket_id: UUID) -> StartTicket:
        return StartTicket(ticket_id=ticket_id, history_limit=self.settings.history_limit)

    def _next_run_options(self, ticket: Ticket) -> dict[str, Any]:
        return {
            "id": workflow_id(ticket.id),
            "task_queue": self.settings.temporal_task_queue,
            "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
            "search_attributes": attributes_of(ticket),
            "static_summary": summary(ticket),
        }

    def _update_id(self, command: Command | Merge) -> str:
        return update_id(command.request_id, self.settings.secret_key)

    def _handle(self, ticket_id: UUID) -> WorkflowHandle[TicketWorkflow, Ticket]:
        return ticket_handle(self.client, ticket_id)

    @property
    def _timeout(self) -> timedelta:
        return self.settings.command_timeout
