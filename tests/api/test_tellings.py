"""What a sweep makes of messages whose tickets were closed or merged before they could be told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from temporalio.client import Client

from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, AWAY_FROM_OFFICE, Chat, escalation_event
from tests.api.running import serving
from tests.api.tenant import Json, Tenant
from tests.api.test_escalations import ASKED, sweep
from tests.api.test_killed import grow_old, kept
from tests.support import eventually


@pytest.fixture
async def cut_off(http: httpx.AsyncClient, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An API of the same database that cannot reach Temporal."""
    nowhere = {"temporal_address": "127.0.0.1:9", "command_timeout": timedelta(seconds=1)}
    async with serving(settings.model_copy(update=nowhere)) as client:
        yield client


async def with_ticket(tenant: Tenant) -> tuple[Chat, Json]:
    """A conversation that has a ticket."""
    chat = Chat(tenant)
    await chat.say(ASKS_FOR_A_PERSON)
    return chat, await chat.ticket()


async def test_a_customer_is_heard_and_others_disturb_no_ticket_that_is_over(
    tenant: Tenant, cut_off: httpx.AsyncClient, settings: Settings, temporal_client: Client
) -> None:
    await escalation_event(tenant, ASKED)
    there = replace(tenant, client=cut_off)
    (asks, closed), (away, silent), (answered, done), (goes, merged), (_, into) = [
        await with_ticket(tenant) for _ in range(5)
    ]
    for ticket in (closed, silent, done):
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "resolved"})
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "closed"})
    await tenant.post(f"/tickets/{merged['id']}/merge", {"into": into["id"]})
    batch = [
        asks.row("One thing more."),
        away.row(AWAY_FROM_OFFICE),
        answered.row("You are welcome.", author="agent"),
        goes.row("And this?"),
    ]
    report = await there.post("/messages/batch", {"messages": batch})
    assert [row["status"] for row in report["rows"]] == ["untold"] * 4
    before = {ticket["id"]: len(await tenant.events(ticket)) for ticket in (silent, done, merged)}

    await grow_old(settings, tenant)
    await sweep(temporal_client, settings)
    assert set(await kept(settings, tenant)) == {"One thing more.", "And this?"}
    await tenant.becomes(closed, "open")
    assert await eventually(lambda: _was_told(tenant, into), 20)
    await grow_old(settings, tenant)
    await sweep(temporal_client, settings)
    assert await kept(settings, tenant) == []
    assert (await tenant.reload(closed))["reopened"] == 1
    assert {ticket["id"]: len(await tenant.events(ticket)) for ticket in (silent, done, merged)} == before


async def _was_told(tenant: Tenant, ticket: Json) -> bool:
    replies = [each for each in await tenant.events(ticket) if each["kind"] == "customer_replied"]
    return len(replies) == 2
