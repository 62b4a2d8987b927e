"""Agents' answers go out by the conversation's channel, and say what has become of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook
from temporalio.client import Client

from embedded.temporal import EmbeddedTemporal
from tests.api.running import serving, settings_for, working
from tests.api.tenant import Json, Tenant, new_tenant
from tests.api.test_live_events import following
from tests.receiver import Does, Receiver, receiver
from tests.support import eventually


@pytest.fixture(scope="module")
async def open_door(
    new_database: Callable[[], str], temporal_server: EmbeddedTemporal, temporal_client: Client
) -> AsyncIterator[httpx.AsyncClient]:
    """A Baton that may send to this machine."""
    settings = settings_for(
        new_database(),
        temporal_server.address,
        webhook_private_addresses=True,
        webhook_timeout=timedelta(seconds=1),
    )
    async with working(temporal_client, settings), serving(settings) as client:
        yield client


@pytest.fixture
async def desk(open_door: httpx.AsyncClient) -> Tenant:
    return await new_tenant(open_door)


@pytest.fixture
async def platform() -> AsyncIterator[Receiver]:
    async with receiver() as it:
        yield it


async def conversation(desk: Tenant, platform: Receiver | None, *, secret: bool = True) -> Json:
    """One on a channel that is answered at the platform; ``signed_with`` is its secret."""
    settings = {"reply_url": platform.url} if platform else {}
    channel = await desk.post("/channels", {"kind": "whatsapp", "name": str(uuid4()), "settings": settings})
    made = await desk.post(f"/channels/{channel['id']}/secrets", {}) if secret else {"secret": None}
    external_id = f"chat-{uuid4()}"
    message = {"external_id": "m-1", "author": "customer", "body": "Hello?", "channel_id": channel["id"]}
    taken = await desk.post(f"/conversations/{external_id}/messages", message)
    return {
        "id": taken["conversation_id"],
        "external_id": external_id,
        "channel_id": channel["id"],
        "signed_with": made["secret"],
    }


async def becomes(desk: Tenant, delivery: Json, state: str) -> Json:
    async def has_become() -> Json:
        found: Json = await desk.get(f"/deliveries/{delivery['id']}")
        assert found["state"] == state, found
        return found

    return await eventually(has_become, 30)


async def test_an_answer_goes_out_once_and_says_so(desk: Tenant, platform: Receiver) -> None:
    held = await conversation(desk, platform)
    path, agent = f"/conversations/{held['external_id']}/replies", await desk.member()
    answers = await asyncio.gather(
        *(desk.acting_for(agent).call("POST", path, {"body": "On its way."}, key="one") for _ in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    said = answers[0].json()
    assert (said["author_kind"], said["author_id"], said["ticket_id"]) == ("agent", agent["id"], None)
    found = await becomes(desk, said["delivery"], "sent")
    assert [each["outcome"] for each in found["attempts"]] == ["sent"]
    assert (found["provider_id"], found["next_attempt_at"]) == ("their-1", None)
    assert platform.said() == ["On its way."]
    [got] = platform.requests
    Webhook(held["signed_with"]).verify(got.body, got.headers)
    listed = await desk.get(f"/conversations/{held['external_id']}/messages")
    assert [each["delivery"] and each["delivery"]["state"] for each in listed["items"]] == [None, "sent"]
    [listed] = (await desk.get("/deliveries", state="sent", conversation_id=held["id"]))["items"]
    assert listed == found
    waits = await desk.get(f"/conversations/{held['external_id']}")
    assert waits["waiting_since"] is None, "the customer is answered"


async def test_a_failing_receiver_gets_an_answer_when_it_is_well_again(
    desk: Tenant, platform: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.delivery.FIRST_WAIT", timedelta(seconds=0.2))
    held = await conversation(desk, platform)
    platform.will([Does.FAIL])
    said = await desk.post(f"/conversations/{held['external_id']}/replies", {"body": "On its way."})
    found = await becomes(desk, said["delivery"], "sent")
    assert [(each["outcome"], each["reason"]) for each in found["attempts"]] == [
        ("try_again", "The receiver answered 500."),
        ("sent", None),
    ]
    assert platform.said() == ["On its way."]


async def test_what_was_refused_is_sent_again_by_hand_under_its_key(desk: Tenant, platform: Receiver) -> None:
    held = await conversation(desk, platform)
    platform.will([Does.REFUSE])
    said = await desk.post(f"/conversations/{held['external_id']}/replies", {"body": "On its way."})
    found = await becomes(desk, said["delivery"], "failed")
    assert (found["reason"], found["tried"]) == ("The receiver answered 410.", 1)
    again = await desk.post(f"/deliveries/{found['id']}/send-again")
    assert (again["state"], again["finished_at"]) == ("pending", None)
    await becomes(desk, said["delivery"], "sent")
    assert len({got.id for got in platform.requests}) == 1
    refusal = await desk.call("POST", f"/deliveries/{found['id']}/send-again")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "already_delivered")


async def test_a_person_need_not_wait_for_the_next_attempt(desk: Tenant, platform: Receiver) -> None:
    held = await conversation(desk, platform)
    path = f"/conversations/{held['external_id']}/replies"
    platform.will([Does.PUT_OFF, Does.PUT_OFF])
    first, second, third = [(await desk.post(path, {"body": body}))["delivery"] for body in ("One", "Two", "Three")]

    async def put_off(times: int) -> bool:
        found = await desk.get(f"/deliveries/{first['id']}")
        return (found["tried"], found["reason"]) == (times, "The receiver answered 429.")

    assert await eventually(lambda: put_off(1), 20)
    await desk.post(f"/deliveries/{first['id']}/send-again")
    assert await eventually(lambda: put_off(2), 20), "it is tried at once, and not in an hour"
    given_up = await desk.post(f"/deliveries/{first['id']}/give-up")
    assert (given_up["state"], given_up["reason"]) == ("failed", "The receiver answered 429.")
    for delivery in (second, third):
        await becomes(desk, delivery, "sent")
    assert platform.said() == ["Two", "Three"]
    assert (await desk.get("/deliveries", state="failed"))["items"][0]["id"] == first["id"]
    refusal = await desk.call("POST", f"/deliveries/{second['id']}/give-up")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "already_delivered")


async def test_an_answer_tells_the_conversations_ticket(desk: Tenant, platform: Receiver) -> None:
    await desk.post(
        "/escalation-events",
        {
            "name": "Asked for a person",
            "conditions": {"human_requested": True},
            "actions": {"create_ticket": True},
        },
    )
    held = await conversation(desk, platform)
    asks = {"external_id": "m-2", "author": "customer", "body": "Let me talk to a human!"}
    ticket_id = (await desk.post(f"/conversations/{held['external_id']}/messages", asks))["ticket_id"]
    said = await desk.post(f"/conversations/{held['external_id']}/replies", {"body": "Here I am."})
    assert said["ticket_id"] == ticket_id
    ticket = await desk.becomes({"id": ticket_id}, "in_progress")
    assert ticket["unanswered_since"] is None
    by_ticket = await desk.message(ticket, author="agent", body="And again.")
    await becomes(desk, by_ticket.json()["delivery"], "sent")
    assert platform.said() == ["Here I am.", "And again."]

    for step in ("resolved", "closed"):
        ticket = await desk.post(f"/tickets/{ticket_id}/status", {"to": step, "tell_customer": False})
    late = await desk.post(f"/conversations/{held['external_id']}/replies", {"body": "One more thing."})
    await becomes(desk, late["delivery"], "sent")
    assert (await desk.reload(ticket))["status"] == "closed"


async def test_nothing_is_to_be_sent_where_there_is_no_way_or_it_was_said_already(
    desk: Tenant, platform: Receiver
) -> None:
    nowhere, held = await conversation(desk, None), await conversation(desk, platform)
    for known_as, more in ((nowhere["external_id"], {}), (held["external_id"], {"deliver": False})):
        said = await desk.post(f"/conversations/{known_as}/replies", {"body": "Hello."} | more)
        assert said["delivery"] is None
    by_platform = {"external_id": "m-9", "author": "agent", "body": "Said on the platform."}
    await desk.post(f"/conversations/{held['external_id']}/messages", by_platform)
    assert (await desk.get("/deliveries"))["items"] == []
    missing = await desk.call("POST", "/conversations/nobody/replies", {"body": "Hello."})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (await desk.get("/conversations"))["items"][-1]["external_id"] != "nobody"


async def test_another_answer_under_the_same_key_is_refused(desk: Tenant, platform: Receiver) -> None:
    path = f"/conversations/{(await conversation(desk, platform))['external_id']}/replies"
    await desk.post(path, {"body": "One."}, key="k")
    refusal = await desk.call("POST", path, {"body": "Two."}, key="k")
    assert (refusal.status_code, refusal.json()["code"]) == (422, "idempotency_key_reused")


async def test_without_a_secret_an_answer_waits_and_a_new_secret_is_shown_once(
    desk: Tenant, platform: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.delivery.FIRST_WAIT", timedelta(seconds=0.2))
    held = await conversation(desk, platform, secret=False)
    said = await desk.post(f"/conversations/{held['external_id']}/replies", {"body": "Hello."})

    async def waits() -> bool:
        return "no secret" in str((await desk.get(f"/deliveries/{said['delivery']['id']}"))["reason"])

    assert await eventually(waits, 20)
    path = f"/channels/{held['channel_id']}/secrets"
    first, again = [(await desk.call("POST", path, {"old_for": None}, key="k")).json() for _ in range(2)]
    assert (first["secret"][:6], again["secret"], first["old_until"]) == ("whsec_", None, None)
    assert (await desk.call("POST", path, {})).json()["old_until"] is not None
    await becomes(desk, said["delivery"], "sent")
    assert first["secret"] not in (await desk.call("GET", "/channels")).text


async def test_what_a_ticket_says_by_itself_goes_out_by_its_channel(desk: Tenant, platform: Receiver) -> None:
    held = await conversation(desk, platform)
    requester = {"external_id": "customer-1", "name": "Sam", "language": "es"}
    ticket = await desk.ticket(channel_id=held["channel_id"], requester=requester)
    assert ticket["channel"] == "whatsapp"
    for _ in range(2):
        await desk.post(f"/tickets/{ticket['id']}/status", {"to": "resolved"}, key="resolve")
    [said] = (await desk.get(f"/tickets/{ticket['id']}/messages"))["items"]
    await becomes(desk, said["delivery"], "sent")
    assert platform.said() == [said["body"]]
    assert said["body"].startswith("Hola, Sam:")
    [got] = platform.requests
    assert got.document["data"]["message"]["author"] == "system"
    assert got.document["data"]["ticket"] == {"id": ticket["id"], "number": ticket["number"]}


async def test_a_platform_is_told_who_takes_a_conversation_over_and_who_gives_it_back(
    desk: Tenant, platform: Receiver
) -> None:
    held = await conversation(desk, platform)
    path, member = f"/conversations/{held['external_id']}", await desk.member(name="Ana")
    ana = desk.acting_for(member)
    platform.will([Does.DROP_AFTER])
    taken = await ana.post(f"{path}/takeover", {}, key="mine")
    again = await ana.call("POST", f"{path}/takeover", {}, key="mine")
    assert again.headers["Idempotency-Replayed"] == "true"
    await ana.post(f"{path}/replies", {"body": "I am here."})
    await ana.post(f"{path}/handback", {"note": "Explained it."})

    async def is_told() -> bool:
        return len(platform.taken) == 3

    assert await eventually(is_told, 30)
    told = list(platform.taken.values())
    for got in platform.requests:
        Webhook(held["signed_with"]).verify(got.body, got.headers)
    kinds = [got.document["type"] for got in told]
    assert kinds == ["conversation.handed_over", "message.created", "conversation.handed_back"], "in order, once"
    for got in (told[0], told[2]):
        data = got.document["data"]
        assert data["conversation"]["external_id"] == held["external_id"]
        about = [data["about"][name] for name in ("member_id", "member_name", "escalation_id")]
        assert about == [member["id"], "Ana", taken["id"]]
    assert "Explained it." not in told[2].body, "notes are for colleagues"


async def test_open_pages_are_shown_what_becomes_of_an_answer(desk: Tenant, platform: Receiver) -> None:
    held = await conversation(desk, platform)
    platform.will([Does.FAIL, Does.REFUSE])
    async with following(desk) as received:
        assert (await received()).kind == "hello"
        said = await desk.post(f"/conversations/{held['external_id']}/replies", {"body": "On its way."})
        shown: list[Json] = []
        while len(shown) < 4:
            event = await received()
            if event.kind != "delivery":
                continue
            shown.append(event.data)
            if event.data["state"] == "failed":
                await desk.post(f"/deliveries/{said['delivery']['id']}/send-again", {})
    assert [(each["state"], each["tried"]) for each in shown] == [
        ("pending", 1),  # it is tried again
        ("failed", 2),
        ("pending", 2),  # by hand
        ("sent", 3),
    ]
    about = {(each["delivery_id"], each["message_id"], each["conversation_id"], each["kind"]) for each in shown}
    assert about == {(said["delivery"]["id"], said["id"], held["id"], "message")}
    assert all("reason" not in each for each in shown), "a receiver's words are asked for"
