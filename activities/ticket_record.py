"""The one writer of the read model of tickets."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.desk import Desk
from activities.signatures import LOAD_TICKET, RECORD_TICKET, LoadedTicket, LoadTicket, Recorded, TicketBatch
from db.assignment import Settled, requeue
from db.bell import Bell, no_bell, ring_for
from db.deliveries import message_to_come
from db.engine import Sessions
from db.escalations import raise_escalation
from db.models import Conversation, Message, TicketEventRow, TicketRow
from db.notices import insert_notifications
from db.terms import find_terms
from db.ticket_histories import lay_foundation, told_otherwise
from db.ticket_writes import restore_events, restore_row, write_batch
from db.watchers import take_watchers_over
from db.wording import worded
from domain.clocks import Metric
from domain.commands import Remembered
from domain.deadlines import escalating
from domain.escalation import Reason
from domain.escalation_commands import Raise
from domain.events import CustomerMessage, EventKind, TicketEvent
from domain.ids import breach_id, message_id
from domain.terms import adopt, wanted
from domain.ticket import Source, Ticket
from domain.wording import SYSTEM_AUTHOR

ANOTHER_HISTORY = "another_history"
"""Type of the failure of a record by a workflow that was restored from an older backup than the read model."""

LAG = "baton_read_model_lag"
"""Metric: how far the read model is behind."""


class TicketRecord:
    """Writes what ticket workflows hand on, and reads it back for a ticket that is reopened.

    ``desk`` has the queues follow each record; without one they stay as they are, as for repairs. ``bell`` is rung for
    mails that are to go.
    """

    def __init__(self, sessions: Sessions, desk: Desk | None = None, bell: Bell = no_bell) -> None:
        self._sessions = sessions
        self._desk = desk
        self._bell = bell

    @activity.defn(name=RECORD_TICKET)
    async def record(self, batch: TicketBatch) -> Recorded:
        """Write one batch in one transaction: row, events, notifications, messages to the customer.

        Safe to repeat: the row is guarded by its version, everything else is unique by key. The
        terms the ticket wants are read in the same transaction and applied to the row, so that the
        row equals what the workflow will hold. The queues follow in a second transaction, so that nobody who reads
        waits for who hands out tickets.
        """
        structlog.contextvars.bind_contextvars(ticket_id=str(batch.ticket.id))
        async with self._sessions.begin() as session:
            need = wanted(batch.ticket)
            terms = await find_terms(session, batch.ticket, need) if need else None
            ticket = adopt(batch.ticket, terms) if terms else batch.ticket
            written = await write_batch(session, ticket, batch.events, batch.answers, batch.description or "")
            if len(written.fresh) < len(batch.events):
                await _require_one_history(session, batch)
            await _tell(session, ticket, batch, written.fresh, watched=written.watched)
        await ring_for(session, self._bell)
        _measure(batch)
        settled = await self._desk.settle(batch) if self._desk else Settled()
        return Recorded(terms=terms, offer=settled.offer, leaver_id=settled.leaver_id)

    async def restore(self, ticket: Ticket, batches: Iterable[TicketBatch]) -> None:
        """Write a ticket anew: the row as ``ticket``, and whatever of ``batches`` is missing. Not an activity.

        Only for repairs: the row is overwritten, whatever it holds, unless its events tell another history. One
        transaction; safe to repeat.
        """
        async with self._sessions.begin() as session:
            await lay_foundation(session, ticket)
            description = ""
            for batch in batches:
                await _require_one_history(session, batch)
                fresh = await restore_events(session, batch.ticket, batch.events, batch.answers)
                # What was delivered once is not delivered again because rows were lost.
                await _tell(session, batch.ticket, batch, fresh, deliver=False)
                description = description or batch.description or ""
            await restore_row(session, ticket, description)
            await requeue(session, ticket)

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
        async with self._sessions.begin() as session:
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


async def _require_one_history(session: AsyncSession, batch: TicketBatch) -> None:
    """Refuse to mix two histories of a ticket; what is on record stays, and the ticket is found to be stuck."""
    refuse_another_history(await told_otherwise(session, batch.ticket.id, batch.events))


def refuse_another_history(versions: Collection[int]) -> None:
    """Fail for good where these ``versions`` are on record with another content than the workflow's."""
    if versions:
        raise ApplicationError(
            f"Something else is on record of the versions {versions}: this workflow is older than its record.",
            type=ANOTHER_HISTORY,
        )


async def _tell(
    session: AsyncSession,
    ticket: Ticket,
    batch: TicketBatch,
    fresh: set[int],
    *,
    watched: bool = True,
    deliver: bool = True,
) -> None:
    """Write what the ``fresh`` events tell members and the customer."""
    for event in batch.events:
        if event.version in fresh:
            await insert_notifications(session, ticket, event, watched=watched)
            if event.kind is EventKind.SLA_BREACHED:
                await _raise_escalation(session, ticket, event)
            await _insert_customer_messages(session, ticket, event.customer_messages, deliver=deliver)
            if event.kind is EventKind.ABSORBED:
                await take_watchers_over(session, ticket, UUID(str(event.about["from"])))


async def _raise_escalation(session: AsyncSession, ticket: Ticket, event: TicketEvent) -> None:
    """Put a chat platform's conversation into the queue whose ticket's promise was broken and can still be kept."""
    metric = Metric(str(event.about["metric"]))
    if metric not in escalating(ticket.clocks):
        return
    external_id = await session.scalar(
        select(Conversation.external_id).where(Conversation.id == ticket.conversation_id)
    )
    if external_id is None:  # made by hand: nobody chats there
        return
    reason = Reason(
        id=breach_id(ticket.id, metric, int(str(event.about["episode"]))),
        source=Source.SLA,
        at=event.at,
        priority=ticket.priority,
        metric=metric,
    )
    raising = Raise(reason=reason, team_id=ticket.team_id, ticket_id=ticket.id)
    await raise_escalation(session, ticket.organization_id, ticket.conversation_id, raising)


async def _insert_customer_messages(
    session: AsyncSession, ticket: Ticket, messages: Iterable[CustomerMessage], *, deliver: bool
) -> None:
    """Put what the system says to the customer into the conversation, once by its key, and have it delivered.

    What the organization does not have said is not written at all.
    """
    for message in messages:
        body = await worded(session, ticket, message.kind)
        if body is None:
            continue
        external_id = f"baton:{ticket.id}:{message.key}"
        stored = await session.scalar(
            insert(Message)
            .values(
                id=message_id(ticket.conversation_id, external_id),
                organization_id=ticket.organization_id,
                conversation_id=ticket.conversation_id,
                ticket_id=ticket.id,
                external_id=external_id,
                author_kind="system",
                author_name=SYSTEM_AUTHOR,
                body=body,
                sent_at=ticket.updated_at,
            )
            .on_conflict_do_nothing(index_elements=["conversation_id", "external_id"])
            .returning(Message)
        )
        if stored is not None and deliver:
            await message_to_come(session, stored)


def _measure(batch: TicketBatch) -> None:
    # The event has the Temporal server's time. Where this machine's clock is behind it, the difference may be
    # negative, and recording that would fail the activity, which is tried for ever.
    lag = max(timedelta(), datetime.now(UTC) - batch.events[-1].at)
    activity.metric_meter().create_histogram_timedelta(LAG, "From an event to its read model").record(lag)
