"""Holds every ticket's read model against its workflow."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
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
from domain.escalation import Escalation
from domain.ids import workflow_id
from domain.ticket import Status, Ticket
from repair.progress import Hindrance, stuck
from workflows.handles import ticket_handle
from workflows.ticket import TicketWorkflow

T = TypeVar("T")

PAGE = 500
AT_ONCE = 16
"""Workflows asked at the same time."""


class Finding(StrEnum):
    """How the read model of a ticket, or of a conversation's escalation, stands to its workflow."""

    EQUAL = "equal"
    BEHIND = "behind"
    AHEAD = "ahead"
    DIFFERENT = "different"
    GAPS = "gaps"
    NO_ROW = "no_row"
    NO_WORKFLOW = "no_workflow"
    STUCK = "stuck"
    HISTORY_GONE = "history_gone"

    @property
    def is_fault(self) -> bool:
        """Whether something has to be done; what is ``behind`` catches up by itself, if the database is not away."""
        return self not in (Finding.EQUAL, Finding.HISTORY_GONE)


Verdict = tuple[Finding, str]


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
        async for page in self._pages(organization_id):
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


class CannotBeAsked(Exception):
    """A running workflow does not answer, and the message says why."""


async def asked(query: Awaitable[T]) -> T:
    """The answer of a running workflow; raises ``CannotBeAsked``."""
    try:
        return await query
    except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        raise CannotBeAsked(f"it cannot be asked: {error}") from error
    except RPCError as error:
        if error.status is not RPCStatusCode.FAILED_PRECONDITION:  # its workflow task failed just now
            raise
        raise CannotBeAsked(f"it cannot be asked: {error.message}") from error


def hindered(row: Ticket | Escalation, hindrance: Hindrance) -> Verdict:
    """The finding for a run that makes no progress."""
    if hindrance.of_another_history:
        return Finding.AHEAD, f"the row has version {row.version}, the workflow is of an older backup"
    return Finding.STUCK, hindrance.words


def held_against(row: Ticket | Escalation, live: Ticket | Escalation | None) -> Verdict:
    """How a row stands to the state of the workflow of the same thing; a run that has not read it yet is no fault."""
    if live is None or live == row:
        return Finding.EQUAL, ""
    versions = f"the row has version {row.version}, the workflow {live.version}"
    if live.version < row.version:
        return Finding.AHEAD, versions
    if live.version > row.version:
        return Finding.BEHIND, versions
    if live.updated_at != row.updated_at:
        return Finding.AHEAD, f"{versions}, which is another one: the workflow is of an older backup"
    return Finding.DIFFERENT, f"they differ in {', '.join(_differences(row, live))}"


def looked_through(verdict: Verdict, row: Ticket | Escalation, events: int) -> Verdict:
    """The finding once the story is looked at too: a whole one has an event for each version."""
    missing = row.version - events
    if verdict[0] is Finding.EQUAL and missing > 0:
        return Finding.GAPS, f"{missing} of {row.version} events are missing"
    return verdict


def name_of(status: WorkflowExecutionStatus | None) -> str:
    """A run's status in words."""
    return status.name.lower() if status else "unknown"


def _differences(row: Ticket | Escalation, live: Ticket | Escalation) -> list[str]:
    return [name for name in type(row).model_fields if getattr(row, name) != getattr(live, name)]


def _ticket_id(of_workflow: str) -> UUID:
    return UUID(of_workflow.removeprefix("ticket-"))
