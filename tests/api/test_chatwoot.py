"""Chatwoot's events in: customers, bots and agents write; notes, echoes and other inboxes are left."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select
from temporalio.client import Client

from db.deliveries import message_to_come
from db.engine import make_engine, make_sessions
from db.models import Delivery, Message
from domain.chatwoot import DELIVERY_ID
from domain.delivery import DeliveryState
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, escalation_event
from tests.api.running import serving, settings_for, working
from tests.api.tenant import Json, Tenant, new_tenant
from tests.chatwoot_server import (
    ACCOUNT,
    INBOX,
    SECRET,
    USER_TOKEN,
    ChatwootServer,
    Conversation,
    Failure,
    chatwoot_server,
    posted,
    signed,
)
from tests.support import eventually

AGENT = {"id": 5, "name": "Ana in Chatwoot", "email": "Ana@chatwoot.example", "type": "user"}


async def chatwoot_channel(tenant: Tenant, **settings: Any) -> str:
    """A channel that is an inbox of Chatwoot's, with the secret of its webhook."""
    answers = {
        "connector": "chatwoot",
        "base_url": "https://chat.example.com",
        "account_id": ACCOUNT,
        "inbox_id": INBOX,
    }
    document = {"kind": "webchat", "name": f"Chatwoot {uuid4()}", "settings": answers | settings}
    made = await tenant.post("/channels", document)
    await tenant.post(f"/channels/{made['id']}/secrets", {"secret": SECRET})
    return str(made["id"])


async def answering_channel(tenant: Tenant, url: str) -> str:
    """One with the token by which answers are written in Chatwoot at ``url``."""
    channel = await chatwoot_channel(tenant, base_url=url)
    await tenant.post(f"/channels/{channel}/secrets", {"purpose": "chatwoot_token", "secret": USER_TOKEN})
    return channel


@pytest.fixture
async def channel(tenant: Tenant) -> str:
    return await chatwoot_channel(tenant)


@pytest.fixture
def chat() -> Conversation:
    return ChatwootServer().conversation()


def event(chat: Conversation, content: str | None, **fields: Any) -> Json:
    """With ids of its own: they go on through all tests of the module."""
    return _INSTALLATION.event(chat, content, **fields)


_INSTALLATION = ChatwootServer()


async def test_a_customer_who_asks_for_a_person_gets_a_ticket(
    http: httpx.AsyncClient, tenant: Tenant, channel: str, chat: Conversation
) -> None:
    await escalation_event(tenant, {"human_requested": True}, "Asks", actions={"create_ticket": True})
    chat.labels = ["Billing"]
    document = event(chat, ASKS_FOR_A_PERSON)
    first = await posted(http, channel, document)
    assert first.status_code == 200, first.text
    message = first.json()["message"]
    assert [each["rule"] for each in message["decisions"]] == ["Asks"]
    conversation = await tenant.get(f"/conversations/chatwoot:{channel}:52")
    assert (conversation["channel_id"], conversation["tags"]) == (channel, ["billing"])
    assert conversation["ticket_id"] == message["ticket_id"]
    ticket = await eventually(lambda: tenant.get(f"/tickets/{message['ticket_id']}"))
    assert (ticket["requester"]["name"], ticket["requester"]["email"]) == ("A customer", "customer@example.com")
    again = await posted(http, channel, document)
    assert again.json()["message"]["id"] == message["id"]
    assert len((await tenant.get(f"/conversations/chatwoot:{channel}:52/messages"))["items"]) == 1


