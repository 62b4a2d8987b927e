"""Reading tickets: one, one with what a request made of it, and lists."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Text, and_, bindparam, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from db.models import Requester, TicketEventRow, TicketRow
from domain.ticket import Status, Ticket


@dataclass(frozen=True)
class RequesterFacts:
    """The customer who asks."""

    id: UUID
    external_id: str | None = None
    name: str | None = None
    email: str | None = None


@dataclass(frozen=True)
class RecordedTicket:
    """A ticket as the read model has it, with what its workflow does not carry."""

    ticket: Ticket
    description: str
    requester: RequesterFacts


@dataclass(frozen=True)
class KeptAnswer:
    """What a request made of a ticket when it came first; ``ticket`` is the state it was answered with."""

    kind: str
    fingerprint: str | None
    reason: str | None
    about: dict[str, Any]
    ticket: Ticket | None


async def find_ticket(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> RecordedTicket | None:
    """The organization's ticket; ``None`` also for another organization's."""
    row = (await session.execute(_FIND, {"id": ticket_id, "organization": organization_id})).one_or_none()
    return _read(row) if row else None


async def find_with_answer(
    session: AsyncSession, organization_id: UUID, ticket_id: UUID, request_id: str
) -> tuple[RecordedTicket, KeptAnswer | None] | None:
    """The ticket, and what the request has made of it if it is known already; ``None`` without such a ticket."""
    values = {"id": ticket_id, "organization": organization_id, "request": request_id}
    row = (await session.execute(_FIND_WITH_ANSWER, values)).one_or_none()
    if row is None:
        return None
    answer = None
    if row.kind is not None:
        state = Ticket.model_validate_json(row.answer) if row.answer else None
        answer = KeptAnswer(row.kind, row.fingerprint, row.reason, row.about, state)
    return _read(row), answer


async def find_requester(session: AsyncSession, requester_id: UUID) -> RequesterFacts:
    """A requester that exists."""
    columns = (Requester.id, Requester.external_id, Requester.name, Requester.email)
    return RequesterFacts(*(await session.execute(select(*columns).where(Requester.id == requester_id))).one())


@dataclass(frozen=True)
class Shown:
    """A ticket as a request left it, where that is known (``cause``), else as it is now.

    ``version`` is the row's own; ``cause`` is without its ticket, which ``recorded`` is.
    """

    recorded: RecordedTicket
    version: int
    cause: KeptAnswer | None


async def find_shown(session: AsyncSession, organization_id: UUID, ticket_id: UUID, request_id: str) -> Shown | None:
    """What the read model shows of a request's effect; ``None`` without such a ticket."""
    values = {"id": ticket_id, "organization": organization_id, "request": request_id}
    row = (await session.execute(_FIND_SHOWN, values)).one_or_none()
    if row is None:
        return None
    cause = KeptAnswer(row.kind, row.fingerprint, row.reason, row.about, None) if row.kind is not None else None
    return Shown(_read(row), row.version, cause)


class TicketOrder(StrEnum):
    """What a list of tickets is sorted by, always the newest first."""

    CREATED = "created_at"
    UPDATED = "updated_at"

    @property
    def column(self) -> InstrumentedAttribute[Any]:
        """The column of this order."""
        return TicketRow.created_at if self is TicketOrder.CREATED else TicketRow.updated_at


@dataclass(frozen=True)
class TicketFilter:
    """Which tickets a list shows: all that are given hold, each by any of its values."""

    statuses: Sequence[str] = ()
    priorities: Sequence[str] = ()
    channels: Sequence[str] = ()
    team_ids: Sequence[UUID] = ()
    assignee_ids: Sequence[UUID] = ()
    unassigned: bool | None = None
    tags: Sequence[str] = field(default=())
    """A ticket must have all of these."""
    breached: bool | None = None
    due_before: datetime | None = None
    """Those whose next SLA deadline comes before this moment."""
    text: str | None = None
    """Words in title and description, as ``websearch_to_tsquery`` reads them."""


