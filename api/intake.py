"""The front door: messages in, once each; what they mean; and what the organization's rules make of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.errors import ForeignKeyViolation, UniqueViolation
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from api.arrivals import Arrival, ReadMessage, customer_of
from api.messages import Messages
from api.opening import act, decisions_on, raise_by_request, tell_about
from api.problems import Problem, database_is_away
from api.reader import BREATH, Unread
from api.rule_book import RuleBook
from api.schemas.intake import IncomingMessage, Writer
from api.tickets import Tickets
from db.conversations import (
    UNNAMED_CHANNEL,
    KeptConversation,
    NewConversation,
    NewMessage,
    Past,
    belong_to_ticket,
    keep_conversations,
    keep_messages,
    keep_times,
    person_answered,
)
from db.deliveries import message_to_come
from db.models import Decision, Message, RuleRow
from domain.ids import known_conversation_id, message_id
from domain.reading import Reading
from domain.rules.evaluation import Facts
from domain.rules.rule import Outcome, decide
from workflows.messages import StartTicket

AT_ONCE = 16
"""Conversations of a batch whose tickets are told at the same time."""

AHEAD = timedelta(hours=1)
"""How far a sender's clock may be ahead of ours. An answer of next year would leave no customer waiting until then."""

_RACES = 3
"""Tries beside the last: two that make the same conversation or requester in one instant may meet in the index that
``ON CONFLICT`` does not look at.
"""

TOGETHER = 50
"""Messages of as many requests that share a transaction."""

_AWAY = ("temporal_unavailable", "outcome_unknown")

Taken = Sequence[tuple[str, IncomingMessage]]
"""Messages, each with its conversation's external id."""


