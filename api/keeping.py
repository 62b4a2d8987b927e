"""Keeping messages once each, with what the organization's rules make of them, in one transaction."""

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
from api.opening import act, decisions_on, raise_by_request
from api.problems import Problem
from api.reader import BREATH
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

AHEAD = timedelta(hours=1)
"""How far a sender's clock may be ahead of ours. An answer of next year would leave no customer waiting until then."""

_RACES = 3
"""Tries beside the last: two that make the same conversation or requester in one instant may meet in the index that
``ON CONFLICT`` does not look at.
"""


@dataclass(frozen=True)
class Keeping:
    """Keeps messages in the session of ``tickets``, for its caller."""

    tickets: Tickets

    async def keep(
        self, read: Sequence[ReadMessage], *, history: bool = False, deliver: bool = False
    ) -> list[Arrival | Problem]:
        """Keep messages that are read, by the newest rules; again where another process was a moment faster.

        On an error none is kept.
        """
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
