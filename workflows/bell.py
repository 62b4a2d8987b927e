"""Wakes what sends mail, and tells escalations, right after the transaction that wrote of it."""

import asyncio
from datetime import timedelta
from typing import Any
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
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import SendMail
from db.mail import Bell, MailToCome, RaiseToCome
from domain.escalation_commands import Spoken
from domain.ids import escalation_workflow_id, gathering_workflow_id, mail_workflow_id
from settings import Settings
from workflows.escalation import EscalationWorkflow
from workflows.gathering import GatheringWorkflow, StartGathering
from workflows.messages import StartEscalation
from workflows.search_attributes import TICKET_ORGANIZATION
from workflows.sending import SendingWorkflow
from workflows.sweeping import SweepWorkflow

log = structlog.get_logger(__name__)

SWEPT_EVERY = timedelta(minutes=1)
_PATIENCE = timedelta(seconds=2)
"""What is not reached by then is left to the next sweep, for somebody waits for an answer."""


def make_bell(client: Client, settings: Settings) -> Bell:
    """A bell on the client's cluster; it wakes no mail where no mail server is set."""
    queue = settings.temporal_task_queue
    mails = settings.smtp_host is not None

    async def ring(waiting: MailToCome) -> None:
        calls = [raise_by_signal(client, settings, each) for each in waiting.raisings.values()]
        calls += [_spoken(client, conversation_id, fact) for conversation_id, fact in waiting.spoken.items()]
        if mails:
            calls += [_send(client, queue, mail_id) for mail_id in waiting.mail_ids]
            calls += [_gather(client, queue, member_id) for member_id in waiting.member_ids]
        for result in await asyncio.gather(*calls, return_exceptions=True):
            # A client that connects late says by RuntimeError that it cannot.
            if isinstance(result, RPCError | RuntimeError):
                log.warning("not_signalled", error=type(result).__name__)
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


async def raise_by_signal(client: Client, settings: Settings, wanted: RaiseToCome) -> None:
    """Tell the conversation's escalation of a reason, and start it with that where none is live.

    Safe to repeat: a reason counts once, also when the escalation that took it has ended.
    """
    await client.start_workflow(
        EscalationWorkflow.run,
        StartEscalation(
            organization_id=wanted.organization_id,
            conversation_id=wanted.conversation_id,
            history_limit=settings.history_limit,
        ),
        **escalation_options(settings, wanted.organization_id, wanted.conversation_id),
        start_signal="raised",
        start_signal_args=[wanted.raising],
        rpc_timeout=_PATIENCE,
    )


def escalation_options(settings: Settings, organization_id: UUID, conversation_id: UUID) -> dict[str, Any]:
    """How a conversation's escalation is started, or found where it runs."""
    return {
        "id": escalation_workflow_id(conversation_id),
        "task_queue": settings.temporal_task_queue,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        "search_attributes": TypedSearchAttributes([SearchAttributePair(TICKET_ORGANIZATION, str(organization_id))]),
        "static_summary": f"Escalation of conversation {conversation_id}",
    }


async def _spoken(client: Client, conversation_id: UUID, fact: Spoken) -> None:
    try:
        handle = client.get_workflow_handle(escalation_workflow_id(conversation_id))
        await handle.signal("spoken", fact, rpc_timeout=_PATIENCE)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended, and nobody owes anything
            raise


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
