"""The one writer of the read model of tickets."""

from collections.abc import Iterable
from datetime import UTC, datetime

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.signatures import LOAD_TICKET, RECORD_TICKET, LoadedTicket, LoadTicket, Recorded, TicketBatch
from db.channels import TICKETS, ticket_payload
from db.engine import Sessions
from db.models import Message, TicketEventRow, TicketRow
from db.notices import insert_notifications
from db.terms import find_terms
from domain.clocks import ClockEventKind
from domain.commands import Remembered
from domain.deadlines import deadlines
from domain.events import CustomerMessage
from domain.ids import message_id
from domain.terms import adopt, wanted
from domain.ticket import Ticket
from domain.timers import timers
from domain.wording import SYSTEM_AUTHOR, wording

LAG = "baton_read_model_lag"
"""Metric: how far the read model is behind."""


class TicketRecord:
    """Writes what ticket workflows hand on, and reads it back for a ticket that is reopened."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn(name=RECORD_TICKET)
    async def record(self, batch: TicketBatch) -> Recorded:
        """Write one batch in one transaction: row, events, notifications, messages to the customer.

        Safe to repeat: the row is guarded by its version, everything else is unique by key. The
        terms the ticket wants are read in the same transaction and applied to the row, so that the
        row equals what the workflow will hold.
        """
        structlog.contextvars.bind_contextvars(ticket_id=str(batch.ticket.id))
        async with self._sessions.begin() as session:
            need = wanted(batch.ticket)
            terms = await find_terms(session, batch.ticket, need) if need else None
            ticket = adopt(batch.ticket, terms) if terms else batch.ticket
            fresh = await _insert_events(session, batch, ticket)
            if fresh:
                await _write_row(session, ticket, batch.description)
                for event in batch.events:
                    if event.version in fresh:
                        await insert_notifications(session, ticket, event)
                        await _insert_customer_messages(session, ticket, event.customer_messages)
                await session.execute(select(func.pg_notify(TICKETS, ticket_payload(ticket.id, ticket.version))))
        lag = datetime.now(UTC) - batch.events[-1].at
        activity.metric_meter().create_histogram_timedelta(LAG, "From an event to its read model").record(lag)
        return Recorded(terms=terms)

    async def restore(self, ticket: Ticket, batches: Iterable[TicketBatch]) -> None:
        """Write a ticket anew: the row as ``ticket``, and whatever of ``batches`` is missing. Not an activity.

        Only for repairs: the row is overwritten, whatever it holds. One transaction; safe to repeat.
        """
        async with self._sessions.begin() as session:
            description = None
            for batch in batches:
                fresh = await _insert_events(session, batch, batch.ticket)
                description = description or batch.description
                for event in batch.events:
                    if event.version in fresh:
                        await insert_notifications(session, batch.ticket, event)
                        await _insert_customer_messages(session, batch.ticket, event.customer_messages)
            await session.execute(update(TicketRow).where(TicketRow.id == ticket.id).values(version=0))
            await _write_row(session, ticket, description)
            await session.execute(select(func.pg_notify(TICKETS, ticket_payload(ticket.id, ticket.version))))

    @activity.defn(name=LOAD_TICKET)
    async def load(self, request: LoadTicket) -> LoadedTicket:
        """Read the state a closed ticket's last run left; that run recorded everything before it ended."""
        event = TicketEventRow
        latest = (
            select(event.request_id, event.version, event.fingerprint)
            .where(event.ticket_id == request.ticket_id, event.request_id.is_not(None))
            .order_by(event.version.desc())
            .limit(request.requests)
        )
        async with self._sessions() as session:
            state = await session.scalar(select(TicketRow.state).where(TicketRow.id == request.ticket_id))
            requests = (await session.execute(latest)).all()
        if state is None:
            raise ApplicationError(
                f"The read model has no ticket {request.ticket_id}.", type="ticket_not_found", non_retryable=True
            )
        return LoadedTicket(
            ticket=Ticket.model_validate(state),
            remembered={
                row.request_id: Remembered(version=row.version, fingerprint=row.fingerprint or "")
                for row in reversed(requests)
            },
        )


