"""Holds every read model against its workflow."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from temporalio.client import Client, RPCError, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCStatusCode

from db.engine import Sessions
from db.models import TicketRow
from domain.ids import workflow_id
from domain.ticket import Status, Ticket
from workflows.ticket import TicketWorkflow

PAGE = 500
AT_ONCE = 16
"""Workflows asked at the same time."""

STUCK_ATTEMPTS = 5
"""A workflow task or an activity that failed so often in a row needs somebody to look."""


class Finding(StrEnum):
    """How a ticket's read model stands to its workflow."""

    EQUAL = "equal"
    BEHIND = "behind"
    DIFFERENT = "different"
    NO_ROW = "no_row"
    NO_WORKFLOW = "no_workflow"
    STUCK = "stuck"
    HISTORY_GONE = "history_gone"

    @property
    def is_fault(self) -> bool:
        """Whether something has to be done; what is ``behind`` catches up by itself, if the database is not away."""
        return self not in (Finding.EQUAL, Finding.HISTORY_GONE)


@dataclass(frozen=True)
class Compared:
    """One ticket's finding; ``detail`` says what a person would want to know next."""

    ticket_id: UUID
    number: int | None
    finding: Finding
    detail: str = ""


@dataclass(frozen=True)
class Comparison:
    """Reads both stores and changes neither."""

    sessions: Sessions
    temporal: Client

    async def all(self, organization_id: UUID | None = None) -> AsyncIterator[Compared]:
        """Every ticket with a row, then every ticket whose workflow has none."""
        seen: set[str] = set()
        async for page in self._pages(organization_id):
            seen.update(workflow_id(ticket.id) for ticket in page)
            limit = asyncio.Semaphore(AT_ONCE)

            async def compare(ticket: Ticket, limit: asyncio.Semaphore = limit) -> Compared:
                async with limit:
                    return await self.one(ticket)

            for compared in await asyncio.gather(*(compare(ticket) for ticket in page)):
                yield compared
        query = "WorkflowType = 'Ticket' AND ExecutionStatus = 'Running'"
        if organization_id:
            query += f" AND TicketOrganization = '{organization_id}'"
        async for execution in self.temporal.list_workflows(query):
            if execution.id not in seen and await self._has_no_row(execution.id):
                yield Compared(_ticket_id(execution.id), None, Finding.NO_ROW, "the workflow runs, the row is missing")

    async def one(self, ticket: Ticket) -> Compared:
        """The finding for a ticket as its row shows it."""
        finding, detail = await self._judge(ticket)
        return Compared(ticket.id, ticket.number, finding, detail)

    async def _judge(self, ticket: Ticket) -> tuple[Finding, str]:
        handle = self.temporal.get_workflow_handle_for(TicketWorkflow.run, workflow_id(ticket.id))
        closed = ticket.status is Status.CLOSED
        try:
            description = await handle.describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if closed:
                return Finding.HISTORY_GONE, "closed, and Temporal keeps its history no longer"
            return Finding.NO_WORKFLOW, f"{ticket.status}, and Temporal knows no such workflow"
        if why := stuck(description):
            return Finding.STUCK, why
        if not closed and description.status is not WorkflowExecutionStatus.RUNNING:
            return Finding.NO_WORKFLOW, f"{ticket.status}, and its last run is {_name(description)}"
        return _held_against(ticket, (await handle.query(TicketWorkflow.live)).ticket)

    async def _pages(self, organization_id: UUID | None) -> AsyncIterator[list[Ticket]]:
        last: UUID | None = None
        while True:
            statement = select(TicketRow.state).order_by(TicketRow.id).limit(PAGE)
            if organization_id:
                statement = statement.where(TicketRow.organization_id == organization_id)
            if last:
                statement = statement.where(TicketRow.id > last)
            async with self.sessions() as session:
                tickets = [Ticket.model_validate(state) for state in await session.scalars(statement)]
            if not tickets:
                return
            yield tickets
            last = tickets[-1].id

    async def _has_no_row(self, of_workflow: str) -> bool:
        async with self.sessions() as session:
            return await session.get(TicketRow, _ticket_id(of_workflow)) is None


def _held_against(row: Ticket, live: Ticket | None) -> tuple[Finding, str]:
    if live is None or live == row:
        return Finding.EQUAL, ""
    if live.version > row.version:
        return Finding.BEHIND, f"the row has version {row.version}, the workflow {live.version}"
    return Finding.DIFFERENT, f"they differ in {', '.join(_differences(row, live))}"


def stuck(description: WorkflowExecutionDescription) -> str | None:
    """Why a run makes no progress; ``None`` when it does."""
    raw = description.raw_description
    if raw.HasField("pending_workflow_task") and raw.pending_workflow_task.attempt >= STUCK_ATTEMPTS:
        return f"its workflow task failed {raw.pending_workflow_task.attempt} times; the worker's log says why"
    for activity in raw.pending_activities:
        if activity.attempt >= STUCK_ATTEMPTS:
            name = activity.activity_type.name
            return (
                f"{name} failed {activity.attempt - 1} times: {activity.last_failure.message or 'see the Temporal UI'}"
            )
    return None


def _name(description: WorkflowExecutionDescription) -> str:
    return description.status.name.lower() if description.status else "unknown"


def _differences(row: Ticket, live: Ticket) -> list[str]:
    return [name for name in Ticket.model_fields if getattr(row, name) != getattr(live, name)]


def _ticket_id(of_workflow: str) -> UUID:
    return UUID(of_workflow.removeprefix("ticket-"))
