"""Tickets whose only purpose is timers: made, sometimes put to waiting, and then left alone."""

import random
from collections.abc import Awaitable, Callable
from uuid import UUID

from tests.chaos.client import Caller
from tests.chaos.journal import Json, Sent, Verdict, What

TIMERS_WHILE_WAITING = 9
"""Three reminders, resolving, closing; warning, breach and two steps for the first response, which never pauses."""
TIMERS_WHILE_OPEN = 10
"""Two reassignments; warning, breach and two steps each for the first response and the resolution."""


def tickets_for(timers: int) -> int:
    """How many tickets, half of each sort, have that many timers."""
    pairs, rest = divmod(timers, TIMERS_WHILE_OPEN + TIMERS_WHILE_WAITING)
    return 2 * pairs + (2 if rest else 0)


class Maker:
    """Makes tickets in an organization with the rules ``SHORT``, one after the other."""

    def __init__(self, name: str, caller: Caller, rng: random.Random) -> None:
        self._name = name
        self._caller = caller
        self._rng = rng
        self._organization = caller.organization

    async def make(self, tickets: int, reaches: Callable[[float], Awaitable[None]]) -> None:
        """Spread over the run: ``reaches(share)`` returns when it has come so far."""
        for number in range(tickets):
            await reaches(number / tickets)
            await self._make(waiting=number % 2 == 0)

    async def _make(self, *, waiting: bool) -> None:
        body: Json = {"title": "Left alone", "team_id": self._rng.choice(self._organization.team_ids)}
        if not waiting:
            body["assignee_id"] = self._rng.choice(self._organization.member_ids)
        created, _ = await self._caller.perform(self._sent(What.CREATE, None, body), self._rng)
        if waiting and created.verdict is Verdict.ACKNOWLEDGED:
            move = self._sent(What.STATUS, created.ticket, {"to": "waiting"})
            await self._caller.perform(move, self._rng)

    def _sent(self, what: What, ticket: str | None, body: Json) -> Sent:
        return Sent(
            command=str(UUID(int=self._rng.getrandbits(128), version=4)),
            client=self._name,
            organization=self._organization.id,
            what=what,
            ticket=ticket,
            member=None,
            body=body,
        )
