"""The signed webhook in: whoever knows the channel's secret, and nobody else, brings messages, each once."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook

from api.routers.channel_secrets import MOST
from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, escalation_event
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually


@dataclass(frozen=True)
class Platform:
    """A program that knows a channel's secret, and no API key."""

    http: httpx.AsyncClient
    channel_id: str
    secret: str

    async def post(
        self, document: object, *, webhook_id: str | None = None, at: float | None = None, **headers: str | None
    ) -> httpx.Response:
        """Sign and send; headers of ``None`` are left out."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        named, moment = webhook_id or f"msg_{uuid4()}", datetime.fromtimestamp(int(at or time.time()), UTC)
        signature = Webhook(self.secret).sign(named, moment, body.decode("latin-1"))
        sent: dict[str, str | None] = {
            "webhook-id": named,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kept = {name: value for name, value in sent.items() if value is not None}
        return await self.http.post(f"/api/v1/channels/{self.channel_id}/webhook", content=body, headers=kept)


def created(conversation: str = "chat-1", body: str = "Hello?", **fields: Any) -> Json:
    data = {"conversation": conversation, "external_id": f"m-{uuid4()}", "author": "customer", "body": body, **fields}
    return {"type": "message.created", "timestamp": "2026-11-26T12:00:00Z", "data": data}


async def new_platform(tenant: Tenant, **channel: Any) -> Platform:
    made = await tenant.post("/channels", {"kind": "whatsapp", "name": f"W {uuid4()}", **channel})
    secret = await tenant.post(f"/channels/{made['id']}/secrets", {})
    return Platform(tenant.client, made["id"], secret["secret"])


@pytest.fixture
async def platform(tenant: Tenant) -> Platform:
    return await new_platform(tenant)


async def test_a_signed_message_goes_through_the_front_door(tenant: Tenant, platform: Platform) -> None:
    await escalation_event(tenant, {"human_requested": True}, "Asks", actions={"create_ticket": True})
    document = created(body=ASKS_FOR_A_PERSON, requester={"external_id": "customer-1", "name": "A"})
    first = await platform.post(document)
    assert first.status_code == 201, first.text
    assert (first.json()["decisions"][0]["rule"], first.json()["ticket_id"] is not None) == ("Asks", True)
    now = await tenant.get("/conversations/chat-1")
    assert (now["channel"], now["channel_id"]) == ("whatsapp", platform.channel_id)
    assert first.headers["RateLimit-Limit"]
    ticket = await eventually(lambda: tenant.get(f"/tickets/{first.json()['ticket_id']}"))
    assert ticket["requester"]["external_id"] == "customer-1"
    again = await platform.post(document)
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()["id"]) == (
        200,
        "true",
        first.json()["id"],
    )


async def test_agents_and_bots_write_too_and_an_answer_ends_the_wait(tenant: Tenant, platform: Platform) -> None:
    sent = [("customer", "Hello?"), ("bot", "How can I help?"), ("agent", "I am here.")]
    waiting = []
    for author, body in sent:
        answer = await platform.post(created(body=body, author=author, author_name=author))
        waiting.append(answer.json()["waiting_since"] is not None)
    assert waiting == [True, True, False]
    said = (await tenant.get("/conversations/chat-1/messages"))["items"]
    assert [(each["author_kind"], each["body"]) for each in said] == sent


async def test_many_at_once_each_by_itself(tenant: Tenant, platform: Platform) -> None:
    rows = [created()["data"], {"conversation": "chat-1"}, created(channel="sms")["data"], created("chat-2")["data"]]
    answer = await platform.post({"type": "messages.created", "data": {"messages": rows}})
    assert answer.status_code == 200, answer.text
    assert [each["status"] for each in answer.json()["rows"]] == ["stored", "refused", "refused", "stored"]
    assert answer.json()["rows"][2]["problem"]["at"] == "channel_id"
    assert {each["external_id"] for each in (await tenant.get("/conversations"))["items"]} == {"chat-1", "chat-2"}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"webhook_id": None}, "webhook-id is missing"),
        ({"webhook_timestamp": None}, "webhook-timestamp is missing"),
        ({"webhook_signature": None}, "webhook-signature is missing"),
        ({"webhook_timestamp": "noon"}, "no time"),
        ({"webhook_timestamp": "nan"}, "no time"),
        ({"webhook_timestamp": "inf"}, "no time"),
        ({"webhook_timestamp": -301}, "five minutes"),
        ({"webhook_timestamp": 400}, "five minutes"),
        ({"webhook_timestamp": 60}, "No secret"),  # another than was signed
        ({"webhook_signature": "v1,AAAA"}, "No secret"),
        ({"webhook_signature": "v1"}, "No secret"),
        ({"webhook_signature": "v1,not base64!"}, "No secret"),
        ({"webhook_signature": "v1a,AAAA nonsense,"}, "No secret"),
    ],
)
async def test_what_is_not_signed_is_refused_with_the_reason(
    tenant: Tenant, platform: Platform, how: dict[str, str | int | None], words: str
) -> None:
    """A number is seconds from now."""
    now = int(time.time())
    headers = {
        name.replace("webhook_", "webhook-"): str(now + value) if isinstance(value, int) else value
        for name, value in how.items()
    }
    body = json.dumps(created()).encode()
    right = Webhook(platform.secret).sign("msg_1", datetime.fromtimestamp(now, UTC), body.decode())
    sent = {"webhook-id": "msg_1", "webhook-timestamp": str(now), "webhook-signature": right} | headers
    kept = {name: value for name, value in sent.items() if value is not None}
    path = f"/api/v1/channels/{platform.channel_id}/webhook"
    answer = await platform.http.post(path, content=body, headers={"content-type": "application/json", **kept})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_signature"), answer.text
    assert words in answer.json()["detail"]
    assert (await tenant.get("/conversations"))["items"] == []


async def test_old_and_new_secret_count_while_rotating_and_others_never(tenant: Tenant, platform: Platform) -> None:
    path = f"/channels/{platform.channel_id}/secrets"
    newer = await tenant.post(path, {"old_for": "PT1H"})
    new = Platform(platform.http, platform.channel_id, newer["secret"])
    for each in (platform, new):
        assert (await each.post(created())).status_code == 201
    listed = await tenant.get(path)
    assert [(each["id"] == newer["id"], each["expires_at"] is None) for each in listed] == [
        (True, True),
        (False, False),
    ]
    assert platform.secret not in str(listed)
    assert (await tenant.call("DELETE", f"{path}/{listed[1]['id']}")).status_code == 204
    assert [(await each.post(created())).status_code for each in (platform, new)] == [401, 201]
    stranger = await new_platform(await new_tenant(tenant.client))
    mixed = Platform(platform.http, platform.channel_id, stranger.secret)
    nowhere = Platform(platform.http, str(uuid4()), stranger.secret)
    refusals = [(await each.post(created())).json() for each in (mixed, nowhere)]
    assert refusals[0] == refusals[1], "a channel that is not there must not be told from one that is"


async def test_a_secret_is_said_once_and_written_nowhere(
    settings: Settings, tenant: Tenant, platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    path = f"/channels/{platform.channel_id}/secrets"
    given = f"whsec_{'QUJD' * 10}"
    made = await tenant.post(path, {"keep_old": True}, key="k")
    answers = [made, await tenant.post(path, {"keep_old": True}, key="k")]
    answers.append(await tenant.post(path, {"secret": given, "keep_old": True}))
    assert [each["secret"] is None for each in answers] == [False, True, True]
    for platform_secret in (platform.secret, made["secret"], given):
        assert (await Platform(platform.http, platform.channel_id, platform_secret).post(created())).is_success
    secrets = [platform.secret, made["secret"], given]
    shown = json.dumps(
        [await tenant.get(path), await tenant.get("/channels"), await tenant.get("/audit-log")], default=str
    )
    with psycopg.connect(settings.psycopg_url) as owner:
        for table in ("channel_secrets", "idempotent_requests", "audit_log", "channels", "live_events"):
            shown += str(owner.execute(f"SELECT * FROM {table}").fetchall())
    logged = capfd.readouterr()
    for secret in secrets:
        assert secret not in shown + logged.out + logged.err
        assert secret.removeprefix("whsec_") not in shown
    assert "signing made" in json.dumps(await tenant.get("/audit-log"))


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ({"secret": "whsec_c2hvcnQ="}, "secret"),
        ({"secret": "not base64 at all"}, "secret"),
        ({"purpose": "chatwoot_token", "secret": "token-of-somebody"}, "purpose"),
    ],
)
async def test_what_is_no_secret_of_such_a_channel_is_refused(
    tenant: Tenant, platform: Platform, document: Json, at: str
) -> None:
    refusal = await tenant.call("POST", f"/channels/{platform.channel_id}/secrets", document)
    assert (refusal.status_code, refusal.json()["at"]) == (422, at)
    assert document["secret"] not in refusal.text


async def test_a_channel_has_few_secrets(tenant: Tenant, platform: Platform) -> None:
    path = f"/channels/{platform.channel_id}/secrets"
    answers = [await tenant.call("POST", path, {"keep_old": True}) for _ in range(MOST)]
    assert [each.status_code for each in answers] == [201] * (MOST - 1) + [409]
    assert len(await tenant.get(path)) == MOST
    assert (await tenant.call("DELETE", f"/channels/{platform.channel_id}")).status_code == 204


async def test_one_webhook_id_is_one_content(platform: Platform) -> None:
    document = created()
    assert (await platform.post(document, webhook_id="msg_1")).status_code == 201
    assert (await platform.post(document, webhook_id="msg_1")).status_code == 200
    other = await platform.post(created(), webhook_id="msg_1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    changed = {**document, "data": {**document["data"], "body": "Something else"}}
    assert (await platform.post(changed)).json()["external_id"] == document["data"]["external_id"]


@pytest.mark.parametrize(
    ("document", "at"),
    [
        ({"type": "message.deleted", "data": {}}, "body"),
        ({"type": "message.created", "data": {"conversation": "chat-1"}}, "body/message.created/data/external_id"),
        ({"type": "messages.created", "data": {"messages": []}}, "body/messages.created/data/messages"),
        ({**created(), "extra": 1}, "body/message.created/extra"),
        ([], "body"),
    ],
)
async def test_what_is_signed_and_not_valid_says_where(platform: Platform, document: Any, at: str) -> None:
    answer = await platform.post(document)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
    assert at in [each["at"] for each in answer.json()["errors"]]


async def test_a_message_of_another_channel_and_a_body_beyond_the_limit_are_refused(
    tenant: Tenant, platform: Platform
) -> None:
    other = await new_platform(tenant)
    refusal = await platform.post(created(channel_id=other.channel_id))
    assert (refusal.status_code, refusal.json()["at"]) == (422, "channel_id")
    assert (await platform.post(created(channel_id=platform.channel_id))).status_code == 201
    assert (await platform.post(created(body="a" * 1_000_001))).status_code == 413
    assert (await platform.post(b"\xff\xfe")).status_code in (401, 422)
    long_id = await platform.post(created(), webhook_id="m" * 201)
    assert (long_id.status_code, long_id.json()["at"]) == (422, "webhook-id")


async def test_a_channel_of_chatwoot_has_another_door(tenant: Tenant) -> None:
    settings = {"connector": "chatwoot", "base_url": "https://chat.example.com", "account_id": 1}
    made = await tenant.post("/channels", {"kind": "webchat", "name": "C", "settings": settings})
    secret = f"whsec_{'QUJD' * 10}"
    await tenant.post(f"/channels/{made['id']}/secrets", {"secret": secret})
    assert (await Platform(tenant.client, made["id"], secret).post(created())).status_code == 401
