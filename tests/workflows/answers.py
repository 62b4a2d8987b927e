"""Conversations whose channel is answered by webhook, and what agents say in them."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from db.bell import ring_for
from db.channel_secrets import SIGNING, Seal, keep_secret
from db.deliveries import message_to_come
from db.models import Channel, Conversation, Message, Requester
from domain.ids import message_id
from tests.receiver import Receiver
from tests.workflows.office import Office
from workflows.bell import make_bell

SECRET = "whsec_" + "QUJDRA" * 6 + "QUI="


async def conversation_on(office: Office, platform: Receiver) -> UUID:
    """A conversation on a channel that is answered at the platform."""
    conversation_id, requester_id, channel_id = uuid4(), uuid4(), uuid4()
    async with office.sessions.begin() as session:
        session.add(Requester(id=requester_id, organization_id=office.id))
        session.add(
            Channel(
                id=channel_id,
                organization_id=office.id,
                kind="whatsapp",
                name=str(channel_id),
                settings={"reply_url": platform.url},
                created_at=datetime.now(UTC),
            )
        )
        await session.flush()
        session.add(
            Conversation(
                id=conversation_id,
                organization_id=office.id,
                channel="whatsapp",
                channel_id=channel_id,
                requester_id=requester_id,
            )
        )
        seal = Seal("0" * 32)
        await keep_secret(session, seal, office.id, channel_id, purpose=SIGNING, plain=SECRET)
    return conversation_id


async def says(office: Office, conversation_id: UUID, *bodies: str, ring: bool = True) -> list[UUID]:
    """Store agents' messages in one transaction, and have them delivered."""
    made: list[UUID | None] = []
    async with office.sessions() as session:
        async with session.begin():
            for body in bodies:
                message = Message(
                    id=message_id(conversation_id, body),
                    organization_id=office.id,
                    conversation_id=conversation_id,
                    external_id=body,
                    author_kind="agent",
                    body=body,
                    sent_at=datetime.now(UTC),
                )
                session.add(message)
                await session.flush()
                made.append(await message_to_come(session, message))
        if ring:
            await ring_for(session, make_bell(office.client, office.settings))
    return [each for each in made if each is not None]
