"""The activities a ticket's workflow calls, with the patience each deserves."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import (
        CHOOSE_ASSIGNEE,
        FORWARD_FACT,
        LOAD_TICKET,
        MERGE_TICKET,
        RECORD_TICKET,
        ChooseAssignee,
        ForwardFact,
        LoadedTicket,
        LoadTicket,
        MergedTicket,
        MergeTicket,
        Recorded,
        TicketBatch,
    )
    from domain.ladders import Successor
    from domain.ticket import Ticket
    from domain.timers import Choice, Timer, run_of

# Forever, since a ticket must not be dropped for a database's outage; the ceiling decides how soon
# after such an outage the read model is right again.
_FOREVER = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
# Short, since a worker that dies inside an activity is only noticed when this has passed.
_ATTEMPT = timedelta(seconds=5)


async def record(batch: TicketBatch) -> Recorded:
    """Write the batch to the read model, however long that takes."""
    recorded: Recorded = await workflow.execute_activity(
        RECORD_TICKET,
        batch,
        result_type=Recorded,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary=f"Record {', '.join(dict.fromkeys(event.kind for event in batch.events))} (v{batch.ticket.version})",
    )
    return recorded


async def load(request: LoadTicket) -> LoadedTicket:
    """Read what a closed ticket left behind."""
    loaded: LoadedTicket = await workflow.execute_activity(
        LOAD_TICKET,
        request,
        result_type=LoadedTicket,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary="Read the closed ticket",
    )
    return loaded


async def choose_assignee(ticket: Ticket, timer: Timer, successor: Successor) -> Choice:
    """Find who takes the ticket over at a ladder's step."""
    run = run_of(ticket, timer)
    choice: Choice = await workflow.execute_activity(
        CHOOSE_ASSIGNEE,
        ChooseAssignee(
            organization_id=ticket.organization_id,
            team_id=ticket.team_id,
            assignee_id=ticket.assignee_id,
            tried=run.tried if run else (),
            successor=successor,
            ticket_id=ticket.id,
            episode=ticket.assignment_episode,
        ),
        result_type=Choice,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary=f"Find the {successor.value.replace('_', ' ')}",
    )
    return choice


async def merge(request: MergeTicket) -> MergedTicket:
    """Have another ticket take this one over, or learn why none does; safe to repeat until one of both is known."""
    merged: MergedTicket = await workflow.execute_activity(
        MERGE_TICKET,
        request,
        result_type=MergedTicket,
        start_to_close_timeout=4 * _ATTEMPT,  # it waits for the other ticket's workflow
        retry_policy=_FOREVER,
        summary="Merge into another ticket",
    )
    return merged


async def forward(request: ForwardFact) -> None:
    """Tell the ticket that this one was merged into what was meant for this one."""
    await workflow.execute_activity(
        FORWARD_FACT,
        request,
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_FOREVER,
        summary="Forward to the ticket that goes on",
    )
