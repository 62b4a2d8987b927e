"""The front door: messages in, once each; what they mean; and what becomes of their tickets."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from api.arrivals import Arrival, ReadMessage
from api.dependencies import Principal, Services
from api.keeping import Keeping
from api.messages import Messages
from api.opening import tell_about
from api.problems import Problem, database_is_away
from api.reader import Unread
from api.schemas.intake import IncomingMessage, Writer
from api.tickets import Tickets

AT_ONCE = 16
"""Conversations of a batch whose tickets are told at the same time."""

TOGETHER = 50
"""Messages of as many requests that share a transaction."""

_AWAY = ("temporal_unavailable", "outcome_unknown")

Taken = Sequence[tuple[str, IncomingMessage]]
"""Messages, each with its conversation's external id."""


@dataclass(frozen=True)
class Intake:
    """Takes messages in for one caller."""

    services: Services
    caller: Principal

    async def take(self, documents: Taken, *, history: bool = False, deliver: bool = False) -> list[Arrival | Problem]:
        """Keep messages and decide on them; on an error none is kept.

        A message that names what is not there is refused by itself. What the others do to tickets is not told yet
        (``tell``). A message that was kept before is answered as it was then. ``history`` is kept and read only.
        With ``deliver`` they are agents' answers that the customer is told by the channel.
        """
        return await self._keep(await self._read(documents), history=history, deliver=deliver)

    async def take_alone(self, external_id: str, document: IncomingMessage) -> Arrival:
        """Keep one message and tell its ticket, or raise the problem there is with it.

        It shares a transaction with those that the caller sends in other requests at the same time.
        """
        [read] = await self._read([(external_id, document)])
        taken = await self.services.front_door.add(self.caller, read, self._keep_together)
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
        services = self.services
        away: list[Problem] = []  # where one has waited for Temporal in vain, no other does

        async def tell_in_turn(turn: list[Arrival]) -> None:
            async with few, services.sessions() as session:
                messages = Messages(Tickets(services, session, self.caller))
                for arrival in turn:
                    if away:
                        arrival.untold = _untold(away[0], arrival)
                        continue
                    try:
                        await tell_about(messages, arrival)
                    except Problem as problem:
                        arrival.untold = _untold(problem, arrival)
                        away.extend([problem] if problem.code in _AWAY else [])
                    else:
                        arrival.untold = None

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
        readings = dict(zip(unread, await self.services.reader.read_all(list(unread.values())), strict=True))
        return [ReadMessage(*named, readings.get(number)) for number, named in enumerate(documents)]

    async def _keep_together(self, read: Sequence[ReadMessage]) -> list[Arrival | Exception]:
        """Keep messages of several requests: whoever is given up takes no other along."""
        try:
            return [*await self._keep(read)]
        except Exception as error:
            if database_is_away(error):
                raise
            if len(read) == 1:
                return [error]
            # One of them cannot be kept, and no other shall go without for that.
            return [kept for one in read for kept in await self._keep_together([one])]

    async def _keep(
        self, read: Sequence[ReadMessage], *, history: bool = False, deliver: bool = False
    ) -> list[Arrival | Problem]:
        async with self.services.sessions() as session:
            tickets = Tickets(self.services, session, self.caller)
            arrivals = await Keeping(tickets).keep(read, history=history, deliver=deliver)
        self.services.ring_later(session)
        return arrivals


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
