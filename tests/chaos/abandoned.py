"""Conversations that are left alone while they need a human, so that all of their timers fall due."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.chaos.client import Caller
from tests.chaos.journal import Sent, What
from tests.chaos.talks import Commands, Talk


class Abandoner:
    """Makes conversations in one organization, one after the other, and leaves each alone at the end of its course."""

    def __init__(self, name: str, caller: Caller, rng: random.Random) -> None:
        self._caller = caller
        self._rng = rng
        self._organization = caller.organization
        self._commands = Commands(name, self._organization, rng)

    async def make(self, conversations: int, reaches: Callable[[float], Awaitable[None]]) -> None:
        """Spread over the run: ``reaches(share)`` returns when it has come so far."""
        for number in range(conversations):
            await reaches(number / conversations)
            talk = Talk(f"chat-{self._commands.key()}", left=0)
            await (self._given_back(talk) if number % 2 else self._held(talk))

    async def _held(self, talk: Talk) -> None:
        """Who takes it never answers: it goes back to the queue, whose ladder is climbed to its end."""
        await self._say_and_raise(talk)
        await self._send(talk, self._commands.raise_(talk, None))
        await self._send(talk, self._commands.take(talk, self._rng.choice(self._organization.member_ids)))

    async def _given_back(self, talk: Talk) -> None:
        """One of several answers and hands it back; a second escalation is resolved, and nobody takes the third."""
        commands = self._commands
        await self._say_and_raise(talk)
        members = self._rng.sample(self._organization.member_ids, 2)
        takes = [commands.take(talk, member, hand=hand) for hand, member in enumerate(members, start=1)]
        await asyncio.gather(*(self._send(talk, take) for take in takes))
        for _ in range(2):
            await self._send(talk, commands.reply(talk, talk.owner))
        await self._send(talk, commands.end(talk, What.HAND_BACK, None, noting=True))
        await self._say_and_raise(talk)
        while talk.escalation is None:  # it is kept, and not in the queue yet
            await self._send(talk, commands.raise_(talk, None))
        await self._send(talk, commands.end(talk, What.RESOLVE, None, noting=False))
        await self._say_and_raise(talk)

    async def _say_and_raise(self, talk: Talk) -> None:
        await self._send(talk, self._commands.say(talk))
        await self._send(talk, self._commands.raise_(talk, self._rng.choice(self._organization.team_ids)))

    async def _send(self, talk: Talk, sent: Sent) -> None:
        _, document = await self._caller.perform(sent, self._rng)
        talk.see(sent, document)
