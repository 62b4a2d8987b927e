"""What a connector may know of a delivery, read from the database."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from activities.connectors.connector import (
    ChannelToUse,
    Customer,
    EarlierMessage,
    Outgoing,
    OutgoingMessage,
    Suppressed,
    TicketInBrief,
    TryAgain,
)
from db.channel_secrets import Seal, SealBroken, open_secrets
from db.models import Channel, Conversation, Delivery, Message, Requester, TicketRow
from domain.delivery import DeliveryKind

EARLIER = 30
"""Messages before this one that a connector is shown."""


async def read_outgoing(session: AsyncSession, seal: Seal, delivery: Delivery, channel: Channel) -> Outgoing:
    """The delivery with what belongs to it, as it is now.

    Raises ``Suppressed`` where its words have been erased, and ``TryAgain`` where the channel's secrets cannot be read.
    """
    conversation, requester = (
        await session.execute(
            select(Conversation, Requester)
            .join(Requester, Requester.id == Conversation.requester_id)
            .where(Conversation.id == delivery.conversation_id)
        )
    ).one()
    message = await session.get(Message, delivery.message_id) if delivery.message_id else None
    if message is not None and message.erased:
        raise Suppressed("Its words have been erased.")
    try:
        secrets = await open_secrets(session, seal, channel.id)
    except SealBroken as error:
        raise TryAgain(str(error)) from error
    ticket_id = message.ticket_id if message and message.ticket_id else conversation.ticket_id
    return Outgoing(
        id=delivery.id,
        organization_id=delivery.organization_id,
        key=delivery.key,
        kind=DeliveryKind(delivery.kind),
        created_at=delivery.created_at,
        channel=ChannelToUse(channel.id, channel.kind, channel.name, channel.settings, secrets),
        conversation_id=conversation.id,
        conversation_external_id=conversation.external_id,
        customer=Customer(requester.external_id, requester.name, requester.email),
        message=_message(message) if message else None,
        about=delivery.about,
        ticket=await _ticket(session, ticket_id),
        earlier=await _earlier(session, conversation.id, message.created_at if message else delivery.created_at),
    )


def _message(message: Message) -> OutgoingMessage:
    return OutgoingMessage(
        id=message.id,
        external_id=message.external_id,
        author_kind=message.author_kind,
        author_name=message.author_name,
        body=message.body,
        sent_at=message.sent_at,
    )


async def _ticket(session: AsyncSession, ticket_id: UUID | None) -> TicketInBrief | None:
    if ticket_id is None:
        return None
    columns = select(TicketRow.id, TicketRow.number, TicketRow.title).where(TicketRow.id == ticket_id)
    found = (await session.execute(columns)).one_or_none()
    return TicketInBrief(*found) if found else None


async def _earlier(session: AsyncSession, conversation_id: UUID, before: datetime) -> tuple[EarlierMessage, ...]:
    columns = (Message.external_id, Message.author_kind, Message.automatic, Delivery.key, Delivery.provider_id)
    found = await session.execute(
        select(*columns)
        .outerjoin(Delivery, and_(Delivery.message_id == Message.id, Delivery.state == "sent"))
        .where(Message.conversation_id == conversation_id, Message.created_at < before, ~Message.erased)
        .order_by(Message.created_at.desc(), Message.id.desc())
        .limit(EARLIER)
    )
    return tuple(reversed([EarlierMessage(*row) for row in found]))
