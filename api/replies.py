"""Agents' answers in conversations: kept once, told to the ticket there may be, and delivered."""

from dataclasses import dataclass

from sqlalchemy import select

from api.idempotency import RequestId, claim
from api.intake import Intake
from api.problems import Problem, not_found
from api.schemas.delivery import Reply
from api.schemas.intake import IncomingMessage, Writer
from api.tickets import Tickets
from db.models import Conversation, Message
from domain.errors import IdempotencyKeyReused


@dataclass(frozen=True)
class Replies:
    """Answers for one caller, through ``tickets``."""

    tickets: Tickets

    async def add(self, external_id: str, document: Reply, request: RequestId) -> tuple[Message, bool]:
        """The message as it is kept, and whether it is new.

        Sent again it changes nothing, but that its ticket is told where an error had prevented that. A ticket that is
        closed is not told: the answer belongs to the conversation.
        """
        caller, session = self.tickets.caller, self.tickets.session
        async with session.begin():
            known = select(Conversation.id).where(
                Conversation.organization_id == caller.organization_id, Conversation.external_id == external_id
            )
            if await session.scalar(known) is None:
                raise not_found("conversation")
            if request.given:
                await claim(session, caller.organization_id, request)
        said = IncomingMessage(
            external_id=document.external_id or request.key,
            author=Writer.AGENT,
            body=document.body,
            author_name=document.author_name,
            sent_at=document.sent_at,
        )
        intake = Intake(self.tickets.services, self.tickets.caller)
        [arrival] = await intake.take([(external_id, said)], deliver=document.deliver)
        if isinstance(arrival, Problem):
            raise arrival
        if arrival.message.body != document.body and document.external_id is None:
            raise IdempotencyKeyReused("This Idempotency-Key was used for another content; use a new one.")
        await intake.tell([arrival])
        if arrival.untold is not None:
            raise arrival.untold
        async with self.tickets.services.reads() as reads:
            return await reads.get_one(Message, arrival.message.id), arrival.fresh
