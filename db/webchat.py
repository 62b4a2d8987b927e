"""What a web chat's visitor may read of their conversation."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Conversation, Message

OVERLAP = timedelta(seconds=30)
"""A message that was written later may have been stored a moment earlier: a stream looks back that far."""

Place = tuple[datetime, UUID]


async def handled_by(session: AsyncSession, conversation_id: UUID) -> str | None:
    """Who has the conversation, ``bot`` or ``human``; ``None`` for one in which nothing has been said."""
    found: str | None = await session.scalar(select(Conversation.handled_by).where(Conversation.id == conversation_id))
    return found


async def place_of(session: AsyncSession, conversation_id: UUID, message_id: UUID) -> Place | None:
    """Where a message stands in the conversation; ``None`` for one that is not in it."""
    row = (
        await session.execute(
            select(Message.created_at, Message.id).where(
                Message.id == message_id, Message.conversation_id == conversation_id
            )
        )
    ).one_or_none()
    return None if row is None else (row[0], row[1])


async def said_after(
    session: AsyncSession, conversation_id: UUID, after: Place | None, limit: int
) -> Sequence[Message]:
    """Messages behind a place in the order in which they came, or the latest ones.

    Erased ones are not shown, nor what a bot said although a human had the conversation.
    """
    key = tuple_(Message.created_at, Message.id)
    statement = select(Message).where(
        Message.conversation_id == conversation_id, Message.erased.is_(False), Message.out_of_turn.is_(False)
    )
    if after is None:
        latest = await session.scalars(statement.order_by(Message.created_at.desc(), Message.id.desc()).limit(limit))
        return list(latest)[::-1]
    found = statement.where(key > tuple_(*after)).order_by(Message.created_at, Message.id).limit(limit)
    return list(await session.scalars(found))
