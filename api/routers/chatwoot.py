"""What Chatwoot posts: events of agent bots and webhooks, of which those about messages are taken in."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import select

from api.channel_doors import ChatwootDoor, Door, again_for_chatwoot
from api.chatwoot_turns import ChatwootTurns, requester_of
from api.dependencies import Principal
from api.escalations import Escalations
from api.intake import Intake
from api.problems import MEDIA_TYPE, ProblemView
from api.routers.conversations import incoming_view
from api.schemas.intake import IncomingMessage, Writer
from api.schemas.webhook import ChatwootView
from api.tickets import Tickets
from db.echoes import note_echo
from db.models import Member
from domain.chatwoot import Author, ChatMessage, ChatwootEvent, Left, Received, TurnTaken, read_event
from domain.events import Actor, ActorKind

router = APIRouter(prefix="/channels/{channel_id}/chatwoot", tags=["conversations"])


_NOT_TAKEN: dict[int | str, dict[str, Any]] = {
    500: {"model": ProblemView, "description": "Something is away; send it again", "content": {MEDIA_TYPE: {}}}
}


@router.post("", responses=_NOT_TAKEN, summary="Take in an event of Chatwoot's, by its signature")
async def take_event(event: ChatwootEvent, door: ChatwootDoor) -> ChatwootView:
    """`message_created` is taken in once, a bot's hand-over raises an escalation, and what is resolved ends one.

    All else is answered with why it is left.

    Whatever is away is answered with 500: of an agent bot's events Chatwoot sends those again, and no others.
    """
    settings = door.channel.settings
    found = read_event(event, door.channel.id, settings["account_id"], settings.get("inbox_id"))
    if isinstance(found, Left):
        return ChatwootView(left=found.why)
    with again_for_chatwoot():
        if isinstance(found, TurnTaken):
            tickets = door.tickets
            escalations = Escalations(tickets.services, tickets.session, tickets.caller)
            turned = await ChatwootTurns(escalations, door.channel).take(found)
            return ChatwootView(did=turned.did, left=turned.left)
        return await _take(door, found)


async def _take(door: Door, found: Received) -> ChatwootView:
    tickets, message = door.tickets, found.message
    async with tickets.session.begin():
        ours = await note_echo(tickets.session, door.channel.id, found.provider_id, found.delivery_id)
    if ours:
        return ChatwootView(left="Baton itself has sent it")
    intake = Intake(tickets.services, await _writer_of(tickets, message))
    arrival = await intake.take_alone(message.conversation, incoming_message(message, door.channel.id))
    return ChatwootView(message=incoming_view(arrival))


async def _writer_of(tickets: Tickets, message: ChatMessage) -> Principal:
    """The member who has the address of the agent in Chatwoot, where there is one, else the channel's own caller."""
    caller = tickets.caller
    if message.agent_email is None:
        return caller
    async with tickets.services.reads() as session:
        row = (
            await session.execute(
                select(Member.id, Member.name).where(
                    Member.organization_id == caller.organization_id,
                    Member.email == message.agent_email.casefold(),
                    Member.status == "active",
                )
            )
        ).one_or_none()
    if row is None:
        return caller
    actor = Actor(kind=ActorKind.MEMBER, id=row.id, name=row.name)
    return replace(caller, actor=actor)


def incoming_message(message: ChatMessage, channel_id: UUID) -> IncomingMessage:
    """The message as the intake takes it."""
    return IncomingMessage(
        external_id=message.external_id,
        author={Author.CUSTOMER: Writer.CUSTOMER, Author.BOT: Writer.BOT, Author.AGENT: Writer.AGENT}[message.author],
        author_name=message.author_name,
        body=message.body,
        sent_at=message.sent_at,
        channel_id=channel_id,
        requester=requester_of(message.contact),
        tags=list(message.labels),
        automatic=message.automatic,
    )