@dataclass(frozen=True)
class Intake:
    """Takes messages in for one caller, through ``tickets``."""

    tickets: Tickets

    async def take(self, documents: Taken, *, history: bool = False, deliver: bool = False) -> list[Arrival | Problem]:
        """Keep messages and decide on them; on an error none is kept.

        A message that names what is not there is refused by itself. What the others do to tickets is not told yet
        (``tell``). A message that was kept before is answered as it was then. ``history`` is kept and read only.
        With ``deliver`` they are agents' answers that the customer is told by the channel.
        """
        return await self._take(await self._read(documents), history=history, deliver=deliver)

    async def take_alone(self, external_id: str, document: IncomingMessage) -> Arrival:
        """Keep one message and tell its ticket, or raise the problem there is with it.

        It shares a transaction with those that the caller sends in other requests at the same time.
        """
        [read] = await self._read([(external_id, document)])
        services = self.tickets.services
        taken = await services.front_door.add(self.tickets.caller, read, self._take_together)
        if not isinstance(taken, Arrival):
            raise taken
        await self.tell([taken])
        if taken.untold is not None:
            raise taken.untold
        return taken

    async def tell(self, arrivals: Sequence[Arrival]) -> None:
        """Start and tell the tickets that messages concern; those of one conversation one after another.

        Safe to repeat. A message whose ticket cannot be told says so (``Arrival.untold``); it stays kept, and its
        ticket is told when it is sent again.
        """
        by_conversation: dict[UUID, list[Arrival]] = {}
        for arrival in arrivals:
            if arrival.ticket_id is not None:
                by_conversation.setdefault(arrival.kept.id, []).append(arrival)
        if not by_conversation:
            return
        few = asyncio.Semaphore(AT_ONCE)
        services = self.tickets.services
        away: list[Problem] = []  # where one has waited for Temporal in vain, no other does

        async def tell_in_turn(turn: list[Arrival]) -> None:
            async with few, services.sessions() as session:
                messages = Messages(replace(self.tickets, session=session))
                for arrival in turn:
                    try:
                        if not away:
                            await tell_about(messages, arrival)
                    except Problem as problem:
                        arrival.untold = _untold(problem, arrival)
                        away.extend([problem] if problem.code in _AWAY else [])
                    else:
                        arrival.untold = _untold(away[0], arrival) if away else None

        results = await asyncio.gather(*map(tell_in_turn, by_conversation.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _read(self, documents: Taken) -> list[ReadMessage]:
        """What customers' messages say; nothing else is read."""
        unread = {
            number: Unread(document.body, "told by the sender" if document.automatic else None, document.headers)
            for number, (_, document) in enumerate(documents)
            if document.author is Writer.CUSTOMER
        }
        readings = dict(zip(unread, await self.tickets.services.reader.read_all(list(unread.values())), strict=True))
        return [ReadMessage(*named, readings.get(number)) for number, named in enumerate(documents)]

    async def _take_together(self, read: Sequence[ReadMessage]) -> list[Arrival | Exception]:
        """Keep messages of several requests, in a session of their own: whoever is given up takes no other along."""
        services = self.tickets.services
        async with services.sessions() as session:
            intake = Intake(replace(self.tickets, session=session))
            try:
                taken: list[Arrival | Exception] = [*await intake._take(read)]
            except Exception as error:
                if database_is_away(error):
                    raise
                if len(read) == 1:
                    return [error]
                # One of them cannot be kept, and no other shall go without for that.
                return [kept for one in read for kept in await self._take_together([one])]
        services.ring_later(session)
        return taken

    async def _take(
        self,
        read: Sequence[ReadMessage],
        *,
        history: bool = False,
        deliver: bool = False,
    ) -> list[Arrival | Problem]:
        """Keep messages that are read, by the newest rules; again where another process was a moment faster."""
        books, mine = self.tickets.services.rule_books, self.tickets.caller.organization_id
        book = books.known(mine) or await books.read(mine)
        for _ in range(_RACES):
            try:
                return await self._try(read, book, history=history, deliver=deliver)
            except IntegrityError as error:
                if isinstance(error.orig, ForeignKeyViolation):
                    # A channel has been deleted since the book was read; the newest book refuses who names it.
                    book = await books.read(mine)
                elif not isinstance(error.orig, UniqueViolation):
                    raise
        return await self._try(read, book, history=history, deliver=deliver)

    async def _try(
        self, read: Sequence[ReadMessage], book: RuleBook, *, history: bool, deliver: bool
    ) -> list[Arrival | Problem]:
        arrivals: list[Arrival | Problem] = []
        for each in read:
            try:
                arrivals.append(await self._arrival(each, book))
            except Problem as problem:
                arrivals.append(problem)
        if taken := [arrival for arrival in arrivals if isinstance(arrival, Arrival)]:
            async with self.tickets.session.begin():
                await self._keep(taken, history)
                for arrival in taken if deliver else ():
                    if arrival.fresh:
                        await message_to_come(
                            self.tickets.session, await self.tickets.session.get_one(Message, arrival.message.id)
                        )
        return arrivals

    async def _arrival(self, read: ReadMessage, book: RuleBook) -> Arrival:
        external_id, document, reading = read.external_id, read.document, read.reading
        caller = self.tickets.caller
        conversation_id = known_conversation_id(caller.organization_id, external_id)
        kind, channel_id = await self._channel(document, book)
        writer = customer_of(caller.organization_id, conversation_id, document.requester)
        from_agent, from_customer = document.author is Writer.AGENT, document.author is Writer.CUSTOMER
        now = datetime.now(UTC)
        sent_at = document.sent_at or now
        return Arrival(
            organization_id=caller.organization_id,
            conversation=NewConversation(
                id=conversation_id,
                external_id=external_id,
                channel=kind,
                channel_id=channel_id,
                tags=tuple(document.tags),
                requester=writer,
            ),
            message=NewMessage(
                id=message_id(conversation_id, document.external_id),
                conversation_id=conversation_id,
                external_id=document.external_id,
                author_kind=document.author,
                author_id=caller.actor.id if from_agent else writer.id if from_customer else None,
                author_name=document.author_name
                or (caller.actor.name if from_agent else writer.name if from_customer else None),
                body=document.body,
                automatic=bool(reading and reading.automatic),
                reading=reading.model_dump(mode="json", exclude_defaults=True) if reading else None,
                sent_at=sent_at if sent_at <= now + AHEAD else now,
            ),
            reading=reading,
        )

    async def _channel(self, document: IncomingMessage, book: RuleBook) -> tuple[str, UUID | None]:
        if document.channel_id is None:
            return document.channel or UNNAMED_CHANNEL, None
        if document.channel_id not in book.channels:
            book = await self.tickets.services.rule_books.read(self.tickets.caller.organization_id)
        return book.kind_of(document.channel_id), document.channel_id

    async def _keep(self, arrivals: list[Arrival], history: bool) -> None:
        """Write what is new, in few statements however many messages there are."""
        session, organization_id = self.tickets.session, self.tickets.caller.organization_id
        kept = await keep_conversations(session, organization_id, _once_each(arrivals))
        messages: dict[UUID, NewMessage] = {}
        for arrival in arrivals:
            messages.setdefault(arrival.message.id, arrival.message)
        fresh, past = await keep_messages(session, organization_id, list(messages.values()), told=not history)
        tags: dict[UUID, tuple[str, ...]] = {each.id: tuple(each.tags_before) for each in kept.values()}
        for arrival in arrivals:
            arrival.row = kept[arrival.conversation.id]
            before, new_tags = tags[arrival.kept.id], arrival.conversation.tags
            arrival.tags = tags[arrival.kept.id] = tuple(dict.fromkeys((*before, *new_tags)))
            arrival.fresh = arrival.message.id in fresh
            fresh.discard(arrival.message.id)  # twice in one batch: the first is the new one
            if arrival.fresh and not history:
                arrival.ticket_id = arrival.kept.ticket_id
        new = [arrival for arrival in arrivals if arrival.fresh]
        await self._note_times(session, new)
        if not history:
            await self._decide(session, [arrival for arrival in new if arrival.reading], past)
            await _belong(session, new)
        if len(new) < len(arrivals):
            await _recall(session, [arrival for arrival in arrivals if not arrival.fresh])
        for arrival in arrivals:
            opening = past[arrival.kept.id].opening
            if arrival.ticket_id is not None and arrival.opening is None and opening:
                arrival.opening = StartTicket.model_validate(opening)

    async def _note_times(self, session: AsyncSession, fresh: Sequence[Arrival]) -> None:
        changed: dict[UUID, KeptConversation] = {}
        for arrival in fresh:
            kept, at = arrival.kept, arrival.message.sent_at
            if arrival.message.author_kind == Writer.AGENT:
                if kept.id in changed:
                    await keep_times(session, [changed.pop(kept.id)])
                kept.answered_at, kept.waiting_since = await person_answered(session, kept.id, at)
            elif arrival.message.author_kind == Writer.CUSTOMER and not arrival.message.automatic:
                unanswered = kept.answered_at is None or at > kept.answered_at
                if unanswered and (kept.waiting_since is None or at < kept.waiting_since):
                    kept.waiting_since = at
                    changed[kept.id] = kept
        if changed:
            await keep_times(session, list(changed.values()))

    async def _decide(self, session: AsyncSession, arrivals: Sequence[Arrival], past: dict[UUID, Past]) -> None:
        """Evaluate the rules on each message, in order, as they stand in this transaction."""
        books, rows = self.tickets.services.rule_books, list[dict[str, Any]]()
        for number, arrival in enumerate(arrivals, start=1):
            kept, reading = arrival.kept, arrival.reading
            assert reading is not None
            if reading.automatic:
                continue
            book = await books.at(session, arrival.organization_id, kept.rules_revision)
            before = past[kept.id]
            at = arrival.message.sent_at
            facts = _facts(arrival, kept, reading, before, book.business_hours(at))
            arrival.decided = decide(book.events, facts, before.acted_at or {}, at)
            acted = {each.rule.id: at for each in arrival.decided if each.outcome is not Outcome.COOLDOWN}
            past[kept.id] = replace(
                before,
                sentiments=((at, reading.sentiment), *before.sentiments),
                acted_at={**(before.acted_at or {}), **acted},
            )
            if arrival.decided:
                await act(self.tickets, arrival, book, facts)
                of_message = decisions_on(arrival)
                arrival.decisions = [Decision(**row) for row in of_message]
                rows += of_message
            if kept.escalate_human_requests and reading.human_request.requested:
                await raise_by_request(session, arrival)
            if number % BREATH == 0:
                await asyncio.sleep(0)
        if rows:
            await session.execute(insert(Decision).values(rows).on_conflict_do_nothing())


def _once_each(arrivals: Sequence[Arrival]) -> list[NewConversation]:
    """The conversations of a batch, each once: as its first messages name it, with the tags of all."""
    found: dict[UUID, NewConversation] = {}
    for arrival in arrivals:
        new = arrival.conversation
        first = found.setdefault(new.id, new)
        if first is not new:
            named = first.channel != UNNAMED_CHANNEL or first.channel_id is not None
            found[new.id] = replace(
                first,
                tags=tuple(dict.fromkeys((*first.tags, *new.tags))),
                requester=first.requester if first.requester.named else new.requester,
                channel=first.channel if named else new.channel,
                channel_id=first.channel_id if named else new.channel_id,
            )
    return list(found.values())


def _facts(
    arrival: Arrival, kept: KeptConversation, reading: Reading, past: Past, business_hours: bool | None
) -> Facts:
    at = arrival.message.sent_at
    earlier = sorted((each for each in past.sentiments if each[0] <= at), key=lambda each: each[0])
    channels = {kept.channel, str(kept.channel_id)} if kept.channel_id else {kept.channel}
    return Facts(
        text=arrival.message.body,
        channels=frozenset(channels),
        sentiments=(*(score for _, score in earlier), reading.sentiment),
        human_request=reading.human_request,
        business_hours=business_hours,
        tags=frozenset(arrival.tags),
    )


async def _belong(session: AsyncSession, fresh: Sequence[Arrival]) -> None:
    """The message a ticket was made of belongs to it, and so do those that came after it in the same batch."""
    opened: dict[UUID, StartTicket] = {}
    theirs: list[UUID] = []
    for arrival in fresh:
        if arrival.opened and arrival.opening is not None:
            opened[arrival.kept.id] = arrival.opening
        start = opened.get(arrival.kept.id)
        if start is not None:
            arrival.ticket_id, arrival.opening = start.ticket_id, start
            theirs.append(arrival.message.id)
    if theirs:
        await belong_to_ticket(session, theirs)


async def _recall(session: AsyncSession, repeated: Sequence[Arrival]) -> None:
    """Messages that come again are as they were kept, with what was decided on them then."""
    ids = {arrival.message.id for arrival in repeated}
    columns = (*(getattr(Message, name) for name in NewMessage.__dataclass_fields__), Message.ticket_id)
    stored = {row.id: row for row in await session.execute(select(*columns).where(Message.id.in_(ids)))}
    decisions: dict[UUID | None, list[Decision]] = {}
    theirs = (
        select(Decision)
        .outerjoin(RuleRow, RuleRow.id == Decision.rule_id)
        .where(Decision.message_id.in_(ids))
        .order_by(RuleRow.position, Decision.id)
    )
    for decision in await session.scalars(theirs):
        session.expunge(decision)
        decisions.setdefault(decision.message_id, []).append(decision)
    for arrival in repeated:
        *fields, ticket_id = stored[arrival.message.id]
        message = arrival.message = NewMessage(*fields)
        arrival.ticket_id = ticket_id
        arrival.reading = Reading.model_validate(message.reading) if message.reading is not None else None
        arrival.decisions = decisions.get(message.id, [])


def _untold(problem: Problem, arrival: Arrival) -> Problem:
    """What to do about a message whose ticket was not told."""
    return Problem(
        problem.code,
        f"The message is kept, and what was decided on it holds, but its ticket could not be told: {problem.detail} "
        "Send the message again with the same external_id: it is not kept twice, and its ticket is told then.",
        kept=True,
        message_id=str(arrival.message.id),
        **{name: value for name, value in problem.extra.items() if name not in ("kept", "message_id")},
    )
