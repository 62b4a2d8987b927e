from typing import Any

import httpx
import pytest

from tests.api.chat import Chat, escalation_event
from tests.api.tenant import Json, Tenant, new_tenant

WHATSAPP: Json = {"kind": "whatsapp", "name": "WhatsApp", "settings": {"reply_url": "https://example.com/replies"}}
CHATWOOT: Json = {"connector": "chatwoot", "base_url": "https://c.example", "account_id": 1}
EMAIL: Json = {"kind": "email", "name": "Mail", "settings": {"from_address": "help@example.com", "from_name": "Help"}}


async def test_channel_is_created_read_listed_replaced_and_deleted(tenant: Tenant) -> None:
    first, second = [await tenant.post("/channels", each) for each in (WHATSAPP, EMAIL)]
    for made, sent in ((first, WHATSAPP), (second, EMAIL)):
        assert {name: made[name] for name in sent} == sent
        assert await tenant.get(f"/channels/{made['id']}") == made
    assert [each async for each in tenant.pages("/channels", limit=1)] == [first, second]
    path = f"/channels/{first['id']}"
    replaced = await tenant.call("PUT", path, {"kind": "whatsapp", "name": "WhatsApp 2"})
    assert replaced.json() == {**first, "name": "WhatsApp 2", "settings": {}}
    for _ in range(2):
        assert (await tenant.call("DELETE", path, key="once")).status_code == 204
    assert [each["id"] async for each in tenant.pages("/channels")] == [second["id"]]


@pytest.mark.parametrize(
    ("kind", "answers", "at"),
    [
        ("email", None, "body/settings/from_address"),
        ("email", {"from_address": "nobody"}, "body/settings/from_address"),
        ("email", {"from_address": "help@example.com", "reply_url": "https://example.com"}, "body/settings/reply_url"),
        ("whatsapp", {"from_address": "help@example.com"}, "body/settings/from_address"),
        ("whatsapp", {"reply_url": "ftp://example.com"}, "body/settings/reply_url"),
        ("whatsapp", {"reply_url": f"https://example.com/{'a' * 2000}"}, "body/settings/reply_url"),
        ("whatsapp", "reply_url", "body/settings"),
        ("pigeon", {}, "body/kind"),
        ("webchat", CHATWOOT | {"account_id": None}, "body/settings/account_id"),
        ("webchat", CHATWOOT | {"base_url": "https://u:p@c.example"}, "body/settings/base_url"),
        ("webchat", CHATWOOT | {"connector": "pigeon"}, "body/settings/connector"),
        ("whatsapp", {"allowed_origins": ["https://shop.example"]}, "body/settings/allowed_origins"),
        ("webchat", {"allowed_origins": [], "reply_url": "https://b.example"}, "body/settings/reply_url"),
    ],
)
async def test_how_to_answer_is_checked_by_kind(tenant: Tenant, kind: str, answers: Any, at: str) -> None:
    document = {"kind": kind, "name": "A"} | ({"settings": answers} if answers is not None else {})
    refusal = await tenant.call("POST", "/channels", document)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_request")
    assert [error["at"] for error in refusal.json()["errors"]] == [at]


async def test_names_are_unique_and_kinds_stay(tenant: Tenant) -> None:
    made = await tenant.post("/channels", WHATSAPP)
    assert (await tenant.call("POST", "/channels", WHATSAPP)).json()["code"] == "already_exists"
    refusal = await tenant.call("PUT", f"/channels/{made['id']}", EMAIL)
    assert (refusal.status_code, refusal.json()["at"]) == (422, "kind")
    assert await tenant.get(f"/channels/{made['id']}") == made


async def test_channel_in_use_is_not_deleted(tenant: Tenant) -> None:
    held, named = [await tenant.post("/channels", {"kind": "sms", "name": name}) for name in ("Held", "Named")]
    await Chat(tenant).say(channel_id=held["id"])
    event = await escalation_event(tenant, {"channel": [named["id"]]}, "Texts")
    for channel, why in ((held, "Conversations"), (named, "Texts")):
        refusal = await tenant.call("DELETE", f"/channels/{channel['id']}")
        assert (refusal.status_code, refusal.json()["code"]) == (409, "still_in_use")
        assert why in refusal.json()["detail"]
    await tenant.call("DELETE", f"/escalation-events/{event['id']}")
    assert (await tenant.call("DELETE", f"/channels/{named['id']}")).status_code == 204


async def test_messages_name_a_channel_and_only_one_that_is_there(http: httpx.AsyncClient, tenant: Tenant) -> None:
    channel = await tenant.post("/channels", WHATSAPP)
    chat = Chat(tenant)
    await chat.say(channel_id=channel["id"])
    now = await chat.now()
    assert (now["channel"], now["channel_id"]) == ("whatsapp", channel["id"])
    stranger = Chat(await new_tenant(http))
    await tenant.call("DELETE", f"/channels/{(deleted := await tenant.post('/channels', EMAIL))['id']}")
    for other, channel_id in ((stranger, channel["id"]), (Chat(tenant), deleted["id"])):
        refusal = await other.send(other.document(channel_id=channel_id))
        assert (refusal.status_code, refusal.json()["code"], refusal.json()["at"]) == (
            422,
            "invalid_reference",
            "channel_id",
        )
        assert (await other.tenant.call("GET", other.path)).status_code == 404


async def test_what_a_conversation_is_about_is_taken_from_the_message_that_says_it(tenant: Tenant) -> None:
    chat = Chat(tenant)
    await chat.say("How can I help?", author="bot")
    assert (await chat.now())["channel"] == "api"
    nobody = (await chat.now())["requester_id"]
    await chat.say("Hi", channel="telegram", requester={"external_id": "customer-1", "name": "A"}, tags=["VIP"])
    now = await chat.now()
    [customer] = (await tenant.get("/requesters", external_id="customer-1"))["items"]
    assert (now["channel"], now["requester_id"], now["tags"]) == ("telegram", customer["id"], ["vip"])
    assert customer["id"] != nobody
    await chat.say("Still me", channel="sms", requester={"external_id": "customer-2"}, tags=["new", "vip"])
    later = await chat.now()
    assert {**later, "tags": ["vip"]} == {**now, "waiting_since": later["waiting_since"]}
    assert later["tags"] == ["new", "vip"]


async def test_requesters_are_listed_with_what_is_known_of_them_and_their_conversations(tenant: Tenant) -> None:
    chats = [Chat(tenant) for _ in range(3)]
    await chats[0].say(requester={"external_id": "customer-1", "name": "A"})
    await chats[1].say(requester={"external_id": "customer-1", "email": "a@example.com"})
    await chats[2].say()
    known, nobody = [each async for each in tenant.pages("/requesters", limit=1)]
    assert (known["external_id"], known["name"], known["email"]) == ("customer-1", "A", "a@example.com")
    assert (nobody["external_id"], nobody["name"]) == (None, None)
    assert await tenant.get(f"/requesters/{known['id']}") == known
    held = [each["external_id"] async for each in tenant.pages(f"/requesters/{known['id']}/conversations", limit=1)]
    assert held == [chat.external_id for chat in chats[:2]]
    assert (await tenant.get("/requesters", external_id="customer-2"))["items"] == []
