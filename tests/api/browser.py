"""A person with a browser: signs in, keeps the cookie, and sends where its pages come from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import psycopg

from domain.mail import with_token
from settings import Settings
from tests.api.running import NO_TLS
from tests.api.tenant import Json, Tenant

PASSWORD = "seven green umbrellas"


class Browser:
    """Paths begin after ``/api/v1``."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def call(self, method: str, path: str, json: object = None, **others: Any) -> httpx.Response:
        if json is not None:
            others["json"] = json
        return await self.client.request(method, f"/api/v1{path}", **others)

    async def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.call("POST", "/sign-in", {"email": email, "password": password})

    async def session(self) -> Json:
        answer = await self.call("GET", "/session")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found


@asynccontextmanager
async def browsing(base_url: object) -> AsyncIterator[Browser]:
    """A browser without a cookie."""
    base = str(base_url).rstrip("/")
    async with httpx.AsyncClient(
        base_url=base, trust_env=False, timeout=30, verify=NO_TLS, headers={"Origin": base}
    ) as client:
        yield Browser(client)


def mails_to(settings: Settings, address: str) -> list[Json]:
    """What is to be mailed to the address, the oldest first."""
    with psycopg.connect(settings.psycopg_url) as connection:
        rows = connection.execute(
            "SELECT key, subject, text, organization_id FROM mails WHERE to_address = %s ORDER BY created_at", [address]
        )
        names = ("key", "subject", "text", "organization_id")
        return [dict(zip(names, row, strict=True)) for row in rows]


def token_to(settings: Settings, address: str) -> str:
    """The token in the newest mail."""
    mail = mails_to(settings, address)[-1]
    text = with_token(mail["text"], mail["key"], settings.secret_key.get_secret_value())
    return text.split("#token=")[1].split(maxsplit=1)[0]


async def joined(
    browser: Browser, settings: Settings, tenant: Tenant, email: str, role: str = "agent", **more: object
) -> Json:
    """Invite the address and accept with the browser, which is signed in then; the session's document."""
    await tenant.post("/invitations", {"invitations": [{"email": email, "role": role, **more}]})
    document = {"token": token_to(settings, email), "name": email.partition("@")[0].title(), "password": PASSWORD}
    answer = await browser.call("POST", "/invitations/accept", document)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found
