"""What a sweep makes of messages whose tickets were closed or merged before they could be told."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from temporalio.client import Client

from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, AWAY_FROM_OFFICE, Chat, escalation_event
from tests.api.escalations import ASKED
from tests.api.running import serving, sweep
from tests.api.tenant import Json, Tenant
from tests.api.test_killed import grow_old, kept, rows
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
    # An automatic reply and an agent's line to tickets that are closed have nobody to be told to.
    assert [row["status"] for row in report["rows"]] == ["untold", "stored", "stored", "untold"]
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


async def test_a_message_counts_from_when_it_was_kept_however_late_its_closed_ticket_is_told(
    tenant: Tenant, cut_off: httpx.AsyncClient, settings: Settings, temporal_client: Client
) -> None:
    await escalation_event(tenant, ASKED)
    there = replace(tenant, client=cut_off)
    (in_time, reopens), (late, stays) = [await with_ticket(tenant) for _ in range(2)]
    for ticket in (reopens, stays):
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "resolved"})
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "closed"})
    batch = [in_time.row("Just in time."), late.row("Too late.", minute=1), late.row("Far too late.", minute=2)]
    report = await there.post("/messages/batch", {"messages": batch})
    assert [row["status"] for row in report["rows"]] == ["untold"] * 3
    await rows(
        settings,
        tenant,
        """UPDATE tickets SET state = jsonb_set(state, '{reopen_until}', to_jsonb(now() - interval '1 minute'))
        WHERE status = 'closed' AND organization_id = %(mine)s""",
    )
    earlier = "UPDATE messages SET created_at = now() - interval '2 minutes' WHERE body = 'Just in time.'"
    await rows(settings, tenant, f"{earlier} AND organization_id = %(mine)s")

    for _ in range(2):  # the second finds the follow-up that the first has decided on, and starts it once
        await grow_old(settings, tenant)
        await sweep(temporal_client, settings)
    await tenant.becomes(reopens, "open")
    assert (await tenant.reload(reopens))["reopened"] == 1

    async def follow_up() -> Json:
        now = (await late.now())["ticket_id"]
        [found] = [each async for each in tenant.pages("/tickets") if each["id"] == now] or [{}]
        assert found.get("follow_up_of") == stays["id"], found
        told = ["created", "customer_replied", "customer_replied"]
        assert [each["kind"] for each in await tenant.events(found)] == told
        return found

    new = await eventually(follow_up, 20)
    assert (new["status"], new["title"]) == ("open", stays["title"])
    assert (await tenant.reload(stays))["status"] == "closed"
    assert len([each async for each in tenant.pages("/tickets")]) == 3
    await grow_old(settings, tenant)
    await sweep(temporal_client, settings)
    assert await kept(settings, tenant) == []
    assert len(await tenant.events(new)) == 3


async def test_a_message_after_the_window_is_kept_with_its_follow_up_while_nothing_can_be_started(
    tenant: Tenant, cut_off: httpx.AsyncClient, settings: Settings, temporal_client: Client
) -> None:
    old = await tenant.ticket("closed")
    await rows(
        settings,
        tenant,
        """UPDATE tickets SET state = jsonb_set(state, '{reopen_until}', to_jsonb(now() - interval '1 minute'))
        WHERE organization_id = %(mine)s""",
    )
    said = {"external_id": "late", "body": "It happened again."}
    answer = await replace(tenant, client=cut_off).message(old, **said)
    assert (answer.status_code, answer.json()["code"]) == (503, "temporal_unavailable")
    assert await kept(settings, tenant) == [said["body"], old["title"]]

    await grow_old(settings, tenant)
    await sweep(temporal_client, settings)

    async def follow_up() -> Json:
        [new] = [each async for each in tenant.pages("/tickets") if each["id"] != old["id"]] or [{}]
        assert new, "it is not on record yet"
        assert [each["kind"] for each in await tenant.events(new)] == ["created", "customer_replied"]
        return new

    new = await eventually(follow_up, 20)
    assert (new["follow_up_of"], new["status"], new["title"]) == (old["id"], "open", old["title"])
    again = await tenant.message(old, **said)
    assert (again.status_code, again.json()["ticket_id"]) == (200, new["id"])
    assert (await follow_up())["version"] == 2
