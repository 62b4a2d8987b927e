"""Messages and notes on tickets: stored once, then told to the ticket they concern."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import find_member
from api.idempotency import RequestId, claim
from api.mentions import forget_mentions, mention
from api.problems import Problem
from api.schemas.conversation import Author, CreateMessage, CreateNote
from api.temporal_answers import RunEnded
from api.ticket_gateway import Fact
from api.tickets import Answer, Tickets, customer
from db.conversations import customer_wrote, person_answered
from db.deliveries import message_to_come
from db.follow_ups import taker_of
from db.models import Conversation, Delivery, Message, Note, TicketEventRow
from db.tellings import to_be_told
from db.tickets import RecordedTicket
from domain.commands import AgentReplied, CustomerReplied, NoteAdded
from domain.detection.automatic import automatic_reply
from domain.errors import TicketClosed
from domain.ids import message_id
from domain.lifecycle import closed
from domain.ticket import Status, Ticket


@dataclass(frozen=True)
class Told:
    """A stored message or note, and the ticket it was told to."""

    stored: Message | Note
    answer: Answer
    fresh: bool


@dataclass(frozen=True)
class Messages:
    """Acts for one caller, through ``tickets``."""

    tickets: Tickets

    async def add(self, ticket_id: UUID, document: CreateMessage, request: RequestId) -> Told:
        """Keep a message once by its external id and tell its ticket.

        Sent again, it finishes what the first time left undone and changes nothing else. A
        customer's message to a ticket closed too long ago goes to the follow-up ticket.
        """
        document = _read(document)
        origin = await self.tickets.find(ticket_id)  # whose conversation and customer it is, whichever ticket goes on
        recorded = await self.tickets.goes_on_as(origin)
        known_as = message_id(origin.ticket.conversation_id, document.external_id or request.key)
        # What an earlier try has stored is finished, or answered again, wherever its ticket has gone since.
        refuses = recorded.ticket.status is Status.CLOSED and document.author is Author.AGENT
        if refuses and not await self._is_stored(Message, known_as):
            raise closed(recorded.ticket)
        message, fresh = await self._store(origin, recorded.ticket, document, request)
        if message.ticket_id is not None and message.ticket_id != recorded.ticket.id:
            # A follow-up takes it; or it was stored by an earlier try, when another ticket took it.
            recorded = await self.tickets.goes_on_as(await self.tickets.begun(message.ticket_id))
        if document.automatic and recorded.ticket.status is Status.CLOSED:
            return Told(message, Answer(recorded), fresh)
        return Told(message, await self._tell(recorded, message, _fact(message, origin, self.tickets)), fresh)

    async def add_note(self, ticket_id: UUID, document: CreateNote, request: RequestId) -> Told:
        """Keep a note once for the request and tell its ticket."""
        recorded = await self.tickets.find(ticket_id)
        note_id = uuid5(ticket_id, f"note:{request.key}")
        if recorded.ticket.status is Status.CLOSED and not await self._is_stored(Note, note_id):
            raise closed(recorded.ticket)
        caller, session = self.tickets.caller, self.tickets.session
        statement = insert(Note).values(
            id=note_id,
            organization_id=caller.organization_id,
            ticket_id=ticket_id,
            author_id=caller.actor.id,
            author_name=caller.actor.name,
            body=document.body,
            mention_ids=document.mention_ids,
        )
        async with session.begin():
            if request.given:
                await claim(session, caller.organization_id, request)
            for member_id in document.mention_ids:
                await find_member(session, caller.organization_id, member_id, "mention_ids")
            fresh = await session.scalar(statement.on_conflict_do_nothing().returning(Note.id)) is not None
            note = await session.get_one(Note, note_id)
            if fresh:
                await mention(session, note, recorded.ticket)
        fact = NoteAdded(note_id=note.id, at=note.created_at, actor=caller.actor)
        return Told(note, await self._tell(recorded, note, fact), fresh)

    async def tell_ticket(self, ticket_id: UUID, message_id: UUID, fact: Fact, *, fresh: bool) -> UUID | None:
        """Tell a conversation's ticket of a stored message, and do not wait for more; the ticket that takes it.

        That is another one where the ticket was closed too long ago. ``None`` where the ticket is closed and takes no
        such message. Safe to repeat; ``fresh`` says that nobody can have told it before.
        """
        origin = await self.tickets.recorded(ticket_id)
        if origin is None:
            try:
                # It has been started and not been recorded yet, so it cannot have been closed.
                await self.tickets.gateway.tell_running(ticket_id, fact)
            except RunEnded:
                origin = await self.tickets.find(ticket_id)
            else:
                return ticket_id
        recorded = await self.tickets.goes_on_as(origin)
        for known_by in {ticket_id, recorded.ticket.id} if not fresh else ():
            if await self.tickets.knows(known_by, fact.request_id):
                return known_by
        if recorded.ticket.status is Status.CLOSED:
            if not isinstance(fact, CustomerReplied) or fact.automatic:
                return None
            recorded = await self._taker(recorded, message_id)
        if recorded.ticket.id != ticket_id:
            await self._moved(origin.ticket.conversation_id, recorded.ticket.id, message_id)

        async def send(to: Ticket, start: bool) -> None:
            await self.tickets.gateway.tell(to, fact, start=start)

        try:
            await self.tickets.deliver(recorded, send, isinstance(fact, CustomerReplied))
        except TicketClosed:
            return None
        return recorded.ticket.id

    async def _moved(self, conversation_id: UUID, ticket_id: UUID, message_id: UUID) -> None:
        """The conversation goes on in another ticket, from this message on."""
        session = self.tickets.session
        async with session.begin():
            moved = update(Conversation).where(Conversation.id == conversation_id)
            await session.execute(moved.values(ticket_id=ticket_id))
            await session.execute(update(Message).where(Message.id == message_id).values(ticket_id=ticket_id))

    async def _store(
        self, recorded: RecordedTicket, told_to: Ticket, document: CreateMessage, request: RequestId
    ) -> tuple[Message, bool]:
        """The message, stored in the ticket's conversation for the ticket that takes it, and whether it is new.

        That is ``told_to``, or its follow-up, which is decided on with the message or not at all.
        """
        caller, session = self.tickets.caller, self.tickets.session
        conversation_id = recorded.ticket.conversation_id
        external_id = document.external_id or request.key
        from_customer = document.author is Author.CUSTOMER
        author = customer(recorded.requester) if from_customer else caller.actor
        statement = insert(Message).values(
            id=message_id(conversation_id, external_id),
            organization_id=caller.organization_id,
            conversation_id=conversation_id,
            ticket_id=told_to.id,
            external_id=external_id,
            author_kind=document.author,
            author_id=author.id,
            author_name=document.author_name or author.name,
            body=document.body,
            automatic=document.automatic,
            sent_at=document.sent_at or datetime.now(UTC),
        )
        async with session.begin():
            if request.given:
                await claim(session, caller.organization_id, request)
            message = await session.scalar(statement.on_conflict_do_nothing().returning(Message))
            if message is not None:
                await to_be_told(session, caller.organization_id, [message.id])
                if from_customer and not document.automatic and await taker_of(session, message, told_to) is None:
                    raise _followed_up_too_often()
                await _note_time(session, message)
                if document.author is Author.AGENT and document.deliver:
                    await message_to_come(session, message)
                return message, True
            kept = (
                await session.scalars(
                    select(Message).where(
                        Message.conversation_id == conversation_id, Message.external_id == external_id
                    )
                )
            ).one()
            if kept.ticket_id is None:  # it came in by the conversation, before there was a ticket
                kept.ticket_id = told_to.id
                await to_be_told(session, caller.organization_id, [kept.id])
        if kept.body != document.body and document.external_id is None:
            raise _key_reused()
        return kept, False

    async def _is_stored(self, kind: type[Message | Note], known_as: UUID) -> bool:
        async with self.tickets.services.reads() as session:
            return await session.get(kind, known_as) is not None

    async def _tell(self, recorded: RecordedTicket, stored: Message | Note, fact: Fact) -> Answer:
        """Send the fact unless the ticket knows it, and wait until its effect can be read.

        Where the ticket was closed meanwhile and takes it no more, it is refused and kept no longer.
        """
        ticket = recorded.ticket
        with self.tickets.services.read_model.watch(ticket.id) as watch:
            if await self.tickets.knows(ticket.id, fact.request_id):
                return Answer(await self.tickets.find(ticket.id), replayed=True)

            async def send(to: Ticket, start: bool) -> None:
                await self.tickets.gateway.tell(to, fact, start=start)

            try:
                await self.tickets.deliver(recorded, send, isinstance(fact, CustomerReplied))
            except TicketClosed:
                # A run that is about to end may have been told by another try, and not have recorded it yet.
                await self.tickets.gateway.require_ended(ticket.id)
                if await self._withdrawn(stored, fact):
                    raise
                return Answer(await self.tickets.find(ticket.id), replayed=True)
            return await self.tickets.shown(watch, recorded, fact.request_id)

    async def _withdrawn(self, stored: Message | Note, fact: Fact) -> bool:
        """Delete what its ticket was never told; false where another try has told it, or the customer was."""
        kind, event = type(stored), TicketEventRow
        told = select(event.version).where(event.ticket_id == stored.ticket_id, event.request_id == fact.request_id)
        tried = select(Delivery.id).where(Delivery.message_id == stored.id, Delivery.tried > 0)
        statement = delete(kind).where(kind.id == stored.id, ~told.exists(), ~tried.exists()).returning(kind.id)
        async with self.tickets.session.begin():
            gone = await self.tickets.session.scalar(statement) is not None
            if gone and isinstance(stored, Note):
                await forget_mentions(self.tickets.session, stored)
        return gone

    async def _taker(self, recorded: RecordedTicket, message_id: UUID) -> RecordedTicket:
        """The ticket itself, or the follow-up that takes the stored message, decided on if there is none yet."""
        session = self.tickets.session
        async with session.begin():
            message = await session.get_one(Message, message_id, populate_existing=True, with_for_update=True)
            taker = await taker_of(session, message, recorded.ticket)
        if taker is None:
            raise _followed_up_too_often()
        if taker.ticket_id == recorded.ticket.id:
            return recorded
        return await self.tickets.goes_on_as(await self.tickets.begun(taker.ticket_id))


def _read(document: CreateMessage) -> CreateMessage:
    """The same, with a customer's message known for a machine's by what it says, or by its headers."""
    if document.author is Author.AGENT or document.automatic:
        return document
    return document.model_copy(update={"automatic": automatic_reply(document.body, document.headers) is not None})


async def _note_time(session: AsyncSession, message: Message) -> None:
    """Keep since when the conversation's customer waits; part of the caller's transaction."""
    if message.author_kind == Author.AGENT:
        await person_answered(session, message.conversation_id, message.sent_at)
    elif not message.automatic:
        await customer_wrote(session, message.conversation_id, message.sent_at)


def _fact(message: Message, recorded: RecordedTicket, tickets: Tickets) -> CustomerReplied | AgentReplied:
    if message.author_kind == Author.CUSTOMER:
        return CustomerReplied(
            message_id=message.id,
            at=message.sent_at,
            actor=customer(recorded.requester),
            automatic=message.automatic,
        )
    return AgentReplied(message_id=message.id, at=message.sent_at, actor=tickets.caller.actor)


def _followed_up_too_often() -> Problem:
    return Problem("ticket_closed", "The ticket has been followed up too often; create a new one.")


def _key_reused() -> Problem:
    return Problem("idempotency_key_reused", "This Idempotency-Key was used for another content; use a new one.")
