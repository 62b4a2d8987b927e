"""Holds every ticket's read model against its workflow."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from temporalio.client import (
    Client,
    RPCError,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.service import RPCStatusCode

from db.engine import Sessions
from db.models import TicketRow
from db.ticket_histories import count_events
from domain.ids import workflow_id
from domain.ticket import Status, Ticket
from repair.findings import (
    AT_ONCE,
    CannotBeAsked,
    Finding,
    Verdict,
    asked,
    held_against,
    hindered,
    looked_through,
    name_of,
    on_record,
)
from repair.progress import stuck
from workflows.handles import ticket_handle
from workflows.ticket import TicketWorkflow


@dataclass(frozen=True)
class Compared:
    """One ticket's finding; ``detail`` says what a person would want to know next."""

    ticket_id: UUID
    number: int | None
    finding: Finding
    detail: str = ""


@dataclass(frozen=True)
class Comparison:
    """Reads both stores and changes neither. Workflows answer through a worker: one has to run."""

    sessions: Sessions
    temporal: Client

    async def all(self, organization_id: UUID | None = None) -> AsyncIterator[Compared]:
        """Every ticket with a row, then every ticket whose workflow has none."""
        seen: set[str] = set()
        mine = [TicketRow.organization_id == organization_id] if organization_id else []
        async for page in on_record(self.sessions, TicketRow, Ticket, *mine):
            seen.update(workflow_id(ticket.id) for ticket in page)
            for compared in await self._compare(page):
                yield compared
        # Runs that ended for another reason than the ticket's closing left nothing that could be rebuilt.
        query = "WorkflowType = 'Ticket' AND ExecutionStatus IN ('Running', 'Completed')"
        if organization_id:
            query += f" AND TicketOrganization = '{organization_id}'"
        async for execution in self.temporal.list_workflows(query):
            if execution.id not in seen and await self._has_no_row(execution.id):
                seen.add(execution.id)  # a ticket that was reopened has several runs
                detail = f"the row is missing, the workflow is {name_of(execution.status)}"
                yield Compared(_ticket_id(execution.id), None, Finding.NO_ROW, detail)

    async def one(self, ticket: Ticket) -> Compared:
        """The finding for a ticket as its row shows it."""
        return (await self._compare([ticket]))[0]

    async def _compare(self, page: Sequence[Ticket]) -> list[Compared]:
        limit = asyncio.Semaphore(AT_ONCE)
        async with self.sessions() as session:
            events = await count_events(session, [ticket.id for ticket in page])

        async def compare(ticket: Ticket) -> Compared:
            async with limit:
                finding, detail = looked_through(await self._judge(ticket), ticket, events.get(ticket.id, 0))
            return Compared(ticket.id, ticket.number, finding, detail)

        return await asyncio.gather(*(compare(ticket) for ticket in page))

    async def _judge(self, row: Ticket) -> Verdict:
        handle = ticket_handle(self.temporal, row.id)
        try:
            description = await handle.describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if row.status is Status.CLOSED:
                return Finding.HISTORY_GONE, "closed, and Temporal keeps its history no longer"
            return Finding.NO_WORKFLOW, f"{row.status}, and Temporal knows no such workflow"
        if description.status is WorkflowExecutionStatus.RUNNING:
            return await self._judge_running(row, handle, description)
        return await self._judge_ended(row, handle, description)

    async def _judge_running(
        self, row: Ticket, handle: WorkflowHandle[TicketWorkflow, Ticket], description: WorkflowExecutionDescription
    ) -> Verdict:
        hindrance = await stuck(description, self.temporal.data_converter)
        if hindrance:
            return hindered(row, hindrance)
        try:
            live = await asked(handle.query(TicketWorkflow.live))
        except CannotBeAsked as refusal:
            return Finding.STUCK, str(refusal)
        return held_against(row, live.ticket)

    async def _judge_ended(
        self, row: Ticket, handle: WorkflowHandle[TicketWorkflow, Ticket], description: WorkflowExecutionDescription
    ) -> Verdict:
        """A run that ended otherwise than by closing may have decided what was never recorded."""
        closed = row.status is Status.CLOSED
        ended = f"its last run is {name_of(description.status)}"
        try:
            live = (await handle.query(TicketWorkflow.live)).ticket
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError, RPCError):
            live = None  # it never got so far
        if live is not None and live.version > row.version:
            return Finding.BEHIND, f"the row has version {row.version}, the workflow {live.version}; {ended}"
        if not closed:
            return Finding.NO_WORKFLOW, f"{row.status}, and {ended}"
        if live is None or live.version < row.version:
            return Finding.HISTORY_GONE, "closed, and what Temporal keeps of it is older"
        return held_against(row, live)

    async def _has_no_row(self, of_workflow: str) -> bool:
        async with self.sessions() as session:
            return await session.get(TicketRow, _ticket_id(of_workflow)) is None


def _ticket_id(of_workflow: str) -> UUID:
    return UUID(of_workflow.removeprefix("ticket-"))
