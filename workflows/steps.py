"""The activities a ticket's workflow calls; a ticket must not be dropped for an outage."""

from datetime import timedelta

from temporalio import workflow

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
    from workflows.calling import call


async def record(batch: TicketBatch) -> Recorded:
    """Write the batch to the read model, however long that takes."""
    kinds = ", ".join(dict.fromkeys(event.kind for event in batch.events))
    return await call(RECORD_TICKET, batch, Recorded, f"Record {kinds} (v{batch.ticket.version})")


async def load(request: LoadTicket) -> LoadedTicket:
    """Read what a closed ticket left behind."""
    return await call(LOAD_TICKET, request, LoadedTicket, "Read the closed ticket")


async def choose_assignee(ticket: Ticket, timer: Timer, successor: Successor) -> Choice:
    """Find who takes the ticket over at a ladder's step."""
    run = run_of(ticket, timer)
    request = ChooseAssignee(
        organization_id=ticket.organization_id,
        team_id=ticket.team_id,
        assignee_id=ticket.assignee_id,
        tried=run.tried if run else (),
        successor=successor,
        ticket_id=ticket.id,
        episode=ticket.assignment_episode,
    )
    return await call(CHOOSE_ASSIGNEE, request, Choice, f"Find the {successor.value.replace('_', ' ')}")


async def merge(request: MergeTicket) -> MergedTicket:
    """Have another ticket take this one over, or learn why none does; safe to repeat until one of both is known."""
    waits_for_the_others_workflow = timedelta(seconds=20)
    return await call(
        MERGE_TICKET, request, MergedTicket, "Merge into another ticket", attempt=waits_for_the_others_workflow
    )


async def forward(request: ForwardFact) -> None:
    """Tell the ticket that this one was merged into what was meant for this one."""
    await call(FORWARD_FACT, request, type(None), "Forward to the ticket that goes on")
