"""Reading escalations: one, one with what a request made of it, and the queue."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import (
    Conversation,
    EscalationChangeRow,
    EscalationNote,
    EscalationReasonRow,
    EscalationRow,
    Team,
    TicketRow,
)
from domain.escalation import LIVE, Escalation, EscalationStatus
from domain.ticket import Ticket

MOST_SHOWN = 100
"""Reasons and notes that one escalation is shown with."""


@dataclass(frozen=True)
class ShownEscalation:
    """An escalation with what its workflow does not carry; ``position`` is its place in its team's queue."""

    escalation: Escalation
    external_id: str | None
    team_name: str | None
    position: int | None
    ticket_number: int | None
    ticket_status: str | None
    reasons: Sequence[EscalationReasonRow] = ()
    notes: Sequence[EscalationNote] = ()


@dataclass(frozen=True)
class KeptChange:
    """What a request made of an escalation when it came first; ``escalation`` is the state it was answered with."""

    fingerprint: str | None
    escalation: Escalation


@dataclass(frozen=True)
class EscalationFilter:
    """Which escalations a list shows: all that are given hold, each by any of its values."""

    statuses: Collection[str] = ()
    team_ids: Collection[UUID] = ()
    owner_ids: Collection[UUID] = ()
    ticket_id: UUID | None = None


def list_escalations(organization_id: UUID, wanted: EscalationFilter) -> Select[Any]:
    """The statement for a list, without order and limit."""
    row = EscalationRow
    statement = select(row).where(row.organization_id == organization_id)
    if wanted.statuses:
        statement = statement.where(row.status.in_(list(wanted.statuses)))
    if wanted.team_ids:
        statement = statement.where(row.team_id.in_(list(wanted.team_ids)))
    if wanted.owner_ids:
        statement = statement.where(row.owner_id.in_(list(wanted.owner_ids)))
    if wanted.ticket_id is not None:
        statement = statement.where(row.ticket_id == wanted.ticket_id)
    return statement


async def show(session: AsyncSession, organization_id: UUID, rows: Sequence[EscalationRow]) -> list[ShownEscalation]:
    """The rows' escalations with their names, places and reasons, in the given order; in a few statements for all."""
    ids = [row.id for row in rows]
    if not ids:
        return []
    found = await session.execute(
        select(
            EscalationRow.id,
            Conversation.external_id,
            Team.name.label("team_name"),
            TicketRow.number,
            TicketRow.status.label("ticket_status"),
        )
        .join(Conversation, Conversation.id == EscalationRow.conversation_id)
        .outerjoin(Team, Team.id == EscalationRow.team_id)
        .outerjoin(TicketRow, TicketRow.id == EscalationRow.ticket_id)
        .where(EscalationRow.id.in_(ids))
    )
    around = {row.id: row for row in found}
    positions = await _positions(session, organization_id, ids)
    reasons: dict[UUID | None, list[EscalationReasonRow]] = {}
    theirs = select(EscalationReasonRow).where(EscalationReasonRow.escalation_id.in_(ids))
    for reason in await session.scalars(theirs.order_by(EscalationReasonRow.at, EscalationReasonRow.id)):
        reasons.setdefault(reason.escalation_id, []).append(reason)
    notes: dict[UUID, list[EscalationNote]] = {}
    written = select(EscalationNote).where(EscalationNote.escalation_id.in_(ids), EscalationNote.body != "")
    for note in await session.scalars(written.order_by(EscalationNote.created_at, EscalationNote.id)):
        notes.setdefault(note.escalation_id, []).append(note)
    return [
        ShownEscalation(
            escalation=Escalation.model_validate(row.state),
            external_id=around[row.id].external_id,
            team_name=around[row.id].team_name,
            position=positions.get(row.id),
            ticket_number=around[row.id].number,
            ticket_status=around[row.id].ticket_status,
            reasons=reasons.get(row.id, [])[:MOST_SHOWN],
            notes=notes.get(row.id, [])[:MOST_SHOWN],
        )
        for row in rows
    ]


async def live_beside(session: AsyncSession, ticket: Ticket) -> Sequence[UUID]:
    """The live escalations that go with a ticket: of its conversation, and those it was attached to."""
    row = EscalationRow
    goes_with = (row.conversation_id == ticket.conversation_id) | (row.ticket_id == ticket.id)
    found = await session.scalars(
        select(row.id)
        .where(row.organization_id == ticket.organization_id, row.status.in_(LIVE), goes_with)
        .order_by(row.raised_at, row.id)
    )
    return list(found)


async def find_escalation_row(
    session: AsyncSession, organization_id: UUID, escalation_id: UUID
) -> EscalationRow | None:
    """The organization's escalation; ``None`` also for another organization's."""
    row = await session.get(EscalationRow, escalation_id, populate_existing=True)
    return row if row is not None and row.organization_id == organization_id else None


async def find_change(session: AsyncSession, conversation_id: UUID, request_id: str) -> KeptChange | None:
    """What the request made of an escalation of the conversation; ``None`` for one that is not on record."""
    change = EscalationChangeRow
    found = (
        await session.execute(
            select(change.fingerprint, change.answer, EscalationRow.state)
            .join(EscalationRow, EscalationRow.id == change.escalation_id)
            .where(change.conversation_id == conversation_id, change.request_id == request_id)
        )
    ).one_or_none()
    if found is None:
        return None
    return KeptChange(found.fingerprint, Escalation.model_validate(found.answer or found.state))


async def escalation_of_reason(session: AsyncSession, organization_id: UUID, reason_id: UUID) -> EscalationRow | None:
    """The escalation a reason made, or was added to; ``None`` until that is on record."""
    return await session.scalar(
        select(EscalationRow)
        .join(EscalationReasonRow, EscalationReasonRow.escalation_id == EscalationRow.id)
        .where(EscalationReasonRow.id == reason_id, EscalationRow.organization_id == organization_id)
    )


def queue_order() -> tuple[ColumnElement[Any], ...]:
    """The most urgent first, then whose customer waits longest."""
    row = EscalationRow
    return row.priority_rank.desc(), row.in_line_since.asc(), row.id.asc()


async def _positions(session: AsyncSession, organization_id: UUID, ids: Sequence[UUID]) -> dict[UUID, int]:
    """Places in their teams' queues, from 1; of those that are queued."""
    row = EscalationRow
    place = func.row_number().over(partition_by=row.team_id, order_by=queue_order())
    queue = (
        select(row.id, place.label("place"))
        .where(row.organization_id == organization_id, row.status == EscalationStatus.QUEUED)
        .subquery()
    )
    found = await session.execute(select(queue.c.id, queue.c.place).where(queue.c.id.in_(ids)))
    return {each.id: each.place for each in found}
