"""Carries a bulk change out: sends each ticket its command, and keeps count."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import func, select, update
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import CHANGE_TICKETS, ChangedTickets, ChangeTickets
from db.engine import Sessions
from db.models import BulkChange as BulkChangeRow
from db.models import TicketEventRow, TicketRow
from domain.bulk import BulkChange, command_for, would_change
from domain.commands import Assign, ChangeStatus, Command
from domain.errors import DomainError, VersionMismatch
from domain.events import Actor
from domain.ids import workflow_id
from domain.ticket import Ticket

PAGE = 100
"""Tickets an activity changes."""

AT_ONCE = 8
"""Tickets of a page that are changed at the same time; the others of the organization want to be answered too."""

PATIENCE = 5
"""Tries after which a ticket that does not answer is refused, so that it does not hold up all others."""

LISTED = 200
"""Refusals that are kept one by one; all are counted."""

_READ: TypeAdapter[BulkChange] = TypeAdapter(BulkChange)
_ANSWER = timedelta(seconds=10)


@dataclass
class _Page:
    changed: int = 0
    unchanged: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, ticket_id: UUID, number: int | None, code: str, reason: str) -> None:
        self.refusals[code] += 1
        self.refused.append({"ticket_id": str(ticket_id), "number": number, "code": code, "reason": reason})


class BulkChanges:
    """Changes page by page what the change's row lists."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal

    @activity.defn(name=CHANGE_TICKETS)
    async def change(self, request: ChangeTickets) -> ChangedTickets:
        """Change the page that begins at ``examined``, and count it once. Safe to repeat.

        A ticket acts on the change's request once; a page that was counted by an earlier try is not counted again.
        """
        async with self._sessions.begin() as session:
            row = await session.get(BulkChangeRow, request.bulk_change_id)
            if row is None:
                raise ApplicationError("There is no such bulk change.", non_retryable=True)
        if row.status != "running" or row.examined != request.examined:
            over = row.status in ("stopping", "stopped", "done")
            if row.status == "stopping":
                await self._finish(row.id, "stopped")
            return ChangedTickets(examined=row.examined, over=over)
        page = _Page()
        ids = row.ticket_ids[request.examined : request.examined + PAGE]
        few = asyncio.Semaphore(AT_ONCE)

        async def one(ticket_id: UUID) -> None:
            async with few:
                await self._change(row, ticket_id, page)
                activity.heartbeat()

        await asyncio.gather(*map(one, ids))
        examined = request.examined + len(ids)
        over = examined >= len(row.ticket_ids)
        await self._count(row.id, request.examined, examined, page)
        if over:
            await self._finish(row.id, "done")
        return ChangedTickets(examined=examined, over=over)

    async def _change(self, row: BulkChangeRow, ticket_id: UUID, page: _Page) -> None:
        number: int | None = None
        try:
            for turn in range(PATIENCE):
                ticket = await self._ticket(row.organization_id, ticket_id)
                if ticket is None:
                    page.refuse(ticket_id, None, "not_found", "There is no such ticket.")
                    return
                number = ticket.number
                command = command_for(
                    ticket, _READ.validate_python(row.change), _request_id(row.id, ticket_id), _actor(row)
                )
                if await self._knows(ticket_id, command.request_id):  # by an earlier try of this page
                    page.changed += 1
                    return
                if not would_change(ticket, command, datetime.now(UTC)):
                    page.unchanged += 1
                    return
                try:
                    await self._send(ticket_id, command, turn)
                except VersionMismatch:
                    await asyncio.sleep(0.1 * (turn + 1))  # it has changed since it was read; the record follows soon
                    continue
                page.changed += 1
                return
            page.refuse(ticket_id, number, VersionMismatch.code, "The ticket changed all the time.")
        except DomainError as refusal:
            page.refuse(ticket_id, number, refusal.code, str(refusal))
        except (RPCError, TimeoutError) as error:
            if activity.info().attempt < PATIENCE:
                raise
            page.refuse(ticket_id, number, "outcome_unknown", f"The ticket did not answer: {type(error).__name__}.")

    async def _send(self, ticket_id: UUID, command: Command, turn: int) -> None:
        """Have the ticket obey; raises its refusal as a ``DomainError``."""
        # A refusal answers for its update's id for good, and the next try may not be refused.
        update_id = f"{command.request_id}:{activity.info().attempt}:{turn}"
        handle = self._temporal.get_workflow_handle(workflow_id(ticket_id))
        try:
            async with asyncio.timeout(_ANSWER.total_seconds()):
                await handle.execute_update(
                    _NAMES.get(type(command), "edit"), command, id=update_id, rpc_timeout=_ANSWER
                )
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.type == VersionMismatch.code:
                raise VersionMismatch(cause.message) from None
            if isinstance(cause, ApplicationError):
                raise _refusal(cause.type or "refused", cause.message) from None
            raise
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise _refusal("ticket_closed", "The ticket was closed meanwhile; reopen it first.") from None

    async def _ticket(self, organization_id: UUID, ticket_id: UUID) -> Ticket | None:
        mine = (TicketRow.id == ticket_id, TicketRow.organization_id == organization_id)
        async with self._sessions.begin() as session:
            state = await session.scalar(select(TicketRow.state).where(*mine))
        return Ticket.model_validate(state) if state is not None else None

    async def _knows(self, ticket_id: UUID, request_id: str) -> bool:
        async with self._sessions.begin() as session:
            return await session.scalar(select(_told(ticket_id, request_id))) or False

    async def _count(self, bulk_change_id: UUID, before: int, examined: int, page: _Page) -> None:
        async with self._sessions.begin() as session:
            row = await session.get_one(BulkChangeRow, bulk_change_id, with_for_update=True)
            if row.examined != before:
                return
            row.examined = examined
            row.changed += page.changed
            row.unchanged += page.unchanged
            row.refusals = dict(Counter(row.refusals) + page.refusals)
            row.refused = [*row.refused, *page.refused][:LISTED]

    async def _finish(self, bulk_change_id: UUID, status: str) -> None:
        async with self._sessions.begin() as session:
            mine = update(BulkChangeRow).where(BulkChangeRow.id == bulk_change_id, BulkChangeRow.finished_at.is_(None))
            await session.execute(mine.values(status=status, finished_at=func.now()))


_NAMES: dict[type, str] = {ChangeStatus: "change_status", Assign: "assign"}


def _refusal(code: str, message: str) -> DomainError:
    refusal = DomainError(message)
    refusal.code = code  # type: ignore[misc] # as the ticket's workflow named it
    return refusal


def _request_id(bulk_change_id: UUID, ticket_id: UUID) -> str:
    return f"bulk:{bulk_change_id}:{ticket_id}"


def _actor(row: BulkChangeRow) -> Actor:
    return Actor.model_validate(row.actor)


def _told(ticket_id: UUID, request_id: str) -> Any:
    event = TicketEventRow
    return select(event.version).where(event.ticket_id == ticket_id, event.request_id == request_id).exists()
