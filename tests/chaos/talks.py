"""Random lives of conversations: clients of one organization write, ask for humans, take over, answer and give back."""

import asyncio
import random
from dataclasses import dataclass
from uuid import UUID

from domain.escalation import LIVE, EscalationStatus
from domain.priority import Priority
from tests.chaos.journal import Answered, Json, Organization, Sent, Verdict, What
from tests.chaos.shift import Desk, Worker

TALKS_A_CLIENT = 1
"""Conversations open to a client's choice at a time: few, so that clients meet in them."""
_SHORTEST_TALK, _LONGEST_TALK = 10, 40
"""Commands after which a conversation is left to its timers."""
_RUSHES = 0.08
"""Share of steps in which several members take one conversation over in the same instant."""

_WEIGHTS = {
    What.SAY: 28,
    What.RAISE: 18,
    What.REPLY: 16,
    What.CLAIM: 14,
    What.TAKE_OVER: 8,
    What.HAND_BACK: 6,
    What.RESOLVE: 6,
    What.DISMISS: 4,
}


@dataclass
class Talk:
    """A conversation as the clients last saw it; ``escalation`` is the one that was live."""

    name: str
    left: int
    escalation: str | None = None
    owner: str | None = None

    def see(self, sent: Sent, document: Json | None) -> None:
        """What an acknowledged command's answer shows."""
        shown = document.get("escalation") if document and sent.what is What.RAISE else document
        if shown and not sent.what.is_said:
            is_live = EscalationStatus(shown["status"]) in LIVE
            self.escalation = shown["id"] if is_live else None
            self.owner = shown["owner"]["id"] if is_live and shown["owner"] else None


_SOURCES: tuple[Json, ...] = (
    {"source": "api"},
    {"source": "assistant"},
    {"source": "flow", "flow_id": "refunds", "node_id": "to-human"},
)


@dataclass(frozen=True)
class Commands:
    """Makes the commands of one client."""

    client: str
    organization: Organization
    rng: random.Random

    def say(self, talk: Talk, author: str = "customer") -> Sent:
        """A message; the first one makes the conversation."""
        key = self.key()
        body: Json = {
            "external_id": key,
            "author": author,
            "body": f"Said by {key}",
            "channel_id": self.organization.channel_id,
            "requester": {"external_id": f"writer-of-{talk.name}", "name": "A customer"},
        }
        return self._sent(talk, key, What.SAY, body)

    def reply(self, talk: Talk, member: str | None) -> Sent:
        key = self.key()
        return self._sent(talk, key, What.REPLY, {"body": f"Said by {key}"}, member=member)

    def raise_(self, talk: Talk, team_id: str | None, priority: Priority | None = None) -> Sent:
        key = self.key()
        body: Json = {"reason": f"Wanted by {key}", **self.rng.choice(_SOURCES)}
        if team_id:
            body["team_id"] = team_id
        if priority:
            body["priority"] = priority.value
        return self._sent(talk, key, What.RAISE, body)

    def take(self, talk: Talk, member: str, what: What = What.TAKE_OVER, *, hand: int | None = None) -> Sent:
        """With a ``hand`` of its own, for whose commands come at once in no order."""
        return self._sent(talk, self.key(), what, {}, member=member, hand=hand)

    def end(self, talk: Talk, what: What, member: str | None, *, noting: bool) -> Sent:
        key = self.key()
        return self._sent(talk, key, what, {"note": f"Said by {key}"} if noting else {}, member=member)

    def key(self) -> str:
        return str(UUID(int=self.rng.getrandbits(128), version=4))

    def _sent(
        self, talk: Talk, key: str, what: What, body: Json, *, member: str | None = None, hand: int | None = None
    ) -> Sent:
        return Sent(
            command=key,
            client=f"{self.client}, hand {hand}" if hand else self.client,
            organization=self.organization.id,
            what=what,
            ticket=None,
            member=member,
            body=body,
            conversation=talk.name,
            escalation=talk.escalation if what in (What.CLAIM, What.RESOLVE, What.DISMISS) else None,
        )


class Talker(Worker[Talk]):
    """One who works on conversations."""

    def __init__(self, name: str, desk: Desk[Talk], rng: random.Random) -> None:
        super().__init__(desk, rng)
        self._commands = Commands(name, self._organization, rng)

    async def _go_on(self, life: Talk) -> None:
        if self._rng.random() < _RUSHES:
            await self._rush(life)
        else:
            await self._send(life, self._command(life))

    async def _begin(self) -> None:
        talk = Talk(f"chat-{self._commands.key()}", self._rng.randint(_SHORTEST_TALK, _LONGEST_TALK))
        answered = await self._send(talk, self._commands.say(talk))
        if answered.verdict is Verdict.ACKNOWLEDGED:
            self._desk.lives[talk.name] = talk

    async def _rush(self, talk: Talk) -> None:
        """Each hand is a client of its own: whose command comes first, nobody has said."""
        members = self._rng.sample(self._organization.member_ids, self._rng.randint(2, 3))
        takes = [
            self._commands.take(
                talk, member, What.CLAIM if talk.escalation and self._rng.random() < 0.4 else What.TAKE_OVER, hand=hand
            )
            for hand, member in enumerate(members, start=1)
        ]
        await asyncio.gather(*(self._send(talk, take) for take in takes))

    def _command(self, talk: Talk) -> Sent:
        rng, commands = self._rng, self._commands
        what = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if talk.escalation is None and what in (What.CLAIM, What.RESOLVE, What.DISMISS):
            what = What.RAISE
        if what is What.SAY:
            return commands.say(talk, "customer" if rng.random() < 0.75 else "bot")
        if what is What.RAISE:
            team = rng.choice(self._organization.team_ids) if rng.random() < 0.75 else None
            return commands.raise_(talk, team, rng.choice([*Priority, None]))
        if what.takes:
            return commands.take(talk, rng.choice(self._organization.member_ids), what)
        # Mostly by who has it, who alone may give it back without being a supervisor or a program.
        member = talk.owner if rng.random() < 0.6 else rng.choice([*self._organization.member_ids, None])
        if what is What.REPLY:
            return commands.reply(talk, member)
        return commands.end(talk, what, member, noting=rng.random() < 0.3)

    async def _send(self, talk: Talk, sent: Sent) -> Answered:
        answered, document = await self._perform(sent)
        if answered.verdict is Verdict.ACKNOWLEDGED:
            self._last = sent
            if not answered.pending:  # what reads may not show yet is not to be named yet
                talk.see(sent, document)
        return answered
