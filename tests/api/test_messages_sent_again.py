import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from temporalio.client import Client

from domain.ids import workflow_id
from settings import Settings
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

SAID: dict[str, tuple[str, Json]] = {
    "agent's message": ("messages", {"author": "agent", "body": "It is on its way."}),
    "note": ("notes", {"body": "Waits for the warehouse."}),
}
by_kind = pytest.mark.parametrize(("path", "document"), SAID.values(), ids=SAID)


async def close(tenant: Tenant, ticket: Json) -> None:
    """Without a word to the customer."""
    for step in ("resolved", "closed"):
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": step, "tell_customer": False})


async def said(tenant: Tenant, ticket: Json, path: str) -> list[str]:
    return [each["body"] async for each in tenant.pages(f"/tickets/{ticket['id']}/{path}")]


@asynccontextmanager
async def nothing_stored(settings: Settings, path: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Whoever would store a message or a note waits; yields the connection that keeps them waiting."""
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as connection:
        await connection.execute(f"LOCK TABLE {path} IN SHARE ROW EXCLUSIVE MODE")
        yield connection


@by_kind
async def test_what_was_told_is_acknowledged_again_after_its_ticket_has_closed(
    tenant: Tenant, path: str, document: Json
) -> None:
    ticket = await tenant.ticket()
    first = await tenant.call("POST", f"/tickets/{ticket['id']}/{path}", document, key="said-once")
    await close(tenant, ticket)
    again = await tenant.call("POST", f"/tickets/{ticket['id']}/{path}", document, key="said-once")
    assert (first.status_code, again.status_code) == (201, 200), again.text
    assert again.json()["id"] == first.json()["id"]
    assert await said(tenant, ticket, path) == [document["body"]]


@by_kind
async def test_what_a_ticket_that_closes_meanwhile_does_not_take_is_refused_and_not_kept(
    tenant: Tenant, settings: Settings, temporal_client: Client, path: str, document: Json
) -> None:
    ticket = await tenant.ticket()
    async with nothing_stored(settings, path) as connection:
        saying = asyncio.create_task(tenant.call("POST", f"/tickets/{ticket['id']}/{path}", document, key="too-late"))
        waits = f"SELECT 1 FROM pg_locks WHERE NOT granted AND relation = '{path}'::regclass"

        async def is_about_to_store() -> object:
            return await (await connection.execute(waits)).fetchone()

        await eventually(is_about_to_store)
        await close(tenant, ticket)
        await temporal_client.get_workflow_handle(workflow_id(UUID(ticket["id"]))).result()  # takes nothing any more
    refused = await saying
    again = await tenant.call("POST", f"/tickets/{ticket['id']}/{path}", document, key="too-late")
    assert [answer.json()["code"] for answer in (refused, again)] == ["ticket_closed"] * 2
    assert await said(tenant, ticket, path) == []


async def test_customers_message_sent_again_after_the_window_makes_no_ticket(http: httpx.AsyncClient) -> None:
    tenant = await new_tenant(http, reopen_window="PT0.001S")
    ticket = await tenant.ticket()
    first = await tenant.message(ticket, key="written-once")
    await close(tenant, ticket)
    again = await tenant.message(ticket, key="written-once")
    assert (first.status_code, again.status_code) == (201, 200), again.text
    assert [each["id"] async for each in tenant.pages("/tickets")] == [ticket["id"]]