async def test_who_writes_decides_whether_the_customer_waits(
    http: httpx.AsyncClient, tenant: Tenant, channel: str, chat: Conversation
) -> None:
    member = await tenant.member(name="Ana", email="ana@chatwoot.example")
    bot = {"id": 2, "name": "Bot", "type": "agent_bot"}
    waits = []
    for document in (
        event(chat, "Hello?"),
        event(chat, "One moment", message_type="outgoing", sender=bot),
        event(chat, "Thanks for writing", message_type="template", sender={}),
        event(chat, "I am here", message_type="outgoing", sender=AGENT, created_at=datetime.now(UTC).isoformat()),
    ):
        answer = await posted(http, channel, document)
        assert answer.status_code == 200, answer.text
        waits.append(answer.json()["message"]["waiting_since"] is not None)
    assert waits == [True, True, True, False]
    said = (await tenant.get(f"/conversations/chatwoot:{channel}:52/messages"))["items"]
    assert [each["author_kind"] for each in said] == ["customer", "bot", "bot", "agent"]
    assert said[3]["author_id"] == member["id"], "the member with the agent's address"
    assert (said[0]["author_name"], said[3]["author_name"]) == ("A customer", "Ana in Chatwoot")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"private": True, "message_type": "outgoing", "sender": AGENT}, "private notes stay in Chatwoot"),
        ({"inbox": {"id": 4}}, "it is of another inbox"),
        ({"account": {"id": 2}}, "it is of another account"),
        ({"event": "conversation_updated"}, "conversation_updated changes nothing here"),
        ({"event": "webwidget_triggered", "conversation": None}, "webwidget_triggered changes nothing here"),
    ],
)
async def test_what_is_left_says_why(tenant: Tenant, channel: str, chat: Conversation, fields: Json, why: str) -> None:
    answer = await posted(tenant.client, channel, event(chat, "Hello?") | fields)
    assert (answer.status_code, answer.json()) == (200, {"message": None, "did": None, "left": why})
    assert (await tenant.get("/conversations"))["items"] == []


async def test_an_automatic_reply_makes_nobody_wait(http: httpx.AsyncClient, channel: str, chat: Conversation) -> None:
    attributes = {"email": {"auto_reply": True}}
    answer = await posted(http, channel, event(chat, "I am away.", content_attributes=attributes))
    assert (answer.json()["message"]["automatic"], answer.json()["message"]["waiting_since"]) == (True, None)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"secret": "another-secret"}, "No secret"),
        ({"at": datetime.now(UTC).timestamp() - 400}, "five minutes"),
    ],
)
async def test_what_chatwoot_did_not_sign_is_refused(
    http: httpx.AsyncClient, channel: str, chat: Conversation, how: Json, words: str
) -> None:
    refusal = await posted(http, channel, event(chat, "Hello?"), **how)
    assert (refusal.status_code, refusal.json()["code"]) == (401, "invalid_signature")
    assert words in refusal.json()["detail"]


@pytest.mark.parametrize("header", ["X-Chatwoot-Signature", "X-Chatwoot-Timestamp"])
async def test_a_header_that_is_missing_is_named(
    http: httpx.AsyncClient, channel: str, chat: Conversation, header: str
) -> None:
    body, headers = signed(event(chat, "Hello?"))
    del headers[header]
    answer = await http.post(f"/api/v1/channels/{channel}/chatwoot", content=body, headers=headers)
    assert (answer.status_code, header in answer.json()["detail"]) == (401, True)


async def test_a_changed_body_and_a_channel_of_another_kind_are_refused(
    http: httpx.AsyncClient, tenant: Tenant, channel: str, chat: Conversation
) -> None:
    body, headers = signed(event(chat, "Hello?"))
    path = f"/api/v1/channels/{channel}/chatwoot"
    changed = await http.post(path, content=body.replace(b"Hello", b"Hallo"), headers=headers)
    assert changed.status_code == 401
    assert (await http.post(path, content=body, headers=headers)).status_code == 200
    whatsapp = await tenant.post("/channels", {"kind": "whatsapp", "name": "W"})
    assert (await posted(http, whatsapp["id"], event(chat, "Hello?"))).status_code == 401


