"""Random ticket lives: several clients of one organization work on the same tickets."""

import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.priority import Priority
from domain.ticket import Status, legal_targets
from tests.chaos.journal import Json, Sent, Verdict, What
from tests.chaos.shift import Desk, Worker

TICKETS_A_CLIENT = 2
"""Tickets open to a client's choice at a time: few, so that clients meet on them."""
_SHORTEST_LIFE, _LONGEST_LIFE = 8, 45
"""Commands after which a ticket is left to its timers."""

_WEIGHTS = {
    What.STATUS: 30,
    What.EDIT: 18,
    What.ASSIGN: 14,
    What.ESCALATE: 5,
    What.CUSTOMER_MESSAGE: 15,
    What.AGENT_MESSAGE: 11,
    What.NOTE: 7,
}


@dataclass
class Seen:
    """A ticket as the clients last saw it."""

    id: str
    status: Status
    version: int
    left: int
    """Commands it still gets."""


class Client(Worker[Seen]):
    """One who works on tickets."""

    def __init__(self, name: str, desk: Desk[Seen], rng: random.Random) -> None:
        super().__init__(desk, rng)
        self._name = name

    async def _go_on(self, life: Seen) -> None:
        await self._send(self._command(life))

    async def _begin(self) -> None:
        key = self._key()
        body: Json = {
            "title": f"Created by {key}",
            "description": "Something does not work.",
            "priority": self._rng.choice(list(Priority)).value,
            "tags": self._rng.sample(["refund", "login", "vip"], self._rng.randint(0, 2)),
            "requester": {"external_id": f"customer-{self._rng.randint(1, 50)}", "name": "A customer"},
        }
        if self._rng.random() < 0.7:
            body["team_id"] = self._rng.choice(self._organization.team_ids)
        if self._rng.random() < 0.4:
            body["assignee_id"] = self._rng.choice(self._organization.member_ids)
        await self._send(self._sent(key, What.CREATE, None, body))

    def _command(self, ticket: Seen) -> Sent:
        key, rng = self._key(), self._rng
        what = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        if what in (What.CUSTOMER_MESSAGE, What.AGENT_MESSAGE, What.NOTE):
            body: Json = {"body": f"Said by {key}"}
            if what is not What.NOTE:
                body["author"] = "customer" if what is What.CUSTOMER_MESSAGE else "agent"
            return self._sent(key, what, ticket.id, body)
        if_version = None
        if rng.random() < 0.05:
            if_version = max(1, ticket.version - rng.randint(0, 1))
        waits = what is What.ASSIGN or rng.random() < 0.85  # of an assignment that changes nothing no event would tell
        body = {
            What.STATUS: self._status,
            What.EDIT: self._edit,
            What.ASSIGN: self._assignment,
            What.ESCALATE: self._escalation,
        }[what](ticket, key)
        return self._sent(key, what, ticket.id, body, if_version=if_version, waits=waits)

    def _status(self, ticket: Seen, key: str) -> Json:
        legal = legal_targets(ticket.status)
        illegal = [status.value for status in Status if status.value not in legal]
        wanted = self._rng.choice(illegal if self._rng.random() < 0.2 else legal)
        body: Json = {"to": wanted, "reason": f"Wanted by {key}"}
        if self._rng.random() < 0.2:
            body["tell_customer"] = False
        return body

    def _edit(self, _: Seen, key: str) -> Json:
        body: Json = {"title": f"Edited by {key}"}
        if self._rng.random() < 0.4:
            body["priority"] = self._rng.choice(list(Priority)).value
        if self._rng.random() < 0.3:
            body["tags"] = self._rng.sample(["refund", "login", "vip"], self._rng.randint(0, 3))
        return body

    def _assignment(self, _: Seen, key: str) -> Json:
        body: Json = {"reason": f"Wanted by {key}"}
        if self._rng.random() < 0.5:
            body["team_id"] = self._rng.choice([*self._organization.team_ids, None])
        if len(body) == 1 or self._rng.random() < 0.7:
            body["assignee_id"] = self._rng.choice([*self._organization.member_ids, None])
        return body

    def _escalation(self, _: Seen, key: str) -> Json:
        return {"reason": f"Wanted by {key}"}

    async def _send(self, sent: Sent) -> None:
        answered, document = await self._perform(sent)
        if answered.verdict is not Verdict.ACKNOWLEDGED or answered.ticket is None:
            return
        self._last = sent
        known = self._desk.lives.get(answered.ticket)
        # A creation, or a message that went to a follow-up; else one that has had its commands.
        if known is None and answered.ticket != sent.ticket:
            life = self._rng.randint(_SHORTEST_LIFE, _LONGEST_LIFE)
            known = self._desk.lives[answered.ticket] = Seen(answered.ticket, Status.OPEN, 1, life)
        if known and document and answered.version and answered.version >= known.version:
            known.status, known.version = Status(document["status"]), answered.version

    def _sent(self, key: str, what: What, ticket: str | None, body: Json, **others: Any) -> Sent:
        from_customer = what is What.CUSTOMER_MESSAGE
        member = None if from_customer else self._rng.choice([*self._organization.member_ids, None])
        return Sent(
            command=key,
            client=self._name,
            organization=self._organization.id,
            what=what,
            ticket=ticket,
            member=member,
            body=body,
            **others,
        )

    def _key(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))
