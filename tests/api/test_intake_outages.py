"""A message is kept though its ticket cannot be started or told, and sent again it makes good for it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from temporalio.client import Client

from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, Chat, escalation_event
from tests.api.running import serving, working
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

ASKED: Json = {"human_requested": True}


@pytest.fixture(scope="module")
async def cut_off(http: httpx.AsyncClient, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """An API of the same database that cannot reach Temporal: what it leaves behind, a killed one would too."""
    nowhere = {"temporal_address": "127.0.0.1:9", "command_timeout": timedelta(seconds=2)}
    async with serving(settings.model_copy(update=nowhere)) as client:
        yield client


async def openings(settings: Settings, tenant: Tenant) -> int:
    """Tickets that may not have been started."""
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as connection:
        found: Any = await connection.execute(
            "SELECT count(*) FROM ticket_openings WHERE organization_id = %s", [tenant.id]
        )
        return int((await found.fetchone())[0])


@pytest.fixture
async def chat(tenant: Tenant) -> Chat:
    await escalation_event(tenant, ASKED, actions={"priority": "high"})
    return Chat(tenant)


def outside(chat: Chat, client: httpx.AsyncClient) -> Chat:
    """The same conversation through another API."""
    return Chat(Tenant(client, chat.tenant.key, chat.tenant.id), chat.external_id)


async def told(chat: Chat, ticket: Json, *kinds: str) -> None:
    async def story() -> bool:
        assert [event["kind"] for event in await chat.tenant.events(ticket)] == list(kinds)
        return True

    await eventually(story)


async def test_message_whose_ticket_was_not_started_is_kept_and_starts_it_once_when_sent_again(
    chat: Chat, cut_off: httpx.AsyncClient, settings: Settings
) -> None:
    document = chat.document(ASKS_FOR_A_PERSON)
    failing = outside(chat, cut_off)
    for _ in range(2):
        answer = await failing.send(document)
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["kept"]) == (503, "temporal_unavailable", True)
        assert "Send the message again with the same external_id" in problem["detail"]
        assert answer.headers["Retry-After"]
    assert await chat.said() == [ASKS_FOR_A_PERSON]
    assert await openings(settings, chat.tenant) == 1
    assert (await chat.now())["ticket_id"] is not None

    answers = await asyncio.gather(*(chat.send(document) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    ticket = await chat.ticket()
    assert (ticket["priority"], ticket["number"]) == ("high", 1)
    await told(chat, ticket, "created", "customer_replied")
    assert await openings(settings, chat.tenant) == 0
    assert len([each async for each in chat.tenant.pages("/tickets")]) == 1


async def test_whoever_finds_the_ticket_in_its_conversation_can_use_it(chat: Chat, cut_off: httpx.AsyncClient) -> None:
    for first in ("read", "edit"):
        talk = Chat(chat.tenant)
        assert (await outside(talk, cut_off).send(talk.document(ASKS_FOR_A_PERSON))).status_code == 503
        path = f"/tickets/{(await talk.now())['ticket_id']}"
        stranger = await new_tenant(talk.tenant.client)
        assert (await stranger.call("GET", path)).status_code == 404
        if first == "edit":
            edited = await talk.tenant.call("PATCH", path, {"title": "Found in its conversation"})
            assert edited.json()["version"] == 2
        assert (await talk.tenant.get(path))["status"] == "open"


async def test_any_later_message_starts_the_ticket_too(
    chat: Chat, cut_off: httpx.AsyncClient, settings: Settings
) -> None:
    first = chat.document(ASKS_FOR_A_PERSON)
    assert (await outside(chat, cut_off).send(first)).status_code == 503
    bot = await chat.say("I am transferring you.", author="bot")  # concerns no ticket
    await chat.say("Are you there?")
    ticket = await chat.ticket()
    assert ticket["id"] == bot["ticket_id"]
    await told(chat, ticket, "created", "customer_replied")
    assert (await chat.send(first)).status_code == 200
    await told(chat, ticket, "created", "customer_replied", "customer_replied")
    assert await openings(settings, chat.tenant) == 0


async def test_ticket_that_was_not_told_is_told_when_the_message_is_sent_again(
    chat: Chat, cut_off: httpx.AsyncClient
) -> None:
    await chat.say(ASKS_FOR_A_PERSON)
    ticket = await chat.ticket()
    await chat.tenant.post(f"/tickets/{ticket['id']}/status", {"to": "waiting"})
    document = chat.document("It is 1093.")
    assert (await outside(chat, cut_off).send(document)).json()["kept"] is True
    assert (await chat.tenant.reload(ticket))["status"] == "waiting"
    for _ in range(2):
        assert (await chat.send(document)).status_code == 200
        await chat.tenant.becomes(ticket, "in_progress")
    await told(chat, ticket, "created", "customer_replied", "status_changed", "customer_replied", "status_changed")


async def test_batch_says_which_messages_to_send_again(chat: Chat, cut_off: httpx.AsyncClient) -> None:
    others = [Chat(chat.tenant) for _ in range(3)]
    rows = [chat.row(ASKS_FOR_A_PERSON), chat.row("Quickly!"), {}, *(other.row("Hello?") for other in others)]
    rows += [other.row(ASKS_FOR_A_PERSON) for other in others]
    failing = outside(chat, cut_off).tenant
    report = await failing.post("/messages/batch", {"messages": rows})
    wanted = ["untold"] * 2 + ["refused"] + ["stored"] * 3 + ["untold"] * 3
    assert [row["status"] for row in report["rows"]] == wanted
    assert (report["stored"], report["untold"], report["refused"]) == (3, 5, 1)
    assert report["rows"][0]["problem"]["code"] == "temporal_unavailable"
    untold = [row for row, status in zip(rows, wanted, strict=True) if status == "untold"]
    again = await chat.tenant.post("/messages/batch", {"messages": untold})
    assert (again["known"], again["untold"]) == (5, 0)
    for each in (chat, *others):
        await each.ticket()


async def test_messages_are_taken_while_no_worker_works(
    chat: Chat, settings: Settings, temporal_client: Client
) -> None:
    idle = settings.model_copy(update={"temporal_task_queue": f"{settings.temporal_task_queue}-idle"})
    async with serving(idle) as client:
        tenant = await new_tenant(client)
        await escalation_event(tenant, ASKED)
        there = Chat(tenant)
        for body in (ASKS_FOR_A_PERSON, "Hello?", ASKS_FOR_A_PERSON):
            await there.say(body)
        async with working(temporal_client, idle):
            ticket = await there.ticket()
            await told(there, ticket, "created", *["customer_replied"] * 3)
