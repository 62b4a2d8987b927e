"""Channels: the ways customers write in."""

from base64 import b64encode
from datetime import UTC, datetime
from secrets import token_bytes
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Caller, Principal, Session
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.problems import Problem, unique_or
from api.routers.tickets import Acting
from api.schemas.channel import ChannelDocument, ChannelView
from api.schemas.delivery import ChangeSecret, ChannelSecretView
from db.channel_secrets import SIGNING, Seal, keep_secret
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
async def list_channels(caller: Caller, session: Session, place: Paging) -> Page[ChannelView]:
    mine = select(Channel).where(Channel.organization_id == caller.organization_id)
    return await page_by_time(session, mine, Channel, ChannelView, place)


@router.get("/{channel_id}", summary="Read a channel")
async def read_channel(channel_id: UUID, caller: Caller, session: Session) -> ChannelView:
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


@router.post(
    "/{channel_id}/secrets",
    status_code=201,
    response_model=ChannelSecretView,
    summary="Make a new secret to sign a channel's webhooks with",
)
async def change_secret(channel_id: UUID, document: ChangeSecret, acting: Acting, request: Idempotency) -> Response:
    """The answer shows the secret once. For a while deliveries are signed with the old one too, so that none is lost.

    Without a secret nothing is sent to a `reply_url`.
    """
    caller, session = acting.caller, acting.session
    seal = Seal(acting.services.settings.secret_key.get_secret_value())

    async def work() -> ChannelSecretView:
        await find_own(session, caller, Channel, channel_id, "channel", lock=True)
        secret = f"whsec_{b64encode(token_bytes(32)).decode()}"
        old_until = datetime.now(UTC) + document.old_for if document.old_for else None
        await keep_secret(
            session,
            seal,
            caller.organization_id,
            channel_id,
            purpose=SIGNING,
            plain=secret,
            others_until=old_until,
        )
        return ChannelSecretView(channel_id=channel_id, secret=secret, old_until=old_until)

    return await once(session, caller.organization_id, request, work, status=201, secret="secret")  # noqa: S106 - a field


async def _write(session: AsyncSession, caller: Principal, row: Channel, document: ChannelDocument) -> ChannelView:
    """Put the document into the row, and have every process know of it. The caller owns the transaction."""
    row.kind, row.name = document.kind, document.name
    row.settings = document.settings.model_dump(mode="json", exclude_none=True)
    session.add(row)
    with unique_or("A channel with this name exists already."):
        await session.flush()
    await rules_changed(session, caller.organization_id)
    return ChannelView.model_validate(row)
