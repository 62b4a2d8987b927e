"""Messages of ours that a platform tells us of as if they were new."""

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Delivery
from domain.delivery import AttemptOutcome, DeliveryState

_OPEN = (DeliveryState.PENDING, DeliveryState.UNCERTAIN)


async def note_echo(session: AsyncSession, channel_id: UUID, provider_id: str, delivery_id: UUID | None) -> bool:
    """Whether the platform's message is one that Baton delivered by the channel.

    It is known by the delivery it names, else by the id the platform gave it. A delivery of which nothing was heard
    has arrived, then: it is marked as sent, and not sent again. The caller owns the transaction. Safe to repeat.
    """
    named = Delivery.id == delivery_id if delivery_id is not None else None
    known = Delivery.provider_id == provider_id
    row = await session.scalar(
        select(Delivery)
        .where(Delivery.channel_id == channel_id, known if named is None else or_(named, known))
        .limit(1)
        .with_for_update()
    )
    if row is None:
        return False
    if row.state in _OPEN:
        now = datetime.now(UTC)
        row.state, row.provider_id, row.finished_at, row.reason = DeliveryState.SENT, provider_id, now, None
        row.attempts = [*row.attempts, {"at": now.isoformat(), "outcome": AttemptOutcome.SENT.value, "reason": None}]
    return True