def list_tickets(organization_id: UUID, wanted: TicketFilter) -> Select[Any]:
    """The statement for a list, without order and limit; rows are read by ``read_listed``."""
    statement = _recorded().where(TicketRow.organization_id == organization_id)
    columns: list[tuple[InstrumentedAttribute[Any], Sequence[Any]]] = [
        (TicketRow.status, wanted.statuses),
        (TicketRow.priority, wanted.priorities),
        (TicketRow.channel, wanted.channels),
        (TicketRow.team_id, wanted.team_ids),
        (TicketRow.assignee_id, wanted.assignee_ids),
    ]
    for column, values in columns:
        if values:
            statement = statement.where(column == values[0] if len(values) == 1 else column.in_(values))
    if wanted.unassigned is not None:
        empty = TicketRow.assignee_id.is_(None)
        statement = statement.where(empty if wanted.unassigned else ~empty)
    if wanted.breached is not None:
        statement = statement.where(TicketRow.breached if wanted.breached else ~TicketRow.breached)
    if wanted.due_before is not None:
        statement = statement.where(TicketRow.sla_due_at < wanted.due_before)
    if wanted.tags:
        statement = statement.where(TicketRow.tags.contains(list(wanted.tags)))
    if wanted.text:
        statement = statement.where(TicketRow.search.op("@@")(func.websearch_to_tsquery("simple", wanted.text)))
    return statement


def read_listed(rows: Sequence[Row[Any]]) -> list[RecordedTicket]:
    """The tickets of a list's rows."""
    return [_read(row) for row in rows]


# Documents are fetched as text: pydantic reads it faster than the driver makes objects of it.


def _recorded(state: ColumnElement[Any] | InstrumentedAttribute[Any] = TicketRow.state) -> Select[*tuple[Any, ...]]:
    statement = select(
        cast(state, Text).label("state"),
        TicketRow.description,
        Requester.id,
        Requester.external_id,
        Requester.name,
        Requester.email,
    )
    return statement.join(Requester, Requester.id == TicketRow.requester_id)


def _read(row: Row[Any]) -> RecordedTicket:
    requester = RequesterFacts(row.id, row.external_id, row.name, row.email)
    return RecordedTicket(Ticket.model_validate_json(row.state), row.description, requester)


# Built once: what SQLAlchemy needs to build a statement is more than what Postgres needs to run these.
_THE_TICKET = (TicketRow.id == bindparam("id"), TicketRow.organization_id == bindparam("organization"))
_THE_REQUEST = and_(TicketEventRow.ticket_id == TicketRow.id, TicketEventRow.request_id == bindparam("request"))
_FIND = _recorded().where(*_THE_TICKET)
_CAUSE = (TicketEventRow.kind, TicketEventRow.fingerprint, TicketEventRow.reason, TicketEventRow.about)
_FIND_WITH_ANSWER = (
    _recorded()
    .add_columns(*_CAUSE, cast(TicketEventRow.answer, Text).label("answer"))
    .outerjoin(TicketEventRow, _THE_REQUEST)
    .where(*_THE_TICKET)
)
_FIND_SHOWN = (
    _recorded(func.coalesce(TicketEventRow.answer, TicketRow.state))
    .add_columns(*_CAUSE, TicketRow.version)
    .outerjoin(TicketEventRow, _THE_REQUEST)
    .where(*_THE_TICKET)
)


async def running_tickets(session: AsyncSession, organization_id: UUID, after: UUID | None, limit: int) -> list[Ticket]:
    """Tickets that are not closed, in the order of their ids, those after ``after``."""
    statement = (
        select(TicketRow.state)
        .where(TicketRow.organization_id == organization_id, TicketRow.status != Status.CLOSED)
        .order_by(TicketRow.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(TicketRow.id > after)
    return [Ticket.model_validate(state) for state in await session.scalars(statement)]
