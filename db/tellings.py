"""Messages that were kept for a ticket which may not have been told of them: whoever kept them may have died since."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, DateTime, Interval, String, cast, delete, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import TellingToCome
from db.follow_ups import Taker, goes_on_as, taker_of
from db.models import Conversation, Member, Message, TicketEventRow, TicketRow, UntoldMessage
from domain.commands import AgentReplied, CustomerReplied
from domain.events import Actor, ActorKind
from domain.ticket import Status, Ticket

LONGEST_PAUSE = timedelta(hours=1)
"""Between two tries to tell a ticket that does not take a message, which somebody has to repair."""

BY_MEMBER = select(Member.id).where(Member.id == Message.author_id).correlate(Message).exists()
"""Whether a member wrote the message."""


async def to_be_told(session: AsyncSession, organization_id: UUID, message_ids: Sequence[UUID]) -> None:
    """Have the messages' tickets told by a sweep, unless their stories have them by then.

    For messages of customers and agents, in the transaction that keeps them for a ticket. Safe to repeat.
    """
    rows = [{"message_id": each, "organization_id": organization_id} for each in message_ids]
    if rows:
        await session.execute(insert(UntoldMessage).values(rows).on_conflict_do_nothing())


async def untold_messages(session: AsyncSession, before: datetime, now: datetime, limit: int) -> list[TellingToCome]:
    """What tickets were to be told before then and have not on record, in the order in which it was said.

    Forgets what they know, and what a closed ticket does not take: an agent's answer, an automatic reply. What a
    customer wrote after a closed ticket's window goes to its follow-up (``db.follow_ups``). The caller owns the
    transaction.
    """
    due = UntoldMessage.due_at < before
    of_message = Message.id == UntoldMessage.message_id
    await session.execute(delete(UntoldMessage).where(due, of_message, _is_told()))
    found = await session.execute(
        select(Message, Conversation.requester_id, BY_MEMBER, TicketRow.state)
        .join(UntoldMessage, of_message)
        .join(Conversation, Conversation.id == Message.conversation_id)
        .outerjoin(TicketRow, TicketRow.id == Message.ticket_id)
        .where(due, Message.ticket_id.is_not(None))
        .order_by(UntoldMessage.due_at, Message.created_at, Message.id)
        .limit(limit)
    )
    tellings, forgotten = list[TellingToCome](), list[UUID]()
    for message, requester_id, by_member, state in found:
        assert message.ticket_id is not None
        fact = fact_of(message, requester_id, by_member=by_member)
        reopens = isinstance(fact, CustomerReplied) and not fact.automatic
        if state is None:
            tellings.append(TellingToCome(message.ticket_id, fact, None))
            continue
        kept_for = message.ticket_id
        ticket = await goes_on_as(session, Ticket.model_validate(state))
        taker = await taker_of(session, message, ticket) if reopens else Taker(ticket.id, ticket)
        if (
            taker is None
            or (taker.ticket is not None and taker.ticket.status is Status.CLOSED and not reopens)
            or (taker.ticket_id != kept_for and await _knows(session, taker.ticket_id, message.id))
        ):
            forgotten.append(message.id)
        elif taker.ticket is not None:  # what was only decided on is started with all that was said to it
            tellings.append(TellingToCome(taker.ticket_id, fact, taker.ticket if reopens else None))
    if forgotten:
        await session.execute(delete(UntoldMessage).where(UntoldMessage.message_id.in_(forgotten)))
    if tellings:
        moment = literal(now, DateTime(timezone=True))
        pause = func.least(moment - Message.created_at, LONGEST_PAUSE, type_=Interval())
        again = UntoldMessage.message_id.in_([each.fact.message_id for each in tellings])
        await session.execute(update(UntoldMessage).where(again, of_message).values(due_at=moment + pause))
    return tellings


def fact_of(message: Message, requester_id: UUID, *, by_member: bool) -> CustomerReplied | AgentReplied:
    """What a ticket is told of a customer's or an agent's message.

    An agent is a member, or the program that brought the message in.
    """
    if message.author_kind == "customer":
        actor = Actor(kind=ActorKind.CUSTOMER, id=requester_id, name=message.author_name)
        return CustomerReplied(message_id=message.id, at=message.sent_at, actor=actor, automatic=message.automatic)
    kind = ActorKind.MEMBER if by_member else ActorKind.API_KEY
    actor = Actor(kind=kind, id=message.author_id, name=message.author_name)
    return AgentReplied(message_id=message.id, at=message.sent_at, actor=actor)


def _is_told() -> ColumnElement[bool]:
    """Whether the message's ticket has it in its story."""
    event = TicketEventRow
    known_as = cast(UntoldMessage.message_id, String)
    told = select(event.version).where(event.ticket_id == Message.ticket_id, event.request_id == known_as)
    return told.correlate(Message, UntoldMessage).exists()


async def _knows(session: AsyncSession, ticket_id: UUID, message_id: UUID) -> bool:
    event = TicketEventRow
    found = select(event.version).where(event.ticket_id == ticket_id, event.request_id == str(message_id))
    return await session.scalar(found) is not None
