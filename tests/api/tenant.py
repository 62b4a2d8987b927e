"""An organization as a program sees it: what tests do through HTTP, and how they ask for it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import httpx

from tests.api.running import OPERATOR_KEY
from tests.support import eventually

Json = dict[str, Any]

PATHS: Mapping[str, Sequence[str]] = {
    "open": (),
    "in_progress": ("in_progress",),
    "waiting": ("waiting",),
    "resolved": ("resolved",),
    "closed": ("resolved", "closed"),
}
"""The moves that lead a new ticket to each status."""

_numbers = count(1)


@dataclass(frozen=True)
class Tenant:
    """Calls the API with one organization's key; paths begin after ``/api/v1``."""

    client: httpx.AsyncClient
    key: str
    id: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def authorization(self) -> dict[str, str]:
        """For calls that do not go through ``call``."""
        return {"Authorization": f"Bearer {self.key}"}

    async def call(
        self, method: str, path: str, json: object = None, *, key: str | None = None, **others: Any
    ) -> httpx.Response:
        """One request; ``key`` is its Idempotency-Key."""
        headers = {**self.authorization, **self.headers, **others.pop("headers", {})}
        if key is not None:
            headers["Idempotency-Key"] = key
        if json is not None:
            others["json"] = json
        return await self.client.request(method, f"/api/v1{path}", headers=headers, **others)

    async def get(self, path: str, **params: Any) -> Any:
        """The document at ``path``; fails where there is none."""
        answer = await self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, json: object = None, **others: Any) -> Any:
        """Write and return the document answered with; fails where that is refused."""
        answer = await self.call("POST", path, json, **others)
        assert answer.is_success, answer.text
        return answer.json()

    def acting_for(self, member: Json) -> "Tenant":
        """The same key on behalf of a member."""
        return replace(self, headers={**self.headers, "Baton-On-Behalf-Of": member["id"]})

    async def ticket(self, status: str = "open", **document: Any) -> Json:
        """A new ticket, led to a status."""
        ticket: Json = await self.post("/tickets", {"title": "The invoice is wrong", **document})
        for step in PATHS[status]:
            ticket = await self.post(f"/tickets/{ticket['id']}/status", {"to": step})
        assert ticket["status"] == status
        return ticket

    async def member(self, **document: Any) -> Json:
        number = next(_numbers)
        member: Json = await self.post(
            "/members", {"name": f"Agent {number}", "email": f"agent{number}@example.com", **document}
        )
        return member

    async def team(self, **document: Any) -> Json:
        team: Json = await self.post("/teams", {"name": f"Team {next(_numbers)}", **document})
        return team

    async def message(self, ticket: Json, **document: Any) -> httpx.Response:
        """Send a message on a ticket, from the customer unless told otherwise."""
        key = document.pop("key", None)
        wanted = {"author": "customer", "body": "Any news?", **document}
        return await self.call("POST", f"/tickets/{ticket['id']}/messages", wanted, key=key)

    async def reload(self, ticket: Json) -> Json:
        """The ticket as it is now, without the words about its clocks, which count every second."""
        found: Json = await self.get(f"/tickets/{ticket['id']}")
        return {**found, "clocks": [{**clock, "explanation": None} for clock in found["clocks"]]}

    async def events(self, ticket: Json) -> list[Json]:
        return [event async for event in self.pages(f"/tickets/{ticket['id']}/events")]

    async def pages(self, path: str, **params: Any) -> AsyncIterator[Json]:
        """Every row of a list, page by page."""
        cursor: str | None = None
        while True:
            page = await self.get(path, **params, **({"cursor": cursor} if cursor else {}))
            for item in page["items"]:
                yield item
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def finished(self, path: str, *ends: str) -> Json:
        """Wait until what the path names is done, or has come to one of these ends."""

        async def is_done() -> Json:
            found: Json = await self.get(path)
            assert found["status"] in (ends or ("done",)), found
            return found

        # Temporal may take half a minute to delete a history.
        return await eventually(is_done, timeout=60)

    async def becomes(self, ticket: Json, status: str) -> Json:
        """Wait until the ticket has the status."""

        async def has_become() -> Json:
            answer = await self.call("GET", f"/tickets/{ticket['id']}")
            assert answer.status_code == 200
            found: Json = answer.json()
            assert found["status"] == status
            return found

        return await eventually(has_become)


async def new_tenant(client: httpx.AsyncClient, **document: Any) -> Tenant:
    """An organization of its own, made with the operator's key."""
    answer = await client.post(
        "/api/v1/organizations",
        json={"name": f"Organization {uuid4()}", **document},
        headers={"Authorization": f"Bearer {OPERATOR_KEY}"},
    )
    assert answer.status_code == 201, answer.text
    made = answer.json()
    return Tenant(client, made["api_key"]["key"], made["id"])


def iso(span: timedelta) -> str:
    """A length of time as the API takes it."""
    return f"PT{span.total_seconds():f}S"
