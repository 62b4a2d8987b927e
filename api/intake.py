"""The front door: messages in, once each; what they mean; and what the organization's rules make of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.arrivals import Arrival
from api.messages import Messages
from api.opening import act, decisions_on, tell_about
from api.problems import Problem
from api.rule_book import RuleBook
from api.schemas.intake import IncomingMessage, Writer
from api.tickets import Tickets
from db.conversations import (
    KeptConversation,
    NewConversation,
    NewMessage,
    Past,
    keep_conversations,
    keep_messages,
    keep_times,
    person_answered,
)
from db.conversations import Writer as Requester
from db.models import Decision, Message
from domain.ids import known_conversation_id, message_id, requester_id
from domain.reading import Reading
from domain.rules.evaluation import Facts
from domain.rules.rule import Outcome, decide
from domain.ticket import ChannelKind
from workflows.messages import StartTicket

BREATH = 20
"""Messages of a batch after which other requests have their turn."""

AT_ONCE = 16
"""Conversations of a batch whose tickets are told at the same time."""


@dataclass(frozen=True)
class Intake:
    """Takes messages in for one caller, through ``tickets``."""

    tickets: Tickets

    async def take(self, documents: Sequence[tuple[str, IncomingMessage]]) -> list[Arrival | Problem]:
        """Keep messages, each with its conversation's external id, and decide on them; on an error none is kept.

        A message that names what is not there is refused by itself. What the others do to tickets is not told yet
        (``tell``). A message that was kept before is answered as it was then.
        """
        services, caller = self.tickets.services, self.tickets.caller
        book = services.rule_books.known(caller.organization_id) or await services.rule_books.read(
            caller.organization_id
        )
        arrivals: list[Arrival | Problem] = []
        for number, (external_id, document) in enumerate(documents):
            try:
                arrivals.append(await self._arrival(external_id, document, book))
            except Problem as problem:
                arrivals.append(problem)
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        if taken := [arrival for arrival in arrivals if isinstance(arrival, Arrival)]:
            async with self.tickets.session.begin():
                await self._keep(taken)
        return arrivals

    async def tell(self, arrivals: Sequence[Arrival]) -> None:
        """Start and tell the tickets that messages concern; those of one conversation one after another.

        Safe to repeat. What has been kept stays kept when this fails, and is told when the messages are sent again.
        """
        by_conversation: dict[UUID, list[Arrival]] = {}
        for arrival in arrivals:
            by_conversation.setdefault(arrival.conversation.id, []).append(arrival)
        few = asyncio.Semaphore(AT_ONCE)
        messages = Messages(self.tickets)

        async def tell_in_turn(turn: list[Arrival]) -> None:
            async with few:
                for arrival in turn:
                    await tell_about(messages, arrival)

        if len(by_conversation) == 1:
            await tell_in_turn(list(arrivals))
            return
        results = await asyncio.gather(*map(tell_in_turn, by_conversation.values()), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _arrival(self, external_id: str, document: IncomingMessage, book: RuleBook) -> Arrival:
        caller, services = self.tickets.caller, self.tickets.services
        conversation_id = known_conversation_id(caller.organization_id, external_id)
        kind, channel_id = await self._channel(document, book)
        requester = document.requester
        known_as = requester.external_id if requester else None
        writer = Requester(
            id=requester_id(caller.organization_id, known_as or f"conversation:{conversation_id}"),
            external_id=known_as,
            name=requester.name if requester else None,
            email=requester.email if requester else None,
            named=known_as is not None,
        )
        reading = None
        if document.author is Writer.CUSTOMER:
            reading = await services.reader.read(
                document.body, automatic="told by the sender" if document.automatic else None, headers=document.headers
            )
        from_agent = document.author is Writer.AGENT
        return Arrival(
            organization_id=caller.organization_id,
            document=document,
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
                author_id=caller.actor.id if from_agent else writer.id if reading else None,
                author_name=document.author_name or (caller.actor.name if from_agent else writer.name),
                body=document.body,
                automatic=bool(reading and reading.automatic),
                reading=reading.model_dump(mode="json", exclude_defaults=True) if reading else None,
                sent_at=document.sent_at or datetime.now(UTC),
            ),
            reading=reading,
        )

    async def _channel(self, document: IncomingMessage, book: RuleBook) -> tuple[str, UUID | None]:
        if document.channel_id is None:
            return document.channel or ChannelKind.API, None
        if document.channel_id not in book.channels:
            book = await self.tickets.services.rule_books.read(self.tickets.caller.organization_id)
        return book.kind_of(document.channel_id), document.channel_id

    async def _keep(self, arrivals: list[Arrival]) -> None:
        """Write what is new, in few statements however many messages there are."""
        session, organization_id = self.tickets.session, self.tickets.caller.organization_id
        kept = await keep_conversations(session, organization_id, _once_each(arrivals))
        messages = {arrival.message.id: arrival.message for arrival in arrivals}
        fresh, past = await keep_messages(session, organization_id, list(messages.values()))
        for arrival in arrivals:
            arrival.row = kept[arrival.conversation.id]
            arrival.fresh = arrival.message.id in fresh
            fresh.discard(arrival.message.id)  # twice in one batch: the first is the new one
            opening = past[arrival.conversation.id].opening
            arrival.opening = StartTicket.model_validate(opening) if opening else None
            arrival.had_ticket = arrival.kept.ticket_id is not None
        await self._note_times(session, [arrival for arrival in arrivals if arrival.fresh])
        await self._decide(session, [each for each in arrivals if each.fresh and each.reading], past)
        repeated = {arrival.message.id for arrival in arrivals if not arrival.fresh and arrival.reading}
        if repeated:
            await _recall(session, arrivals, repeated)

    async def _note_times(self, session: AsyncSession, fresh: Sequence[Arrival]) -> None:
        changed: dict[UUID, KeptConversation] = {}
        for arrival in fresh:
            kept, at = arrival.kept, arrival.message.sent_at
            if arrival.document.author is Writer.AGENT:
                if kept.id in changed:
                    await keep_times(session, [changed.pop(kept.id)])
                kept.answered_at, kept.waiting_since = await person_answered(session, kept.id, at)
            elif arrival.document.author is Writer.CUSTOMER and not arrival.message.automatic:
                unanswered = kept.answered_at is None or at > kept.answered_at
                if unanswered and (kept.waiting_since is None or at < kept.waiting_since):
                    kept.waiting_since = at
                    changed[kept.id] = kept
        if changed:
            await keep_times(session, list(changed.values()))

    async def _decide(self, session: AsyncSession, arrivals: Sequence[Arrival], past: dict[UUID, Past]) -> None:
        """Evaluate the rules on each message, in order, as they stand in this transaction."""
        rows: list[dict[str, Any]] = []
        for number, arrival in enumerate(arrivals):
            kept, reading = arrival.kept, arrival.reading
            assert reading is not None
            if reading.automatic:
                continue
            book = await self.tickets.services.rule_books.at(self.tickets.caller.organization_id, kept.rules_revision)
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
                rows += decisions_on(arrival)
            if number % BREATH == BREATH - 1:
                await asyncio.sleep(0)
        if rows:
            await session.execute(insert(Decision).values(rows).on_conflict_do_nothing())


def _once_each(arrivals: Sequence[Arrival]) -> list[NewConversation]:
    """The conversations of a batch, each once: as its first message names it, with the tags and the name of all."""
    found: dict[UUID, NewConversation] = {}
    for arrival in arrivals:
        new = arrival.conversation
        first = found.setdefault(new.id, new)
        if first is not new:
            requester = first.requester if first.requester.named else new.requester
            tags = tuple(dict.fromkeys((*first.tags, *new.tags)))
            found[new.id] = replace(first, tags=tags, requester=requester)
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
        tags=frozenset(kept.tags),
    )


async def _recall(session: AsyncSession, arrivals: Sequence[Arrival], repeated: set[UUID]) -> None:
    """Read what was kept of messages that come again: they are answered as they were read then."""
    stored = await session.execute(select(Message.id, Message.reading).where(Message.id.in_(repeated)))
    readings: dict[UUID, dict[str, Any] | None] = {row.id: row.reading for row in stored}
    decisions: dict[UUID | None, list[Decision]] = {}
    for decision in await session.scalars(select(Decision).where(Decision.message_id.in_(repeated))):
        session.expunge(decision)
        decisions.setdefault(decision.message_id, []).append(decision)
    for arrival in arrivals:
        if arrival.message.id in readings and not arrival.fresh:
            kept = readings[arrival.message.id]
            arrival.reading = Reading.model_validate(kept) if kept is not None else None
            arrival.stored_decisions = decisions.get(arrival.message.id, [])
