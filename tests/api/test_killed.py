"""An API is killed after it has committed and before it has told anybody: a sweep finds all that, and tells it once."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from temporalio.client import Client

from embedded.ports import LOOPBACK
from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, Chat, escalation_event
from tests.api.escalations import ASKED
from tests.api.running import sweep
from tests.api.tenant import Json, Tenant
from tests.api.test_exit import program
from tests.support import eventually


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A Temporal that takes connections and never answers, so that whoever asks it is killed while it waits."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield f"{LOOPBACK}:{listener.getsockname()[1]}"


async def rows(settings: Settings, tenant: Tenant, statement: str) -> list[Any]:
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as connection:
        found = await connection.execute(statement, {"mine": tenant.id})
        return [row[0] for row in await found.fetchall()] if found.description else []


async def kept(settings: Settings, tenant: Tenant) -> list[str]:
    """What was committed and not told, as people wrote it."""
    return await rows(
        settings,
        tenant,
        """
        SELECT m.body FROM untold_messages JOIN messages AS m ON m.id = message_id WHERE m.organization_id = %(mine)s
        UNION ALL SELECT coalesce(note, source) FROM escalation_reasons
            WHERE escalation_id IS NULL AND organization_id = %(mine)s
        UNION ALL SELECT start -> 'ticket' ->> 'title' FROM ticket_openings WHERE organization_id = %(mine)s
        ORDER BY 1""",
    )


async def grow_old(settings: Settings, tenant: Tenant) -> None:
    """Let all of it have been written two minutes ago."""
    for table, column in (
        ("untold_messages", "due_at"),
        ("escalation_reasons", "created_at"),
        ("ticket_openings", "created_at"),
    ):
        ago = f"{column} = now() - interval '2 minutes'"
        await rows(settings, tenant, f"UPDATE {table} SET {ago} WHERE organization_id = %(mine)s")


async def test_all_that_a_killed_api_had_committed_is_told_once(
    tenant: Tenant, settings: Settings, temporal_client: Client, nowhere: str, tmp_path: Path
) -> None:
    await escalation_event(tenant, ASKED)
    waits, asks, answered = Chat(tenant), Chat(tenant), Chat(tenant)
    for chat in (waits, answered):
        await chat.say(ASKS_FOR_A_PERSON)
    waiting, ticket = await waits.ticket(), await answered.ticket()
    await tenant.post(f"/tickets/{waiting['id']}/status", {"to": "waiting"})
    await eventually(lambda: _nothing(settings, tenant), 20)

    with program(settings.model_copy(update={"temporal_address": nowhere}), tmp_path / "log") as api:
        async with api.client:
            await eventually(lambda: _is_up(api.client), 60)
            there = replace(tenant, client=api.client)
            answer = {"author": "agent", "body": "We look into it."}
            asked = [
                replace(waits, tenant=there).say("It is 1093."),
                replace(asks, tenant=there).say(ASKS_FOR_A_PERSON),
                there.post(f"/tickets/{ticket['id']}/messages", answer),
                there.post(f"{answered.path}/escalations", {"reason": "Stuck.", "note": "The bot gave up."}),
            ]
            acts = [asyncio.create_task(each) for each in asked]
            wanted = [
                ASKS_FOR_A_PERSON,  # the message, and the ticket that is to be made of it
                ASKS_FOR_A_PERSON,
                "It is 1093.",
                "The bot gave up.",
                "We look into it.",
                "assistant",
                "rule",
            ]
            await eventually(lambda: _kept(settings, tenant, wanted), 20)
            api.process.kill()
            ends = await asyncio.gather(*acts, return_exceptions=True)
            assert all(isinstance(end, httpx.TransportError) for end in ends), ends

    assert [each["kind"] for each in await tenant.events(waiting)] == ["created", "customer_replied", "status_changed"]
    for _ in range(2):
        await grow_old(settings, tenant)
        await sweep(temporal_client, settings)
    told = ["customer_replied", "status_changed"]
    await _becomes(tenant, waiting, ["created", *told, *told])
    assert (await tenant.reload(waiting))["status"] == "in_progress"
    await _becomes(tenant, ticket, ["created", "customer_replied", "agent_replied", "status_changed"])
    await _becomes(tenant, await asks.ticket(), ["created", "customer_replied"])
    queue = [each async for each in tenant.pages("/escalations")]
    sources = {each["conversation_external_id"]: {reason["source"] for reason in each["reasons"]} for each in queue}
    assert sources[asks.external_id] == {"rule", "assistant"}
    assert "api" in sources[answered.external_id]
    await grow_old(settings, tenant)
    await sweep(temporal_client, settings)
    assert await kept(settings, tenant) == []


async def _is_up(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def _nothing(settings: Settings, tenant: Tenant) -> bool:
    """Everything has been told; what the intake leaves to the sweep to forget is forgotten."""
    told = """
        DELETE FROM untold_messages AS u USING messages AS m, ticket_events AS e
        WHERE m.id = u.message_id AND e.ticket_id = m.ticket_id AND e.request_id = m.id::text
            AND u.organization_id = %(mine)s"""
    await rows(settings, tenant, told)
    assert await kept(settings, tenant) == []
    return True


async def _kept(settings: Settings, tenant: Tenant, wanted: list[str]) -> bool:
    assert await kept(settings, tenant) == sorted(wanted)
    return True


async def _becomes(tenant: Tenant, ticket: Json, kinds: list[str]) -> None:
    async def has_become() -> bool:
        assert [each["kind"] for each in await tenant.events(ticket)] == kinds
        return True

    await eventually(has_become, 20)