async def test_a_bot_and_a_webhook_sign_each_with_their_own_secret(
    http: httpx.AsyncClient, tenant: Tenant, channel: str, chat: Conversation
) -> None:
    path = f"/channels/{channel}/secrets"
    await tenant.post(path, {"secret": "secret-of-the-bot", "keep_old": True})
    for secret in (SECRET, "secret-of-the-bot"):
        assert (await posted(http, channel, event(chat, "Hello?"), secret=secret)).status_code == 200
    await tenant.post(path, {"secret": "a-newer-secret", "old_for": None})
    answers = [
        (await posted(http, channel, event(chat, "Hello?"), secret=secret)).status_code
        for secret in (SECRET, "secret-of-the-bot", "a-newer-secret")
    ]
    assert answers == [401, 401, 200], "those that were to stay end when a later one says so"
    refusal = await tenant.call("POST", path, {})
    assert (refusal.status_code, refusal.json()["at"]) == (422, "secret")


async def test_conversations_of_two_organizations_do_not_meet(
    http: httpx.AsyncClient, tenant: Tenant, channel: str, chat: Conversation
) -> None:
    other = await new_tenant(http)
    theirs = await chatwoot_channel(other)
    document = event(chat, "Hello?")
    ids = {(await posted(http, each, document)).json()["message"]["conversation_id"] for each in (channel, theirs)}
    assert len(ids) == 2
    for each in (tenant, other):
        assert len((await each.get("/conversations"))["items"]) == 1


@pytest.mark.parametrize("known_by", ["delivery_id", "provider_id"])
async def test_what_baton_itself_said_is_no_new_message(
    settings: Settings, tenant: Tenant, channel: str, chat: Conversation, known_by: str
) -> None:
    http = tenant.client
    asked = (await posted(http, channel, event(chat, "Hello?"))).json()["message"]
    engine = make_engine(settings)
    sessions = make_sessions(engine)
    now = datetime.now(UTC)
    async with sessions.begin() as session:
        message = Message(
            id=uuid4(),
            organization_id=UUID(tenant.id),
            conversation_id=UUID(asked["conversation_id"]),
            external_id="reply-1",
            author_kind="agent",
            body="I am here.",
            sent_at=now,
            created_at=now,
        )
        session.add(message)
        await session.flush()
        delivery_id = await message_to_come(session, message)
    echo = event(chat, "I am here.", message_type="outgoing", sender=AGENT)
    async with sessions.begin() as session:
        row = await session.get_one(Delivery, delivery_id)
        if known_by == "delivery_id":
            echo["content_attributes"] = {DELIVERY_ID: str(delivery_id)}
        else:
            row.provider_id, row.state = str(echo["id"]), DeliveryState.SENT
    for _ in range(2):
        answer = await posted(http, channel, echo)
        assert answer.json()["left"] == "Baton itself has sent it"
    said = (await tenant.get(f"/conversations/chatwoot:{channel}:52/messages"))["items"]
    assert [each["body"] for each in said] == ["Hello?", "I am here."]
    async with sessions() as session:
        row = (await session.scalars(select(Delivery).where(Delivery.id == delivery_id))).one()
        assert (row.state, row.provider_id) == ("sent", str(echo["id"])), "it has arrived, and is not sent again"
        assert len(row.attempts) == (1 if known_by == "delivery_id" else 0)
    await engine.dispose()
    # Somebody else's delivery is nobody's echo.
    other = await chatwoot_channel(await new_tenant(http))
    assert (await posted(http, other, echo)).json()["message"]["author"] == "agent"


async def test_what_is_away_is_answered_so_that_chatwoot_sends_it_again(
    new_database: Callable[[], str], chat: Conversation
) -> None:
    """Chatwoot repeats an agent bot's event after 429 and 500 only; here Temporal is away, and the message kept."""
    nowhere = settings_for(new_database(), "127.0.0.1:1", command_timeout=timedelta(seconds=1))
    async with serving(nowhere) as http:
        tenant = await new_tenant(http)
        channel = await chatwoot_channel(tenant)
        await escalation_event(tenant, {"human_requested": True}, "Asks", actions={"create_ticket": True})
        answer = await posted(http, channel, event(chat, ASKS_FOR_A_PERSON))
        assert (answer.status_code, answer.json()["code"]) == (500, "not_taken"), answer.text
        said = (await tenant.get(f"/conversations/chatwoot:{channel}:52/messages"))["items"]
        assert [each["body"] for each in said] == [ASKS_FOR_A_PERSON]
        assert (await posted(http, channel, event(chat, "And a line that no ticket waits for?"))).status_code == 500


