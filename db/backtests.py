"""What a back-test reads: conversations with what was read in their messages, and tickets with what they came from."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Backtest, Conversation, Message, TicketRow
from domain.rules.backtest import BacktestStatus

FETCHED = 500
"""Messages that are read at once; others have their turn between."""

Place = tuple[datetime, UUID]


@dataclass(frozen=True)
class PastMessage:
    """A text rules are tried on, and what is known of it. ``reading`` is JSON, ``None`` where nothing was read."""

    conversation_id: UUID
    external_id: str | None
    ticket_id: UUID | None
    message_id: UUID | None
    at: datetime
    text: str
    reading: Mapping[str, Any] | None
    channels: frozenset[str]
    tags: frozenset[str]


_EARLIER = text("""
SELECT c.id, array_agg(m.sentiment ORDER BY m.sent_at, m.id) AS sentiments
FROM unnest(CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[])) AS c (id, moment)
CROSS JOIN LATERAL (
    SELECT id, sent_at, (reading->>'sentiment')::float AS sentiment FROM (
        SELECT id, sent_at, reading, automatic FROM messages  -- fenced as in db/conversations.py
        WHERE conversation_id = c.id AND sent_at < c.moment ORDER BY sent_at DESC, id DESC OFFSET 0
    ) AS said
    WHERE reading IS NOT NULL AND NOT automatic LIMIT :many
) AS m
GROUP BY c.id
""")


async def conversation_page(
    session: AsyncSession, backtest: Backtest, after: Place | None, limit: int
) -> list[Conversation]:
    """The conversations that were there when the back-test was made, in the order they came in, from a place on."""
    wanted = select(Conversation).where(
        Conversation.organization_id == backtest.organization_id, Conversation.created_at <= backtest.created_at
    )
    if after is not None:
        wanted = wanted.where(tuple_(Conversation.created_at, Conversation.id) > after)
    return list(await session.scalars(wanted.order_by(Conversation.created_at, Conversation.id).limit(limit)))


async def messages_of(
    session: AsyncSession, backtest: Backtest, conversations: Sequence[Conversation]
) -> AsyncGenerator[Sequence[PastMessage]]:
    """The customers' messages of the back-test's range, by conversation and time, some hundreds at once.

    Whoever leaves before the end closes it (``contextlib.aclosing``).
    """
    known = {each.id: each for each in conversations}
    facts = {
        each.id: (frozenset({each.channel, str(each.channel_id or each.channel)}), frozenset(each.tags))
        for each in conversations
    }
    columns = (Message.conversation_id, Message.id, Message.sent_at, Message.body, Message.reading)
    rows = await session.stream(
        select(*columns)
        .where(
            Message.conversation_id.in_(known),
            Message.reading.is_not(None),
            Message.automatic.is_(False),
            Message.sent_at >= backtest.since,
            Message.sent_at < backtest.until,
        )
        .order_by(Message.conversation_id, Message.sent_at, Message.id)
        .execution_options(yield_per=FETCHED)
    )
    try:
        async for some in rows.partitions():
            yield [
                PastMessage(
                    conversation_id=row.conversation_id,
                    external_id=known[row.conversation_id].external_id,
                    ticket_id=None,
                    message_id=row.id,
                    at=row.sent_at,
                    text=row.body,
                    reading=row.reading,
                    channels=facts[row.conversation_id][0],
                    tags=facts[row.conversation_id][1],
                )
                for row in some
            ]
    finally:
        await rows.close()  # where the connection is gone too, which leaves the driver's cursor open


async def ticket_page(
    session: AsyncSession, backtest: Backtest, after: Place | None, limit: int
) -> list[tuple[Place, PastMessage]]:
    """Tickets created in the back-test's range, from a place on, each as the text it was routed by.

    What was read in that text is known where a customer's message opened the ticket. Its tags are those it has now.
    """
    opened_by = (
        select(Message.id, Message.reading, Message.sent_at)
        .where(
            Message.conversation_id == TicketRow.conversation_id,
            Message.reading.is_not(None),
            Message.body == TicketRow.description,
        )
        .order_by(Message.sent_at)
        .limit(1)
        .lateral()
    )
    wanted = (
        select(TicketRow, Conversation, opened_by.c.id, opened_by.c.reading, opened_by.c.sent_at)
        .join(Conversation, Conversation.id == TicketRow.conversation_id)
        .outerjoin(opened_by, literal(True))
        .where(
            TicketRow.organization_id == backtest.organization_id,
            TicketRow.created_at >= backtest.since,
            TicketRow.created_at < backtest.until,
        )
    )
    if after is not None:
        wanted = wanted.where(tuple_(TicketRow.created_at, TicketRow.id) > after)
    found = []
    for ticket, conversation, message_id, reading, sent_at in await session.execute(
        wanted.order_by(TicketRow.created_at, TicketRow.id).limit(limit)
    ):
        past = PastMessage(
            conversation_id=conversation.id,
            external_id=conversation.external_id,
            ticket_id=ticket.id,
            message_id=message_id,
            at=sent_at or ticket.created_at,
            text=ticket.description if message_id else f"{ticket.title}\n{ticket.description}",
            reading=reading,
            channels=frozenset({ticket.channel, str(conversation.channel_id or ticket.channel)}),
            tags=frozenset((*conversation.tags, *ticket.tags)),
        )
        found.append(((ticket.created_at, ticket.id), past))
    return found


async def earlier_sentiments(
    session: AsyncSession, moments: Mapping[UUID, datetime], many: int
) -> dict[UUID, tuple[float | None, ...]]:
    """The scores of up to ``many`` messages before a moment in each conversation, the latest last."""
    if not moments or not many:
        return {}
    values = {"ids": list(moments), "moments": list(moments.values()), "many": many}
    return {row.id: tuple(row.sentiments) for row in await session.execute(_EARLIER, values)}


async def count_conversations(session: AsyncSession, organization_id: UUID) -> int:
    """How many conversations an organization has."""
    mine = select(func.count()).select_from(Conversation).where(Conversation.organization_id == organization_id)
    return await session.scalar(mine) or 0


async def count_tickets(session: AsyncSession, organization_id: UUID, since: datetime, until: datetime) -> int:
    """How many tickets an organization created in a range."""
    mine = select(func.count()).where(
        TicketRow.organization_id == organization_id, TicketRow.created_at >= since, TicketRow.created_at < until
    )
    return await session.scalar(mine) or 0


async def prune(session: AsyncSession, before: datetime, limit: int) -> int:
    """Delete back-tests that were over before then, ``limit`` at most; how many. The caller owns the transaction."""
    old = (
        select(Backtest.id)
        .where(Backtest.status != BacktestStatus.RUNNING, Backtest.updated_at < before)
        .order_by(Backtest.updated_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    gone = await session.execute(delete(Backtest).where(Backtest.id.in_(old.scalar_subquery())))
    return int(gone.rowcount)  # type: ignore[attr-defined]
