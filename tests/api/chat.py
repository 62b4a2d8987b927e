"""A conversation as a chat platform holds it: its messages go in through the front door."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.api.tenant import Json, Tenant
from tests.support import eventually

BEGAN = datetime(2026, 11, 20, 9, tzinfo=UTC)
ASKS_FOR_A_PERSON = "I want to talk to a human."
ANGRY = "This is terrible, the worst service ever. I hate it!"
CONTENT = "Great, thank you so much, this is wonderful!"
AWAY_FROM_OFFICE = "I am out of office until Monday with no access to my mail."


def at(minute: float) -> str:
    """That many minutes after the conversation began."""
    return (BEGAN + timedelta(minutes=minute)).isoformat()


@dataclass(frozen=True)
class Chat:
    """One conversation of a tenant's."""

    tenant: Tenant
    external_id: str = field(default_factory=lambda: f"chat-{uuid4()}")
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def path(self) -> str:
        return f"/conversations/{self.external_id}"

    def document(self, body: str = "Hello?", minute: float | None = None, **fields: Any) -> Json:
        """A message of the customer's, unless told otherwise, with a new external id."""
        sent = {"sent_at": at(minute)} if minute is not None else {}
        return {"external_id": f"m-{next(self._numbers)}", "author": "customer", "body": body, **sent, **fields}

    def row(self, *args: Any, **fields: Any) -> Json:
        """The same as a row of a batch."""
        return {"conversation": self.external_id, **self.document(*args, **fields)}

    async def send(self, document: Json) -> httpx.Response:
        return await self.tenant.call("POST", f"{self.path}/messages", document)

    async def say(self, body: str = "Hello?", minute: float | None = None, **fields: Any) -> Json:
        """Send a new message; what was answered."""
        answer = await self.send(self.document(body, minute, **fields))
        assert answer.status_code == 201, answer.text
        view: Json = answer.json()
        return view

    async def now(self) -> Json:
        """The conversation as it is."""
        found: Json = await self.tenant.get(self.path)
        return found

    async def said(self) -> list[str]:
        return [each["body"] async for each in self.tenant.pages(f"{self.path}/messages")]

    async def ticket(self) -> Json:
        """The conversation's ticket, which must be there; waits until it is recorded."""
        ticket_id = (await self.now())["ticket_id"]
        assert ticket_id is not None

        async def recorded() -> bool:
            return bool(await self.tenant.events({"id": ticket_id}))

        await eventually(recorded)
        ticket: Json = await self.tenant.get(f"/tickets/{ticket_id}")
        return ticket


async def escalation_event(tenant: Tenant, conditions: Json, name: str = "Rule", **fields: Any) -> Json:
    made: Json = await tenant.post("/escalation-events", {"name": name, "conditions": conditions, **fields})
    return made


def outcomes(answer: Json) -> list[tuple[str, str]]:
    """Which rules matched a message, and what came of it."""
    return [(each["rule"], each["outcome"]) for each in answer["decisions"]]
