"""Wakes what sends mail and deliveries, right after the transaction that wrote them."""

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.client import ScheduleIntervalSpec as Interval
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError

from activities.signatures import SendMail
from db.mail import Bell, MailToCome
from domain.ids import deliveries_workflow_id, gathering_workflow_id, mail_workflow_id
from settings import Settings
from workflows.delivering import DeliveringWorkflow, StartDelivering
from workflows.gathering import GatheringWorkflow, StartGathering
from workflows.sending import SendingWorkflow
from workflows.sweeping import SweepWorkflow

log = structlog.get_logger(__name__)

SWEPT_EVERY = timedelta(minutes=1)
_PATIENCE = timedelta(seconds=2)
"""What is not reached by then is left to the next sweep, for somebody waits for an answer."""


def make_bell(client: Client, settings: Settings) -> Bell:
    """A bell on the client's cluster; silent about mails where no mail server is set."""
    queue = settings.temporal_task_queue

    async def ring(waiting: MailToCome) -> None:
        calls = [_deliver(client, queue, conversation_id, "told") for conversation_id in waiting.conversation_ids]
        calls += [_deliver(client, queue, conversation_id, "look_again") for conversation_id in waiting.changed_ids]
        if settings.smtp_host is not None:
            calls += [_send(client, queue, mail_id) for mail_id in waiting.mail_ids]
            calls += [_gather(client, queue, member_id) for member_id in waiting.member_ids]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            # A client that connects late says by RuntimeError that it cannot.
            if isinstance(result, RPCError | RuntimeError):
                log.warning("sending_not_signalled", error=type(result).__name__)
            elif isinstance(result, BaseException):
                raise result

    return ring


async def _send(client: Client, queue: str, mail_id: UUID) -> None:
    await client.start_workflow(
        SendingWorkflow.run,
        SendMail(mail_id=mail_id),
        id=mail_workflow_id(mail_id),
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        rpc_timeout=_PATIENCE,
    )


async def _gather(client: Client, queue: str, member_id: UUID) -> None:
    await client.start_workflow(
        GatheringWorkflow.run,
        StartGathering(member_id=member_id),
        id=gathering_workflow_id(member_id),
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="told",
        rpc_timeout=_PATIENCE,
    )


async def _deliver(client: Client, queue: str, conversation_id: UUID, signal: str) -> None:
    await client.start_workflow(
        DeliveringWorkflow.run,
        StartDelivering(conversation_id=conversation_id),
        id=deliveries_workflow_id(conversation_id),
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal=signal,
        rpc_timeout=_PATIENCE,
    )


async def ensure_sweeps(client: Client, settings: Settings) -> None:
    """Have a sweep started every minute, by one schedule however many workers call this. Safe to repeat."""
    queue = settings.temporal_task_queue
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(SweepWorkflow.run, id=f"sweep-{queue}", task_queue=queue),
        spec=ScheduleSpec(intervals=[Interval(every=SWEPT_EVERY)]),
        # Nothing is gained by making up for sweeps that an outage prevented.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=10)),
    )

    def as_above(_: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(schedule)

    try:
        await client.create_schedule(f"sweeps-{queue}", schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(f"sweeps-{queue}").update(as_above)
