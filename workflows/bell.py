"""Wakes what sends mail and deliveries, and tells escalations, right after the transaction that wrote of it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
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
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import SendMail
from db.bell import Bell, LeftToTell, OpeningToCome, RaiseToCome, TellingToCome
from domain.commands import AgentReplied, CustomerReplied
from domain.escalation_commands import PresenceChanged, Spoken
from domain.ids import (
    deliveries_workflow_id,
    escalation_workflow_id,
    gathering_workflow_id,
    mail_workflow_id,
    workflow_id,
)
from settings import Settings
from workflows.attributes import attributes_of
from workflows.delivering import DeliveringWorkflow, StartDelivering
from workflows.details import summary
from workflows.escalation import EscalationWorkflow
from workflows.gathering import GatheringWorkflow, StartGathering
from workflows.messages import StartEscalation, StartTicket
from workflows.search_attributes import TICKET_ORGANIZATION
from workflows.sending import SendingWorkflow
from workflows.sweeping import SweepWorkflow
from workflows.ticket import TicketWorkflow

log = structlog.get_logger(__name__)

_PATIENCE = timedelta(seconds=2)
"""What is not reached by then is left to the next sweep, for somebody waits for an answer."""


def make_bell(client: Client, settings: Settings) -> Bell:
    """A bell on the client's cluster; it wakes no mail where no mail server is set."""
    queue = settings.temporal_task_queue
    mails = settings.smtp_host is not None

    async def ring(waiting: LeftToTell) -> None:
        calls = [_deliver(client, queue, conversation_id, "told") for conversation_id in waiting.conversation_ids]
        calls += [_deliver(client, queue, conversation_id, "look_again") for conversation_id in waiting.changed_ids]
        calls += [_raise_in_turn(client, settings, each) for each in _by_conversation(waiting)]
        calls += [_tell(client, each, "spoken", fact) for each, fact in waiting.spoken.items()]
        calls += [_tell(client, each, "presence_changed", fact) for each, fact in waiting.presences.items()]
        calls += [_open(client, settings, each) for each in waiting.openings.values()]
        calls += [_tell_in_turn(client, settings, each) for each in _by_ticket(waiting)]
        if mails:
            calls += [_send(client, queue, mail_id) for mail_id in waiting.mail_ids]
            calls += [_gather(client, queue, member_id) for member_id in waiting.member_ids]
        for result in await asyncio.gather(*map(_bounded, calls), return_exceptions=True):
            # A client that connects late says by RuntimeError that it cannot.
            if isinstance(result, RPCError | RuntimeError | TimeoutError):
                log.warning("not_signalled", error=type(result).__name__)
            elif isinstance(result, BaseException):
                raise result

    return ring


async def _bounded(call: Coroutine[Any, Any, None]) -> None:
    """No longer than our patience: the client's own is for one attempt, and it makes several while Temporal is away."""
    async with asyncio.timeout(_PATIENCE.total_seconds()):
        await call


def _found_or_started(queue: str) -> dict[str, Any]:
    """What makes starting a workflow the same as finding it where it runs."""
    return {
        "task_queue": queue,
        "id_conflict_policy": WorkflowIDConflictPolicy.USE_EXISTING,
        "id_reuse_policy": WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    }


async def _send(client: Client, queue: str, mail_id: UUID) -> None:
    await client.start_workflow(
        SendingWorkflow.run,
        SendMail(mail_id=mail_id),
        id=mail_workflow_id(mail_id),
        **_found_or_started(queue),
        rpc_timeout=_PATIENCE,
    )


async def _gather(client: Client, queue: str, member_id: UUID) -> None:
    await client.start_workflow(
        GatheringWorkflow.run,
        StartGathering(member_id=member_id),
        id=gathering_workflow_id(member_id),
        **_found_or_started(queue),
        start_signal="told",
        rpc_timeout=_PATIENCE,
    )


async def _deliver(client: Client, queue: str, conversation_id: UUID, signal: str) -> None:
    await client.start_workflow(
        DeliveringWorkflow.run,
        StartDelivering(conversation_id=conversation_id),
        id=deliveries_workflow_id(conversation_id),
        **_found_or_started(queue),
        start_signal=signal,
        rpc_timeout=_PATIENCE,
    )


