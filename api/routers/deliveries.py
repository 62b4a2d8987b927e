"""Deliveries: what goes out to customers and platforms, and what has become of it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import select

from api.deliveries import give_up, send_again, shown
from api.dependencies import Caller, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, after, encode_cursor
from api.schemas.delivery import DeliveryView
from db.models import Delivery
from domain.delivery import DeliveryState

router = APIRouter(prefix="/deliveries", tags=["conversations"])


@router.get("", summary="List deliveries")
async def list_deliveries(
    caller: Caller,
    session: ReadSession,
    place: Paging,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state.")] = None,
    conversation_id: Annotated[UUID | None, Query(description="Only those of this conversation.")] = None,
) -> Page[DeliveryView]:
    """The newest first."""
    mine = select(Delivery).where(Delivery.organization_id == caller.organization_id)
    if state is not None:
        mine = mine.where(Delivery.state == state)
    if conversation_id is not None:
        mine = mine.where(Delivery.conversation_id == conversation_id)
    wanted = after(mine, Delivery.created_at, Delivery.id, place, newest_first=True)
    rows = list(await session.scalars(wanted))
    page = rows[: place.limit]
    last = page[-1] if len(rows) > place.limit else None
    return Page(
        items=[shown(row) for row in page], next_cursor=encode_cursor(last.created_at, last.id) if last else None
    )


@router.get("/{delivery_id}", summary="Read a delivery with its attempts")
async def read_delivery(delivery_id: UUID, caller: Caller, session: ReadSession) -> DeliveryView:
    return shown(await find_own(session, caller, Delivery, delivery_id, "delivery"))


@router.post("/{delivery_id}/send-again", response_model=DeliveryView, summary="Try a delivery again")
async def deliver_again(delivery_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """What has failed, was suppressed, or may have arrived is tried for another day, under the key it had.

    What is pending is tried at once. Whoever sends again what is `uncertain` accepts that the customer may be told it
    twice.
    """

    async def work() -> DeliveryView:
        return await send_again(session, caller, delivery_id)

    return await once(session, caller.organization_id, request, work)


@router.post("/{delivery_id}/give-up", response_model=DeliveryView, summary="Try a delivery no more")
async def give_delivery_up(delivery_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """What is pending has failed, and the conversation's next one goes out. An attempt under way may still arrive."""

    async def work() -> DeliveryView:
        return await give_up(session, caller, delivery_id)

    return await once(session, caller.organization_id, request, work)
