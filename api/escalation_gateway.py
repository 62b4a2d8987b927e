"""The way to an escalation's workflow and back."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from temporalio.client import Client, RPCError, WithStartWorkflowOperation, WorkflowUpdateRPCTimeoutOrCancelledError

from api.security import update_id
from api.temporal_answers import RunEnded, temporal_answers
from domain.escalation_commands import AttachTicket, Claim, Dismiss, EscalationCommand, HandBack, Resolve
from domain.ids import escalation_workflow_id
from settings import Settings
from workflows.bell import escalation_options
from workflows.escalation import EscalationWorkflow
from workflows.messages import EscalationOutcome, StartEscalation

_UPDATES: dict[type, Any] = {
    Claim: EscalationWorkflow.claim,
    HandBack: EscalationWorkflow.hand_back,
    Resolve: EscalationWorkflow.resolve,
    Dismiss: EscalationWorkflow.dismiss,
    AttachTicket: EscalationWorkflow.attach_ticket,
}

_TRIES = 3
"""A run may end at the moment it is asked; the next one is started by asking again."""


@dataclass(frozen=True)
class EscalationGateway:
    """Talks to escalation workflows; every call may be repeated with the same request id.

    Raises ``Problem`` for what a client should know, ``RunEnded`` where no escalation of the conversation is live.
    """

    client: Client
    settings: Settings

    async def command(self, conversation_id: UUID, command: EscalationCommand) -> EscalationOutcome:
        """Have the workflow act on a command, and return what it made of it."""
        handle = self.client.get_workflow_handle(escalation_workflow_id(conversation_id))
        async with temporal_answers(self.settings.command_timeout):
            outcome: EscalationOutcome = await handle.execute_update(
                _UPDATES[type(command)],
                command,
                id=self._update_id(command),
                rpc_timeout=self.settings.command_timeout,
            )
        return outcome

    async def take_over(self, organization_id: UUID, conversation_id: UUID, command: Claim) -> EscalationOutcome:
        """Claim what is live, or make a claimed escalation; of several at once, one does either."""
        for _ in range(_TRIES):
            with suppress(RunEnded):
                return await self._take_over(organization_id, conversation_id, command)
        raise RunEnded

    async def _take_over(self, organization_id: UUID, conversation_id: UUID, command: Claim) -> EscalationOutcome:
        start = WithStartWorkflowOperation(
            EscalationWorkflow.run,
            StartEscalation(
                organization_id=organization_id,
                conversation_id=conversation_id,
                history_limit=self.settings.history_limit,
            ),
            **escalation_options(self.settings, organization_id, conversation_id),
        )
        async with temporal_answers(self.settings.command_timeout):
            try:
                outcome: EscalationOutcome = await self.client.execute_update_with_start_workflow(
                    _UPDATES[Claim],
                    command,
                    id=self._update_id(command),
                    start_workflow_operation=start,
                    rpc_timeout=self.settings.command_timeout,
                )
            except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError):
                # The operation's own future has the same error by now, and asyncio logs one that nobody asked for.
                with suppress(RPCError, asyncio.CancelledError):
                    await start.workflow_handle()
                raise
        return outcome

    def _update_id(self, command: EscalationCommand) -> str:
        return update_id(command.request_id, self.settings.secret_key)
