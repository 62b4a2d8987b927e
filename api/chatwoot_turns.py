"""Whose turn a conversation is, as Chatwoot's changes of its status tell: the bot hands over, or it is over."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select

from api.arrivals import customer_of
from api.escalations import Escalations
from api.idempotency import RequestId
from api.schemas.ticket import RequesterDocument
from db.bell import ring_for
from db.conversations import NewConversation, keep_conversations
from db.escalations import raise_escalation
from db.models import Channel, Conversation, EscalationRow
from domain.chatwoot import Contact, Turn, TurnTaken
from domain.errors import EscalationOver
from domain.escalation import LIVE, Reason
from domain.escalation_commands import Raise, Resolve
from domain.ids import known_conversation_id, raising_id
from domain.ticket import Source

RAISED, RESOLVED = "escalation_raised", "escalation_resolved"

_NEVER_WRITTEN = "nothing has been written in this conversation"
_HAS_ONE = "a person is asked for already, or has it"
_PAST = "it tells of an earlier turn"
_NOBODY_WAITS = "its customer does not wait for an answer"
_NONE_LIVE = "no escalation of it is live"
_STILL_WAITS = "its customer still waits for a person"


@dataclass(frozen=True)
class Turned:
    """What was done about it, or why nothing was; one of both is set."""

    did: str | None = None
    left: str | None = None


@dataclass(frozen=True)
class ChatwootTurns:
    """Acts for the channel that an event came by. Safe to repeat for an event, and beside any other.

    What Baton itself has changed in Chatwoot comes back as an event too. It changes nothing: a conversation is opened
    for who has claimed it, and a person who is asked for already is not asked for again.
    """

    escalations: Escalations
    channel: Channel

    async def take(self, turn: TurnTaken) -> Turned:
        """Raise an escalation of what the bot has handed over; resolve that of what is resolved in Chatwoot.

        A conversation that is handed over before anything of it has come in is made then: its bot has asked for a
        person, who has to see that it is there.
        """
        mine = self.escalations.caller.organization_id
        conversation_id = known_conversation_id(mine, turn.conversation)
        async with self.escalations.services.reads() as session:
            conversation = await session.scalar(
                select(Conversation).where(Conversation.id == conversation_id, Conversation.organization_id == mine)
            )
            latest = await session.scalar(
                select(EscalationRow)
                .where(EscalationRow.conversation_id == conversation_id)
                .order_by(EscalationRow.raised_at.desc())
                .limit(1)
            )
        if conversation is None and not (turn.turn is Turn.HANDED_OVER and turn.certain):
            return Turned(left=_NEVER_WRITTEN)
        if conversation is None or turn.turn is Turn.HANDED_OVER:
            return await self._raise(conversation, latest, turn)
        return await self._resolve(conversation, latest)

    async def _raise(self, conversation: Conversation | None, latest: EscalationRow | None, turn: TurnTaken) -> Turned:
        if latest is not None and latest.status in LIVE:
            return Turned(left=_HAS_ONE)
        over = latest.closed_at if latest else None
        if over is not None and turn.at is not None and turn.at <= over:
            return Turned(left=_PAST)
        if not turn.certain and conversation is not None and conversation.waiting_since is None:
            return Turned(left=_NOBODY_WAITS)
        caller = self.escalations.caller
        # Once for each turn of the bot's, which ends with an escalation: events of a bot and a webhook tell of one.
        known_as = f"chatwoot:handed_over:{latest.id if latest else 'first'}"
        session, mine = self.escalations.session, caller.organization_id
        conversation_id = known_conversation_id(mine, turn.conversation)
        reason = Reason(
            id=raising_id(conversation_id, known_as), source=Source.FLOW, at=datetime.now(UTC), by=caller.actor.name
        )
        async with session.begin():
            if conversation is None:
                await keep_conversations(session, mine, [self._new(conversation_id, turn)])
            await raise_escalation(session, mine, conversation_id, Raise(reason=reason, actor=caller.actor))
        await ring_for(session, self.escalations.services.bell)
        return Turned(did=RAISED)

    def _new(self, conversation_id: UUID, turn: TurnTaken) -> NewConversation:
        contact, mine = turn.contact, self.escalations.caller.organization_id
        return NewConversation(
            id=conversation_id,
            external_id=turn.conversation,
            channel=self.channel.kind,
            channel_id=self.channel.id,
            tags=turn.labels,
            requester=customer_of(mine, conversation_id, requester_of(contact)),
        )

    async def _resolve(self, conversation: Conversation, latest: EscalationRow | None) -> Turned:
        if latest is None or latest.status not in LIVE:
            return Turned(left=_NONE_LIVE)
        if conversation.waiting_since is not None:
            # Chatwoot resolves what nobody has touched for long by itself: that helps no customer.
            return Turned(left=_STILL_WAITS)
        key = f"chatwoot:resolved:{latest.id}"
        request = RequestId(key=key, fingerprint="chatwoot", given=True)
        command = Resolve(**self.escalations.fields(request), escalation_id=latest.id)
        try:
            await self.escalations.command(latest, command, request)
        except EscalationOver:
            return Turned(left=_NONE_LIVE)
        return Turned(did=RESOLVED)


def requester_of(contact: Contact | None) -> RequesterDocument | None:
    """The contact as the front door takes it."""
    if contact is None:
        return None
    return RequesterDocument(external_id=contact.external_id, name=contact.name, email=contact.email)
