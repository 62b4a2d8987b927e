"""Deliveries, written with the change that causes them and sent after it."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import left_to_tell
from db.live_events import DELIVERY, publish
from db.models import Channel, Conversation, Delivery, Message
from domain.delivery import (
    FETCHED,
    TOLD_OF_HANDING_OVER,
    TRIED_FOR,
    AttemptOutcome,
    ConnectorName,
    DeliveryKind,
    DeliveryState,
    connector_of,
)
from domain.ids import delivery_id

KEPT_ATTEMPTS = 100
"""Of a delivery; a day of trying makes some fifty."""


async def message_to_come(session: AsyncSession, message: Message) -> UUID | None:
    """Have a stored message delivered to the customer, once, after the caller's transaction; the delivery's id.

    ``None``, and nothing is written, where the conversation's channel has no way to answer. Safe to repeat. Deliveries
    of one conversation go in the order in which they were written.
    """
    return await _to_come(
        session,
        message.organization_id,
        message.conversation_id,
        key=f"message:{message.id}",
        kind=DeliveryKind.MESSAGE,
        message_id=message.id,
    )


async def notice_to_come(
    session: AsyncSession,
    organization_id: UUID,
    conversation_id: UUID,
    kind: DeliveryKind,
    *,
    key: str,
    about: Mapping[str, Any],
) -> UUID | None:
    """Have the conversation's platform told who has it now, once for ``key``, which is unique in the organization.

    ``kind`` is ``HANDED_OVER`` or ``HANDED_BACK``; ``about`` goes with it as JSON: ``member_id`` and ``member_name``
    of who took it or gave it back, ``escalation_id``, ``reason``, each where there is one. ``None``, and nothing is
    written, where the channel has nobody to be told. The caller owns the transaction. Safe to repeat.
    """
    return await _to_come(session, organization_id, conversation_id, key=f"{kind}:{key}", kind=kind, about=dict(about))


async def _to_come(
    session: AsyncSession,
    organization_id: UUID,
    conversation_id: UUID,
    *,
    key: str,
    kind: DeliveryKind,
    message_id: UUID | None = None,
    about: Mapping[str, Any] | None = None,
) -> UUID | None:
    channel = (
        await session.execute(
            select(Channel.id, Channel.kind, Channel.settings)
            .join(Conversation, Conversation.channel_id == Channel.id)
            .where(Conversation.id == conversation_id, Conversation.organization_id == organization_id)
        )
    ).one_or_none()
    connector = connector_of(channel.kind, channel.settings) if channel else None
    if channel is None or connector is None:
        return None
    if kind is not DeliveryKind.MESSAGE and connector not in TOLD_OF_HANDING_OVER:
        return None
    new_id, now = delivery_id(organization_id, key), datetime.now(UTC)
    await session.execute(
        insert(Delivery)
        .values(
            id=new_id,
            organization_id=organization_id,
            key=key,
            conversation_id=conversation_id,
            message_id=message_id,
            channel_id=channel.id,
            connector=connector,
            kind=kind,
            about=dict(about or {}),
            state=DeliveryState.PENDING,
            created_at=now,
            due_at=now,
            try_until=now + TRIED_FOR,
        )
        .on_conflict_do_nothing(index_elements=["organization_id", "key"])
    )
    wake(session, conversation_id, connector)
    return new_id


def wake(session: AsyncSession, conversation_id: UUID, connector: str, *, changed: bool = False) -> None:
    """Have the conversation's deliveries sent once the transaction is committed, where its connector sends.

    ``changed``: a person has changed one, so that nobody waits for its next attempt any longer.
    """
    if ConnectorName(connector) not in FETCHED:
        waiting = left_to_tell(session)
        (waiting.changed_ids if changed else waiting.conversation_ids).add(conversation_id)


async def announce(session: AsyncSession, delivery: Delivery) -> None:
    """Show open pages how far a delivery has come, when the caller's transaction commits; why, they ask for."""
    shown = {
        "delivery_id": str(delivery.id),
        "conversation_id": str(delivery.conversation_id),
        "message_id": str(delivery.message_id) if delivery.message_id else None,
        "kind": delivery.kind,
        "state": delivery.state,
        "tried": delivery.tried,
    }
    await publish(session, delivery.organization_id, DELIVERY, shown)


async def fetched(session: AsyncSession, conversation_id: UUID, message_ids: Collection[UUID]) -> int:
    """The customer's side has fetched these messages: what was pending for it is sent. How many that were.

    For connectors in ``domain.delivery.FETCHED``. The caller owns the transaction; safe to repeat.
    """
    if not message_ids:
        return 0
    now = datetime.now(UTC)
    attempt = {"at": now.isoformat(), "outcome": AttemptOutcome.SENT.value, "reason": None}
    changed = await session.scalars(
        update(Delivery)
        .where(
            Delivery.conversation_id == conversation_id,
            Delivery.message_id.in_(message_ids),
            Delivery.connector.in_(FETCHED),
            Delivery.state == DeliveryState.PENDING,
        )
        .values(
            state=DeliveryState.SENT,
            finished_at=now,
            tried=Delivery.tried + 1,
            attempts=Delivery.attempts.op("||")([attempt]),
        )
        .returning(Delivery)
    )
    rows = changed.all()
    for row in rows:
        await announce(session, row)
    return len(rows)
