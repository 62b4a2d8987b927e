"""What the API does with deliveries: show them, beside their messages or alone, and have them made again."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal
from api.own import find_own
from api.pagination import Page, Place, after, encode_cursor
from api.problems import Problem
from api.schemas.conversation import MessageView
from api.schemas.delivery import AttemptView, DeliveryView, MessageDelivery
from db.deliveries import announce, wake
from db.models import Delivery, Message
from domain.delivery import FETCHED, TRIED_FOR, ConnectorName, DeliveryState


async def shown_messages(session: AsyncSession, messages: Sequence[Message]) -> list[MessageView]:
    """Messages as clients see them, with what has become of each on its way out. Opens no transaction that lasts."""
    ids = [message.id for message in messages if message.author_kind != "customer"]
    found = await session.scalars(select(Delivery).where(Delivery.message_id.in_(ids))) if ids else ()
    by_message = {row.message_id: row for row in found}
    return [
        MessageView.model_validate(message).model_copy(update={"delivery": _brief(by_message.get(message.id))})
        for message in messages
    ]


async def page_of_messages(session: AsyncSession, statement: Select[Any], place: Place) -> Page[MessageView]:
    """A page of messages in the order they came in."""
    rows = list(await session.scalars(after(statement, Message.created_at, Message.id, place)))
    page = rows[: place.limit]
    last = page[-1] if len(rows) > place.limit else None
    return Page(
        items=await shown_messages(session, page),
        next_cursor=encode_cursor(last.created_at, last.id) if last else None,
    )


def shown(row: Delivery) -> DeliveryView:
    """A delivery as clients see it."""
    return DeliveryView(
        **_brief_of(row).model_dump(),
        kind=row.kind,
        connector=row.connector,
        channel_id=row.channel_id,
        conversation_id=row.conversation_id,
        message_id=row.message_id,
        about=row.about,
        attempts=[AttemptView.model_validate(each) for each in row.attempts],
        provider_id=row.provider_id,
        created_at=row.created_at,
    )


async def send_again(session: AsyncSession, caller: Principal, delivery_id: UUID) -> DeliveryView:
    """Have a delivery that has not arrived tried at once, and for another day.

    It keeps its key: a receiver that has it already knows it. The caller owns the transaction.
    """
    row = await _undelivered(session, caller, delivery_id)
    now = datetime.now(UTC)
    row.state, row.finished_at = DeliveryState.PENDING, None
    row.due_at, row.try_until = now, now + TRIED_FOR
    await session.flush()
    await announce(session, row)
    wake(session, row.conversation_id, row.connector, changed=True)
    return shown(row)


async def give_up(session: AsyncSession, caller: Principal, delivery_id: UUID) -> DeliveryView:
    """Have a pending delivery tried no more, so that it holds up no others. The caller owns the transaction."""
    row = await _undelivered(session, caller, delivery_id)
    if row.state == DeliveryState.PENDING:
        row.state, row.finished_at = DeliveryState.FAILED, datetime.now(UTC)
        row.reason = row.reason or "It was given up before an attempt had ended."
        await session.flush()
        await announce(session, row)
        wake(session, row.conversation_id, row.connector, changed=True)
    return shown(row)


async def _undelivered(session: AsyncSession, caller: Principal, delivery_id: UUID) -> Delivery:
    row = await find_own(session, caller, Delivery, delivery_id, "delivery", lock=True)
    if row.state == DeliveryState.SENT:
        raise Problem("already_delivered", "This has been delivered; say what there is to say in a new message.")
    return row


def _brief(row: Delivery | None) -> MessageDelivery | None:
    return _brief_of(row) if row is not None else None


def _brief_of(row: Delivery) -> MessageDelivery:
    waits = row.state == DeliveryState.PENDING and ConnectorName(row.connector) not in FETCHED
    return MessageDelivery(
        id=row.id,
        state=row.state,
        tried=row.tried,
        reason=row.reason,
        next_attempt_at=row.due_at if waits else None,
        finished_at=row.finished_at,
    )
