"""Merges tickets: decides in Postgres which goes into which, and has the other ticket's workflow take over."""

from uuid import UUID

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.client import Client, WorkflowUpdateFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import FORWARD_FACT, MERGE_TICKET, ForwardFact, MergedTicket, MergeTicket, Refusal
from db.engine import Sessions
from db.models import TicketEventRow, TicketMerge, TicketRow
from domain.errors import MergeRefused, TicketMerging
from domain.ids import workflow_id
from domain.ticket import Status

LONGEST_CHAIN = 100
"""Tickets that went into tickets that went into others."""

PATIENCE = 20
"""Tries after which a ticket whose workflow is missing is given up, and the merge refused."""

_CLAIMED = select(TicketMerge.target_id).where(TicketMerge.source_id == bindparam("id"))
_MERGED = select(TicketRow.merged_into).where(TicketRow.id == bindparam("id"))

ENDED = "AcceptedUpdateCompletedWorkflow"
"""Type of the failure of an update whose workflow ended before it answered."""


class Merging:
    """Both activities may be repeated at any point: the claim, the update and the signals have ids of their own."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal

    @activity.defn(name=MERGE_TICKET)
    async def merge(self, request: MergeTicket) -> MergedTicket:
        """Claim the direction, then ask the target to take over; a merge that is refused leaves no claim behind."""
        try:
            target_id = await self._claim(request)
            return MergedTicket(into=await self._absorbed(request, target_id))
        except _RefusedError as refused:
            async with self._sessions.begin() as session:
                await session.execute(delete(TicketMerge).where(TicketMerge.source_id == request.absorb.source_id))
            return MergedTicket(refusal=refused.refusal)

    @activity.defn(name=FORWARD_FACT)
    async def forward(self, request: ForwardFact) -> None:
        """Tell the ticket that goes on; where it is closed by now, its next run begins with the fact."""
        told = {
            "customer_replied": request.customer_replied,
            "agent_replied": request.agent_replied,
            "note_added": request.note_added,
        }
        [(name, fact)] = [(name, fact) for name, fact in told.items() if fact is not None]
        async with self._sessions.begin() as session:
            target_id = await _goes_on_as(session, request.target_id)
        await self._temporal.start_workflow(
            "Ticket",
            {"ticket_id": str(target_id)},  # it reads the rest
            id=workflow_id(target_id),
            task_queue=activity.info().task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            start_signal=name,
            start_signal_args=[fact],
        )

    async def _claim(self, request: MergeTicket) -> UUID:
        """Write down which ticket goes into which; of two that want each other, the second is refused here.

        Returns the ticket that is to take over: the one asked for, or the one that has taken that one over.
        """
        source_id = request.absorb.source_id
        async with self._sessions.begin() as session:
            lock = func.hashtextextended(f"merge:{request.organization_id}", 0)
            await session.execute(select(func.pg_advisory_xact_lock(lock)))
            kept = await session.get(TicketMerge, source_id)
            if kept and kept.request_id == request.absorb.request_id:
                return kept.target_id
            target_id = await _last_claimed(session, request.target_id)
            if target_id == source_id:
                raise _RefusedError(
                    MergeRefused("The other ticket goes into this one already.", target_id=str(request.target_id))
                )
            await _require_running(session, request.organization_id, target_id)
            values = {
                "organization_id": request.organization_id,
                "target_id": target_id,
                "request_id": request.absorb.request_id,
            }
            # An earlier claim of the same ticket belongs to a merge that did not come to its end.
            await session.execute(
                insert(TicketMerge)
                .values(source_id=source_id, **values)
                .on_conflict_do_update(index_elements=["source_id"], set_=values)
            )
        return target_id

    async def _absorbed(self, request: MergeTicket, target_id: UUID) -> UUID:
        """The ticket that has taken over, be it by an earlier try."""
        for _ in range(LONGEST_CHAIN):
            async with self._sessions.begin() as session:
                if await _has_event(session, target_id, request.absorb.request_id):
                    return target_id
            try:
                # The ticket knows the request; a refusal that this try is given must not answer the next one.
                await self._temporal.get_workflow_handle(workflow_id(target_id)).execute_update(
                    "absorb", request.absorb, id=f"{request.absorb.request_id}:{activity.info().attempt}"
                )
            except WorkflowUpdateFailedError as error:
                cause = error.cause
                if not isinstance(cause, ApplicationError) or cause.type in (None, ENDED, TicketMerging.code):
                    raise
                if cause.type != "ticket_merged":
                    context = cause.details[0] if cause.details else {}
                    raise _RefusedError(Refusal(code=cause.type, message=cause.message, context=context)) from None
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            else:
                return target_id
            target_id = await self._after(request, target_id)
        raise _RefusedError(MergeRefused("The other ticket was merged too often."))

    async def _after(self, request: MergeTicket, ended_id: UUID) -> UUID:
        """Which ticket goes on where ``ended_id`` does not; tried again until the record says how it ended."""
        async with self._sessions.begin() as session:
            row = await _row(session, request.organization_id, ended_id)
            # What it was asked last may have been recorded meanwhile.
            if await _has_event(session, ended_id, request.absorb.request_id):
                return ended_id
        if row and row.merged_into:
            return row.merged_into
        if row and row.status == Status.CLOSED:
            raise _RefusedError(MergeRefused("The other ticket is closed; reopen it first.", target_id=str(ended_id)))
        if activity.info().attempt >= PATIENCE:
            raise _RefusedError(MergeRefused("The other ticket's workflow does not run.", target_id=str(ended_id)))
        raise ApplicationError(f"Nothing answers for the ticket {ended_id} yet.", type="not_there_yet")


class _RefusedError(Exception):
    """The merge will not be; ``refusal`` says why."""

    def __init__(self, why: MergeRefused | Refusal) -> None:
        super().__init__(str(why))
        self.refusal = (
            why
            if isinstance(why, Refusal)
            else Refusal.model_validate({"code": why.code, "message": str(why), "context": dict(why.context)})
        )


async def _row(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> TicketRow | None:
    mine = (TicketRow.id == ticket_id, TicketRow.organization_id == organization_id)
    found: TicketRow | None = await session.scalar(select(TicketRow).where(*mine))
    return found


async def _require_running(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> None:
    row = await _row(session, organization_id, ticket_id)
    if row is None:  # whoever asks has seen it, so its record is on the way
        raise ApplicationError(f"The ticket {ticket_id} is not on record yet.", type="not_there_yet")
    if row.status == Status.CLOSED:
        raise _RefusedError(MergeRefused("The other ticket is closed; reopen it first.", target_id=str(ticket_id)))


async def _last_claimed(session: AsyncSession, ticket_id: UUID) -> UUID:
    """The end of the chain of claims; it has no circles. The caller holds the organization's lock."""
    while (following := await session.scalar(_CLAIMED, {"id": ticket_id})) is not None:
        ticket_id = following
    return ticket_id


async def _goes_on_as(session: AsyncSession, ticket_id: UUID) -> UUID:
    """The end of the chain of merges that are done."""
    while (following := await session.scalar(_MERGED, {"id": ticket_id})) is not None:
        ticket_id = following
    return ticket_id


async def _has_event(session: AsyncSession, ticket_id: UUID, request_id: str) -> bool:
    event = TicketEventRow
    found = select(event.version).where(event.ticket_id == ticket_id, event.request_id == request_id)
    return await session.scalar(found) is not None