async def _insert_events(session: AsyncSession, batch: TicketBatch, ticket: Ticket) -> set[int]:
    """Insert the events that are not there yet and return their versions."""
    final = ticket.model_dump(mode="json")
    taken = await _taken_requests(session, batch)
    rows = []
    for event in batch.events:
        request_id = event.request_id if event.request_id not in taken else None
        answer = None
        if request_id and event.fingerprint:
            earlier = batch.answers.get(request_id)
            answer = earlier.model_dump(mode="json") if earlier else final
        rows.append(
            {
                "ticket_id": ticket.id,
                "version": event.version,
                "organization_id": ticket.organization_id,
                "kind": event.kind,
                "at": event.at,
                "actor_kind": event.actor.kind,
                "actor_id": event.actor.id,
                "actor_name": event.actor.name,
                "reason": event.reason,
                "changes": {name: change.model_dump() for name, change in event.changes.items()},
                "about": event.about,
                "request_id": request_id,
                "fingerprint": event.fingerprint,
                "answer": answer,
                "clock_events": [clock.model_dump(mode="json") for clock in event.clocks],
            }
        )
    statement = (
        insert(TicketEventRow)
        .values(rows)
        .on_conflict_do_nothing(index_elements=["ticket_id", "version"])
        .returning(TicketEventRow.version)
    )
    return set(await session.scalars(statement))


async def _taken_requests(session: AsyncSession, batch: TicketBatch) -> set[str]:
    """Requests that name an event of another version already.

    A run remembers so many requests that this does not happen in practice. If it does, the second
    event goes without the name, for a batch that can never be written would stop the ticket.
    """
    versions = {event.request_id: event.version for event in batch.events if event.request_id}
    if not versions:
        return set()
    known = await session.execute(
        select(TicketEventRow.request_id, TicketEventRow.version).where(
            TicketEventRow.ticket_id == batch.ticket.id, TicketEventRow.request_id.in_(versions)
        )
    )
    return {row.request_id for row in known if row.request_id and row.version != versions[row.request_id]}


async def _write_row(session: AsyncSession, ticket: Ticket, description: str | None) -> None:
    waits = timers(ticket)
    values = {
        "version": ticket.version,
        "title": ticket.title,
        "status": ticket.status,
        "priority": ticket.priority,
        "priority_rank": ticket.priority.rank,
        "tags": list(ticket.tags),
        "team_id": ticket.team_id,
        "assignee_id": ticket.assignee_id,
        "updated_at": ticket.updated_at,
        "next_timer_at": waits[0].due_at if waits else None,
        "sla_due_at": min(
            (each.at for each in deadlines(ticket.clocks) if each.kind is ClockEventKind.BREACH), default=None
        ),
        "breached": ticket.breached,
        "state": ticket.model_dump(mode="json"),
    }
    statement = insert(TicketRow).values(
        id=ticket.id,
        organization_id=ticket.organization_id,
        number=ticket.number,
        description=description or "",
        channel=ticket.channel,
        requester_id=ticket.requester_id,
        conversation_id=ticket.conversation_id,
        follow_up_of=ticket.follow_up_of,
        created_at=ticket.created_at,
        **values,
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["id"], set_=values, where=TicketRow.version < statement.excluded.version
        )
    )


async def _insert_customer_messages(session: AsyncSession, ticket: Ticket, messages: Iterable[CustomerMessage]) -> None:
    """Put what the system says to the customer into the conversation, once by its key."""
    for message in messages:
        external_id = f"baton:{ticket.id}:{message.key}"
        await session.execute(
            insert(Message)
            .values(
                id=message_id(ticket.conversation_id, external_id),
                organization_id=ticket.organization_id,
                conversation_id=ticket.conversation_id,
                ticket_id=ticket.id,
                external_id=external_id,
                author_kind="system",
                author_name=SYSTEM_AUTHOR,
                body=wording(message.kind, ticket),
                sent_at=ticket.updated_at,
            )
            .on_conflict_do_nothing(index_elements=["conversation_id", "external_id"])
        )
