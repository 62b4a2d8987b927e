"""Holds every escalation's read model against the workflow of its conversation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from temporalio.client import (
    Client,
    RPCError,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.service import RPCStatusCode

from db.engine import Sessions
from db.escalations import count_changes
from db.models import EscalationRow
from domain.escalation import LIVE, Escalation
from domain.ids import escalation_workflow_id
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
from workflows.escalation import EscalationWorkflow
from workflows.handles import escalation_handle


@dataclass(frozen=True)
class ComparedEscalation:
    """The finding for a conversation's escalation; ``detail`` says what a person would want to know next."""

    conversation_id: UUID
    escalation_id: UUID | None
    finding: Finding
    detail: str = ""


@dataclass(frozen=True)
class EscalationComparison:
    """Reads both stores and changes neither; as ``Comparison`` is for tickets.

    Rows of escalations that are over are compared where their workflow says something else than they, and looked
    through for gaps while Temporal keeps its run.
    """

    sessions: Sessions
    temporal: Client

    async def all(self, organization_id: UUID | None = None) -> AsyncIterator[ComparedEscalation]:
        """Every live escalation on record, then every workflow that says something else than the record."""
        seen: set[UUID] = set()
        live = EscalationRow.status.in_(LIVE)
        mine = [EscalationRow.organization_id == organization_id] if organization_id else []
        async for page in on_record(self.sessions, EscalationRow, Escalation, live, *mine):
            seen.update(row.conversation_id for row in page)
            for compared in await self._compare(page):
                yield compared
        query = "WorkflowType = 'Escalation' AND ExecutionStatus IN ('Running', 'Completed')"
        if organization_id:
            query += f" AND TicketOrganization = '{organization_id}'"
        async for execution in self.temporal.list_workflows(query):
            conversation_id = UUID(execution.id.removeprefix("escalation-"))
            if conversation_id in seen:
                continue
            found = await self._unrecorded(conversation_id, execution)
            if found is not None:
                seen.add(conversation_id)
                yield found

    async def of(self, conversation_id: UUID) -> ComparedEscalation | None:
        """The finding for one conversation; ``None`` where neither store has anything to mend."""
        row = await self.recorded(conversation_id)
        if row is not None:
            return (await self._compare([row]))[0]
        async for execution in self.temporal.list_workflows(
            f"WorkflowId = '{escalation_workflow_id(conversation_id)}'"
        ):
            found = await self._unrecorded(conversation_id, execution)
            if found is not None:
                return found
        return None

    async def recorded(self, conversation_id: UUID) -> Escalation | None:
        """The conversation's live escalation as its row shows it."""
        mine = (EscalationRow.conversation_id == conversation_id, EscalationRow.status.in_(LIVE))
        async with self.sessions() as session:
            state = await session.scalar(select(EscalationRow.state).where(*mine))
        return None if state is None else Escalation.model_validate(state)

    async def _compare(self, page: Sequence[Escalation]) -> list[ComparedEscalation]:
        limit = asyncio.Semaphore(AT_ONCE)
        async with self.sessions() as session:
            changes = await count_changes(session, [row.id for row in page])

        async def compare(row: Escalation) -> ComparedEscalation:
            async with limit:
                verdict = looked_through(await self._judge(row), row, changes.get(row.id, 0))
            return ComparedEscalation(row.conversation_id, row.id, *verdict)

        return await asyncio.gather(*map(compare, page))

    async def _judge(self, row: Escalation) -> Verdict:
        handle = escalation_handle(self.temporal, row.conversation_id)
        try:
            description = await handle.describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return Finding.NO_WORKFLOW, f"{row.status}, and Temporal knows no such workflow"
        if description.status is WorkflowExecutionStatus.RUNNING:
            return await self._judge_running(row, description)
        live = await self._left_by(row.conversation_id, description.run_id)
        ended = f"its last run is {name_of(description.status)}"
        if live is not None and _goes_on(row, live):
            return Finding.BEHIND, f"{_versions(row, live)}; {ended}"
        return Finding.NO_WORKFLOW, f"{row.status}, and {ended}"

    async def _judge_running(self, row: Escalation, description: WorkflowExecutionDescription) -> Verdict:
        hindrance = await stuck(description, self.temporal.data_converter)
        if hindrance:
            return hindered(row, hindrance)
        try:
            live = await asked(escalation_handle(self.temporal, row.conversation_id).query(EscalationWorkflow.live))
        except CannotBeAsked as refusal:
            return Finding.STUCK, str(refusal)
        running = live.escalation
        if running is None or running.id == row.id:
            return held_against(row, running)
        return Finding.BEHIND if _goes_on(row, running) else Finding.AHEAD, _versions(row, running)

    async def _unrecorded(self, conversation_id: UUID, execution: WorkflowExecution) -> ComparedEscalation | None:
        """What a workflow says of an escalation that is not live on record; ``None`` where both agree."""
        runs = execution.status is WorkflowExecutionStatus.RUNNING
        if not runs and (ended := await self._ended_since(conversation_id, execution.start_time)):
            return await self._with_gaps(ended)
        live = await self._left_by(conversation_id, execution.run_id)
        if live is None:
            return None
        async with self.sessions() as session:
            state = await session.scalar(select(EscalationRow.state).where(EscalationRow.id == live.id))
        if state is None:
            detail = f"the row is missing, the workflow is {name_of(execution.status)}"
            return ComparedEscalation(conversation_id, live.id, Finding.NO_ROW, detail)
        row = Escalation.model_validate(state)
        finding, detail = held_against(row, live)
        if finding is Finding.EQUAL or (row.is_live and live.is_live):  # recorded since the rows were read
            return None
        if not runs and finding is not Finding.BEHIND:
            return None  # an older run, or what is kept of one
        return ComparedEscalation(conversation_id, live.id, finding, detail)

    async def _left_by(self, conversation_id: UUID, run_id: str | None) -> Escalation | None:
        """What a run holds, or held when it ended; ``None`` where it does not say."""
        handle = escalation_handle(self.temporal, conversation_id, run_id)
        try:
            return (await handle.query(EscalationWorkflow.live)).escalation
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError, RPCError):
            return None

    async def _ended_since(self, conversation_id: UUID, started_at: datetime) -> list[Escalation]:
        """The conversation's escalations that ended on record since the run began."""
        mine = (EscalationRow.conversation_id == conversation_id, EscalationRow.closed_at >= started_at)
        async with self.sessions() as session:
            states = await session.scalars(select(EscalationRow.state).where(*mine).order_by(EscalationRow.raised_at))
            return [Escalation.model_validate(state) for state in states]

    async def _with_gaps(self, ended: Sequence[Escalation]) -> ComparedEscalation | None:
        """The first whose story lacks something that Temporal still has; ``None`` where all are whole."""
        async with self.sessions() as session:
            changes = await count_changes(session, [row.id for row in ended])
        for row in ended:
            finding, detail = looked_through((Finding.EQUAL, ""), row, changes.get(row.id, 0))
            if finding is Finding.GAPS:
                return ComparedEscalation(row.conversation_id, row.id, finding, detail)
        return None


def _goes_on(row: Escalation, live: Escalation) -> bool:
    """Whether the workflow has got further than the row: in the same escalation, or in one raised after it."""
    return live.version > row.version if live.id == row.id else live.raised_at > row.raised_at


def _versions(row: Escalation, live: Escalation) -> str:
    if live.id != row.id:
        return f"the row is of {row.id}, raised {row.raised_at:%F %T}, the workflow of {live.id}"
    return f"the row has version {row.version}, the workflow {live.version}"