def _by_ticket(waiting: LeftToTell) -> list[list[TellingToCome]]:
    """What one ticket is to be told goes in the order in which it was said."""
    found: dict[UUID, list[TellingToCome]] = {}
    for each in waiting.tellings:
        found.setdefault(each.ticket_id, []).append(each)
    return list(found.values())


async def _tell_in_turn(client: Client, settings: Settings, tellings: list[TellingToCome]) -> None:
    for each in tellings:
        await _tell_ticket(client, settings, each)


async def _tell_ticket(client: Client, settings: Settings, telling: TellingToCome) -> None:
    """Tell a ticket of a message; a ticket takes it once.

    A customer's message is not lost to a run that has ended, be it that the ticket was closed or that its workflow is
    missing: the next one begins with it.
    """
    ticket, fact = telling.reopening, telling.fact
    if ticket is not None:
        await client.start_workflow(
            TicketWorkflow.run,
            StartTicket(ticket_id=ticket.id, history_limit=settings.history_limit),
            id=workflow_id(ticket.id),
            **_found_or_started(settings.temporal_task_queue),
            search_attributes=attributes_of(ticket),
            static_summary=summary(ticket),
            start_signal=_signal_of(fact),
            start_signal_args=[fact],
            rpc_timeout=_PATIENCE,
        )
        return
    try:
        handle = client.get_workflow_handle(workflow_id(telling.ticket_id))
        await handle.signal(_signal_of(fact), fact, rpc_timeout=_PATIENCE)
    except RPCError as error:
        # It is not recorded yet, or has just ended: the next sweep sees which.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise


def _by_conversation(waiting: LeftToTell) -> list[list[RaiseToCome]]:
    """Reasons of one conversation go in the order in which they were given."""
    found: dict[UUID, list[RaiseToCome]] = {}
    for each in waiting.raisings.values():
        found.setdefault(each.conversation_id, []).append(each)
    return list(found.values())


async def _raise_in_turn(client: Client, settings: Settings, reasons: list[RaiseToCome]) -> None:
    for each in reasons:
        await raise_by_signal(client, settings, each)


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
        **_found_or_started(settings.temporal_task_queue),
        "search_attributes": TypedSearchAttributes([SearchAttributePair(TICKET_ORGANIZATION, str(organization_id))]),
        "static_summary": f"Escalation of conversation {conversation_id}",
    }


async def _open(client: Client, settings: Settings, opening: OpeningToCome) -> None:
    """Start a ticket that was left behind, and tell it what was said; one that runs is told it again, and knows it."""
    start = StartTicket.model_validate(opening.start | {"history_limit": settings.history_limit})
    assert start.ticket is not None
    first = opening.facts[:1]  # with the start, as the intake tells it: it has made the ticket
    with suppress(WorkflowAlreadyStartedError):
        await client.start_workflow(
            TicketWorkflow.run,
            start,
            id=workflow_id(start.ticket_id),
            task_queue=settings.temporal_task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=attributes_of(start.ticket),
            static_summary=summary(start.ticket),
            start_signal=_signal_of(first[0]) if first else None,
            start_signal_args=first,
            rpc_timeout=_PATIENCE,
        )
    handle = client.get_workflow_handle(workflow_id(start.ticket_id))
    for fact in opening.facts:
        await handle.signal(_signal_of(fact), fact, rpc_timeout=_PATIENCE)


def _signal_of(fact: CustomerReplied | AgentReplied) -> str:
    return "customer_replied" if isinstance(fact, CustomerReplied) else "agent_replied"


async def _tell(client: Client, conversation_id: UUID, signal: str, fact: Spoken | PresenceChanged) -> None:
    try:
        handle = client.get_workflow_handle(escalation_workflow_id(conversation_id))
        await handle.signal(signal, fact, rpc_timeout=_PATIENCE)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # it has ended, and nobody owes anything
            raise


async def ensure_sweeps(client: Client, settings: Settings) -> None:
    """Have a sweep started every so often, by one schedule however many workers call this. Safe to repeat."""
    queue = settings.temporal_task_queue
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(SweepWorkflow.run, id=f"sweep-{queue}", task_queue=queue),
        spec=ScheduleSpec(intervals=[Interval(every=settings.sweep_every)]),
        # Nothing is gained by making up for sweeps that an outage prevented.
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=timedelta(seconds=10)),
    )

    def as_above(_: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(schedule)

    try:
        await client.create_schedule(f"sweeps-{queue}", schedule)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(f"sweeps-{queue}").update(as_above)
