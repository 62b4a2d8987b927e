"""Rollouts: telling running tickets of changed rules, as a workflow that nothing interrupts."""

import asyncio
from dataclasses import dataclass
from uuid import UUID, uuid5

from temporalio.client import RPCError, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from api.dependencies import Principal, Services
from api.idempotency import RequestId
from api.problems import Problem, not_found
from api.schemas.sla import RolloutView
from workflows.rollout import RolloutProgress, RolloutWorkflow, StartRollout


@dataclass(frozen=True)
class Rollouts:
    """Starts and reads the caller's rollouts."""

    services: Services
    caller: Principal

    def id_of(self, request: RequestId) -> UUID:
        """The rollout that a request starts, however often it is sent."""
        return uuid5(self.caller.organization_id, f"rollout:{request.key}")

    async def start(self, request: RequestId, reason: str) -> None:
        """Begin to tell the organization's running tickets; once for a request."""
        rollout_id = self.id_of(request)
        start = StartRollout(organization_id=self.caller.organization_id, rollout_id=rollout_id, reason=reason)
        timeout = self.services.settings.command_timeout
        try:
            # The client's own timeout is for one attempt; while Temporal is away it makes several.
            async with asyncio.timeout(timeout.total_seconds()):
                await self.services.temporal.start_workflow(
                    RolloutWorkflow.run,
                    start,
                    id=self._workflow_id(rollout_id),
                    task_queue=self.services.settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=reason[:200],
                    rpc_timeout=timeout,
                )
        except WorkflowAlreadyStartedError:
            pass
        except (RPCError, TimeoutError):
            raise Problem(
                "temporal_unavailable",
                "The change is saved, but running tickets could not be told: Temporal does not answer. "
                "Send the request again with the same Idempotency-Key.",
            ) from None

    async def read(self, rollout_id: UUID) -> RolloutView:
        """How far a rollout has come, or ``not_found``."""
        timeout = self.services.settings.command_timeout
        handle: WorkflowHandle[RolloutWorkflow, RolloutProgress] = self.services.temporal.get_workflow_handle(
            self._workflow_id(rollout_id), result_type=RolloutProgress
        )
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                description = await handle.describe(rpc_timeout=timeout)
                progress = await handle.query(RolloutWorkflow.progress, rpc_timeout=timeout)
        except (RPCError, TimeoutError) as error:
            if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
                raise not_found("rollout") from None
            raise Problem("temporal_unavailable", "Temporal does not answer; ask again.") from None
        running = description.status in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW)
        return RolloutView(
            id=rollout_id, status="running" if running else "done", examined=progress.examined, told=progress.told
        )

    def _workflow_id(self, rollout_id: UUID) -> str:
        return f"rollout-{self.caller.organization_id}-{rollout_id}"
