"""How a read model stands to its workflow, in words for people; and what both comparisons ask for."""

from collections.abc import AsyncIterator, Awaitable
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import ColumnElement, select
from temporalio.client import (
    RPCError,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from temporalio.service import RPCStatusCode

from db.engine import Sessions
from db.models import EscalationRow, TicketRow
from domain.escalation import Escalation
from domain.ticket import Ticket
from repair.progress import Hindrance

T = TypeVar("T")
Shape = TypeVar("Shape", bound=BaseModel)

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


async def on_record(
    sessions: Sessions, table: type[TicketRow] | type[EscalationRow], shape: type[Shape], *wanted: ColumnElement[bool]
) -> AsyncIterator[list[Shape]]:
    """The states of all wanted rows, by id, some hundreds at once."""
    last: UUID | None = None
    while True:
        statement = select(table.id, table.state).where(*wanted).order_by(table.id).limit(PAGE)
        if last:
            statement = statement.where(table.id > last)
        async with sessions() as session:
            rows = (await session.execute(statement)).all()
        if not rows:
            return
        yield [shape.model_validate(row.state) for row in rows]
        last = rows[-1].id
