"""Channels: the ways customers write in."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Caller, Principal, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.problems import Problem, unique_or
from api.schemas.channel import ChannelDocument, ChannelView
from db.models import Channel, Conversation
from db.rules import rule_naming, rules_changed

router = APIRouter(prefix="/channels", tags=["conversations"])


@router.post("", status_code=201, response_model=ChannelView, summary="Create a channel")
async def create_channel(document: ChannelDocument, caller: Caller, session: Session, request: Idempotency) -> Response:
    async def work() -> ChannelView:
        row = Channel(id=uuid4(), organization_id=caller.organization_id, created_at=datetime.now(UTC))
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List channels")
async def list_channels(caller: Caller, session: ReadSession, place: Paging) -> Page[ChannelView]:
    mine = select(Channel).where(Channel.organization_id == caller.organization_id)
    return await page_by_time(session, mine, Channel, ChannelView, place)


@router.get("/{channel_id}", summary="Read a channel")
async def read_channel(channel_id: UUID, caller: Caller, session: ReadSession) -> ChannelView:
    return ChannelView.model_validate(await find_own(session, caller, Channel, channel_id, "channel"))


@router.put("/{channel_id}", response_model=ChannelView, summary="Replace a channel's name and how to answer there")
async def replace_channel(
    channel_id: UUID, document: ChannelDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """The kind stays: conversations were told it, and rules go by it."""

    async def work() -> ChannelView:
        row = await find_own(session, caller, Channel, channel_id, "channel", lock=True)
        if document.kind != row.kind:
            raise Problem(
                "invalid_request", f"This channel's kind is {row.kind} and stays so; create another channel.", at="kind"
            )
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work)


@router.delete(
    "/{channel_id}", status_code=204, response_class=Response, summary="Delete a channel that nothing goes by"
)
async def delete_channel(channel_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """Refused while a conversation is held on it or a rule names it."""

    async def work() -> None:
        row = await find_own(session, caller, Channel, channel_id, "channel", lock=True)
        if await session.scalar(select(Conversation.id).where(Conversation.channel_id == channel_id).limit(1)):
            raise Problem("still_in_use", "Conversations are held on this channel; it stays with them.")
        rule = await rule_naming(session, caller.organization_id, channel_id)
        if rule is not None:
            raise Problem("still_in_use", f"The rule {rule} names this channel; give it another one first.")
        await session.delete(row)
        await rules_changed(session, caller.organization_id)

    return await once(session, caller.organization_id, request, work, status=204)


async def _write(session: AsyncSession, caller: Principal, row: Channel, document: ChannelDocument) -> ChannelView:
    """Put the document into the row, and have every process know of it. The caller owns the transaction."""
    row.kind, row.name = document.kind, document.name
    row.settings = document.settings.model_dump(mode="json", exclude_none=True)
    session.add(row)
    with unique_or("A channel with this name exists already."):
        await session.flush()
    await rules_changed(session, caller.organization_id)
    return ChannelView.model_validate(row)