@pytest.fixture(scope="module")
async def near(
    new_database: Callable[[], str], temporal_server: EmbeddedTemporal, temporal_client: Client
) -> AsyncIterator[httpx.AsyncClient]:
    """A Baton that may answer on this machine."""
    settings = settings_for(new_database(), temporal_server.address, webhook_private_addresses=True)
    async with working(temporal_client, settings), serving(settings) as client:
        yield client


@pytest.mark.parametrize("fails", [(), (None, Failure.ERROR), (None, Failure.HANGS_UP_AFTER)], ids=str)
async def test_an_agents_answer_is_said_in_chatwoot_once_and_does_not_come_back(
    near: httpx.AsyncClient, fails: Sequence[Failure | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.delivery.FIRST_WAIT", timedelta(seconds=0.2))
    tenant = await new_tenant(near)
    async with chatwoot_server() as installation:
        chat = installation.conversation()
        channel = await answering_channel(tenant, installation.url)
        await posted(near, channel, event(chat, "Hello?"))
        installation.failures.extend(fails)
        path = f"/conversations/chatwoot:{channel}:52"
        said = await tenant.post(f"{path}/replies", {"body": "I am here."})
        await eventually(lambda: len(chat.messages) == 1, 30)
        # The event may come before Baton has heard that its message was taken.
        echo = await posted(near, channel, installation.event_of(chat, chat.messages[0]))
        assert echo.json()["left"] == "Baton itself has sent it"

        async def is_sent() -> Json:
            found: Json = await tenant.get(f"/deliveries/{said['delivery']['id']}")
            assert found["state"] == "sent", found
            return found

        delivery = await eventually(is_sent, 30)
        assert delivery["provider_id"] == str(chat.messages[0]["id"])
        messages = (await tenant.get(f"{path}/messages"))["items"]
        assert [each["body"] for each in messages] == ["Hello?", "I am here."]
        assert installation.said() == ["I am here."]
        assert (await tenant.get(path))["waiting_since"] is None


async def test_a_bots_hand_over_raises_one_escalation_and_what_is_resolved_there_ends_it(
    http: httpx.AsyncClient, tenant: Tenant, channel: str
) -> None:
    chat = _INSTALLATION.conversation(53)
    await posted(http, channel, event(chat, "Where is my bag?"))

    async def happens(to: str, *, bot: bool = False, before: str | None = None, **fields: Any) -> str:
        """What becomes of the event of a change of status."""
        chat.status = before or chat.status
        answer = await posted(http, channel, _INSTALLATION.status_changed(chat, to, bot=bot) | fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["did"] or answer.json()["left"])

    async def queue(*statuses: str) -> list[Json]:
        return [each async for each in tenant.pages("/escalations", status=list(statuses))]

    async def is_raised() -> Json:
        found = await queue("queued")
        assert len(found) == 1
        return found[0]

    assert await happens("open", before="resolved") == "no bot had it"
    assert await happens("snoozed") == "the status snoozed changes nothing here"
    assert await happens("open", before="pending") == "escalation_raised"
    first = await eventually(is_raised)
    assert [reason["source"] for reason in first["reasons"]] == ["flow"]
    for bot in (True, False):
        assert await happens("open", bot=bot, before="pending") == "a person is asked for already, or has it"
    assert await happens("resolved") == "its customer still waits for a person"
    now = datetime.now(UTC).isoformat()
    await posted(http, channel, event(chat, "It is here.", message_type="outgoing", sender=AGENT, created_at=now))
    assert await happens("resolved", before="open", bot=True) == "escalation_resolved"
    assert await happens("resolved") == "no escalation of it is live"
    [ended] = await queue("resolved")
    assert (ended["id"], ended["ticket"]) == (first["id"], None)

    late: Json = {"updated_at": datetime.fromisoformat(ended["closed_at"]).timestamp() - 1}
    assert await happens("open", before="pending", **late) == "it tells of an earlier turn"
    assert await happens("open", before="pending", bot=True) == "its customer does not wait for an answer"
    assert await happens("open", before="pending") == "escalation_raised"
    assert (await eventually(is_raised))["id"] != first["id"]


async def test_a_hand_over_before_the_first_message_makes_the_conversation_that_the_message_finds(
    http: httpx.AsyncClient, tenant: Tenant, channel: str
) -> None:
    chat = _INSTALLATION.conversation(57, labels=["Baggage"])
    for to, bot in (("resolved", False), ("open", True), ("open", False)):  # of the last one no bot had it
        left = await posted(http, channel, _INSTALLATION.status_changed(chat, to, bot=bot))
        assert left.json()["did"] is None
        assert (await tenant.get("/conversations"))["items"] == []

    async def is_raised() -> Json:
        found = [each async for each in tenant.pages("/escalations", status=["queued"])]
        assert len(found) == 1
        return found[0]

    chat.status = "pending"
    handed_over = _INSTALLATION.status_changed(chat, "open")
    assert (await posted(http, channel, handed_over)).json()["did"] == "escalation_raised"
    await eventually(is_raised)
    assert (await posted(http, channel, handed_over)).json()["left"] == "a person is asked for already, or has it"
    known_as = f"/conversations/chatwoot:{channel}:57"
    made = await tenant.get(known_as)
    assert (made["channel_id"], made["tags"], made["waiting_since"]) == (channel, ["baggage"], None)
    assert (await tenant.get(f"/requesters/{made['requester_id']}"))["name"] == chat.contact["name"]
    [reason] = (await is_raised())["reasons"]
    assert reason["source"] == "flow"

    assert (await posted(http, channel, event(chat, "Where is my bag?"))).status_code == 200
    now = await tenant.get(known_as)
    assert (now["id"], now["requester_id"]) == (made["id"], made["requester_id"])
    assert now["waiting_since"] is not None
    assert (await is_raised())["conversation_id"] == made["id"]


@pytest.mark.parametrize("ends", ["handed back", "resolved there"])
async def test_who_takes_over_is_told_in_chatwoot_and_what_that_changes_there_changes_nothing_here(
    near: httpx.AsyncClient, ends: str
) -> None:
    tenant = await new_tenant(near)
    async with chatwoot_server() as installation:
        chat = installation.conversation()
        channel = await answering_channel(tenant, installation.url)
        await posted(near, channel, event(chat, "Hello?"))
        path = f"/conversations/chatwoot:{channel}:52"
        member = tenant.acting_for(await tenant.member(name="Ana"))
        taken = await member.post(f"{path}/takeover", {})
        assert await eventually(lambda: chat.status == "open", 30)
        [note] = installation.said(private=True)
        assert note.startswith("Ana has the conversation in Baton.")
        for to in ("open", "pending"):
            chat.status = "pending"
            echo = await posted(near, channel, installation.status_changed(chat, to))
            assert echo.json()["did"] is None
        chat.status = "open"
        if ends == "handed back":
            await member.post(f"{path}/handback", {})
            assert await eventually(lambda: chat.status == "pending", 30)
        else:
            await member.post(f"{path}/replies", {"body": "Here it is."})
            resolved = await posted(near, channel, installation.status_changed(chat, "resolved"))
            assert resolved.json()["did"] == "escalation_resolved"
        assert await eventually(lambda: len(installation.said(private=True)) == 2, 30)
        assert chat.status == ("pending" if ends == "handed back" else "resolved"), "what is over there stays so"
        [escalation] = [each async for each in tenant.pages("/escalations", status=["queued", "claimed", "resolved"])]
        assert (escalation["id"], escalation["status"]) == (taken["id"], "resolved")
        assert (await tenant.get(path))["handled_by"] == "bot"
