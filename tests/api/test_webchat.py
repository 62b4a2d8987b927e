"""The built-in web chat as a visitor's browser uses it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select
from sse_starlette.sse import AppStatus, _get_shutdown_state

from api.webchat import Visit, read_token, write_token
from api.webchat_feed import MOST_STREAMS
from db.deliveries import message_to_come
from db.engine import make_engine, make_sessions
from db.models import Delivery, Message
from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, escalation_event
from tests.api.running import serving, settings_for
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

SHOP = "https://shop.example"


@pytest.fixture(scope="module", autouse=True)
async def no_watcher_stays() -> AsyncIterator[None]:
    """The library keeps one task a process that looks out for its end; here it would outlive the tests."""
    yield
    AppStatus.should_exit = True
    await eventually(lambda: not _get_shutdown_state().watcher_started)
    AppStatus.should_exit = False


@dataclass(frozen=True)
class Widget:
    """What a page holds: the channel's id, and the token once the chat is open."""

    http: httpx.AsyncClient
    channel_id: str
    token: str = ""

    async def call(self, method: str, path: str, document: Json | None = None, **others: Any) -> httpx.Response:
        headers = {"Origin": SHOP, **others.pop("headers", {})}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return await self.http.request(
            method, f"/api/v1/webchat/{self.channel_id}/{path}", json=document, headers=headers, **others
        )

    async def opened(self, **document: Any) -> "Widget":
        answer = await self.call("POST", "visits", document)
        assert answer.status_code == 200, answer.text
        return replace(self, token=answer.json()["token"])

    async def say(self, body: str = "Hello?", **fields: Any) -> Json:
        answer = await self.call("POST", "messages", {"client_id": f"c-{uuid4()}", "body": body, **fields})
        assert answer.is_success, answer.text
        said: Json = answer.json()
        return said

    async def read(self, **params: Any) -> Json:
        answer = await self.call("GET", "messages", params=params)
        assert answer.status_code == 200, answer.text
        page: Json = answer.json()
        return page

    @asynccontextmanager
    async def following(self, last_id: str | None = None) -> AsyncIterator[Callable[[], Awaitable[tuple[str, Json]]]]:
        """Gives the next event of the stream, which has begun when this is entered."""
        headers = {"Authorization": f"Bearer {self.token}", "Origin": SHOP}
        if last_id:
            headers["Last-Event-ID"] = last_id
        path = f"/api/v1/webchat/{self.channel_id}/events"
        async with self.http.stream("GET", path, headers=headers, timeout=20) as answer:
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == SHOP
            lines = answer.aiter_lines()

            async def following_one() -> tuple[str, Json]:
                fields: dict[str, str] = {}
                async for line in lines:
                    name, _, value = line.partition(": ")
                    if not line and "data" in fields:
                        return fields["event"], json.loads(fields["data"])
                    if name:
                        fields[name] = value
                raise AssertionError("the stream has ended")

            assert (await following_one())[0] == "hello"
            yield following_one


async def webchat_channel(tenant: Tenant, *origins: str) -> str:
    settings = {"allowed_origins": list(origins or (SHOP,))}
    made = await tenant.post("/channels", {"kind": "webchat", "name": f"Chat {uuid4()}", "settings": settings})
    return str(made["id"])


@pytest.fixture
async def widget(http: httpx.AsyncClient, tenant: Tenant) -> Widget:
    return Widget(http, await webchat_channel(tenant))


def visit_of(widget: Widget, settings: Settings) -> Visit:
    visit = read_token(widget.token, UUID(widget.channel_id), settings)
    assert visit is not None
    return visit


async def test_a_visitor_who_asks_for_a_person_gets_a_ticket(
    settings: Settings, tenant: Tenant, widget: Widget
) -> None:
    await escalation_event(tenant, {"human_requested": True}, "Asks", actions={"create_ticket": True})
    visitor = await widget.opened()
    assert (await tenant.get("/conversations"))["items"] == [], "nothing is stored before something is said"
    said = await visitor.say(ASKS_FOR_A_PERSON, name="A visitor", email="visitor@example.com")
    assert set(said) == {"id", "client_id", "author", "author_name", "body", "sent_at"}, "no readings, no decisions"
    [conversation] = (await tenant.get("/conversations"))["items"]
    assert (conversation["channel"], conversation["channel_id"]) == ("webchat", widget.channel_id)
    assert conversation["external_id"] == visit_of(visitor, settings).conversation
    ticket = await eventually(lambda: tenant.get(f"/tickets/{conversation['ticket_id']}"))
    assert (ticket["requester"]["name"], ticket["requester"]["email"]) == ("A visitor", "visitor@example.com")


async def test_a_message_is_said_once_for_its_client_id(widget: Widget) -> None:
    visitor = await widget.opened()
    document = {"client_id": "c-1", "body": "Hello?"}
    first, second = [await visitor.call("POST", "messages", document) for _ in range(2)]
    assert (first.status_code, second.status_code, second.headers["Idempotency-Replayed"]) == (201, 200, "true")
    assert first.json() == second.json()
    assert first.json()["client_id"] == "c-1"
    assert [each["client_id"] for each in (await visitor.read())["items"]] == ["c-1"]


async def test_a_visitor_comes_back_and_begins_anew(settings: Settings, tenant: Tenant, widget: Widget) -> None:
    visitor = await widget.opened()
    await visitor.say("Hello?")
    documents: list[Json] = [{"token": visitor.token}, {"token": visitor.token, "anew": True}, {"token": "nonsense"}]
    answers = [(await widget.call("POST", "visits", each)).json() for each in documents]
    assert [each["resumed"] for each in answers] == [True, False, False]
    back, anew, other = [replace(widget, token=each["token"]) for each in answers]
    assert [each["body"] for each in (await back.read())["items"]] == ["Hello?"]
    assert (await anew.read()) == {"items": [], "more": False, "handled_by": None}
    await anew.say("Something else")
    await other.say("Me, too")
    visits = [visit_of(each, settings) for each in (visitor, back, anew, other)]
    assert [each.visitor_id == visits[0].visitor_id for each in visits] == [True, True, True, False]
    assert len({each.chat_id for each in visits}) == 3
    requesters = {each["requester_id"] for each in (await tenant.get("/conversations"))["items"]}
    assert len(requesters) == 2


async def test_what_was_said_since_is_read_in_order(widget: Widget) -> None:
    visitor = await widget.opened()
    said = [(await visitor.say(f"Line {number}"))["id"] for number in range(5)]
    everything = await visitor.read()
    assert [each["id"] for each in everything["items"]] == said
    assert everything["handled_by"] == "bot"
    page = await visitor.read(after=said[0], limit=2)
    assert ([each["id"] for each in page["items"]], page["more"]) == (said[1:3], True)
    rest = await visitor.read(after=said[2])
    assert ([each["id"] for each in rest["items"]], rest["more"]) == (said[3:], False)
    assert [each["id"] for each in (await visitor.read(limit=2))["items"]] == said[3:], "the latest ones"
    unknown = await visitor.call("GET", "messages", params={"after": str(uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "invalid_cursor")


async def test_what_is_said_comes_live_from_whoever_says_it(settings: Settings, tenant: Tenant, widget: Widget) -> None:
    visitor = await widget.opened()
    async with visitor.following() as received:
        own = await visitor.say("Hello?")
        assert (await received())[1] == own
        conversation = visit_of(visitor, settings).conversation
        document = {"external_id": "b-1", "author": "bot", "body": "How can I help?", "author_name": "Bot"}
        await tenant.post(f"/conversations/{conversation}/messages", document)
        kind, answer = await received()
        assert (kind, answer["author"], answer["body"], answer["client_id"]) == (
            "message",
            "bot",
            "How can I help?",
            None,
        )
    missed = await visitor.say("Are you there?")
    async with visitor.following(answer["id"]) as received:
        seen = [(await received())[1]["id"] for _ in range(2)]
    assert seen[-1] == missed["id"], "what was missed comes first, after what may be missing before it"
    assert own["id"] in seen
    async with visitor.following() as received:
        newest = await visitor.say("Still here")
        assert (await received())[1] == newest, "without an id: what comes from now on"


async def test_an_answer_counts_as_delivered_once_it_was_read(
    settings: Settings, tenant: Tenant, widget: Widget
) -> None:
    visitor = await widget.opened()
    await visitor.say("Hello?")
    engine = make_engine(settings)
    sessions = make_sessions(engine)
    visit = visit_of(visitor, settings)

    async def answer(body: str) -> UUID | None:
        now = datetime.now(UTC)
        async with sessions.begin() as session:
            message = Message(
                id=uuid4(),
                organization_id=UUID(tenant.id),
                conversation_id=visit.conversation_id,
                external_id=f"reply-{body}",
                author_kind="agent",
                author_name="Ana",
                body=body,
                sent_at=now,
                created_at=now,
            )
            session.add(message)
            await session.flush()
            return await message_to_come(session, message)

    async def state(delivery_id: UUID | None) -> str:
        async with sessions() as session:
            found = await session.scalar(select(Delivery.state).where(Delivery.id == delivery_id))
            return str(found)

    first = await answer("I am here")
    assert await state(first) == "pending"
    shown = (await visitor.read())["items"][-1]
    assert (shown["author"], shown["author_name"], shown["body"]) == ("agent", "Ana", "I am here")
    assert await state(first) == "sent"
    async with visitor.following() as received:
        second = await answer("Still here")
        assert (await received())[1]["body"] == "Still here"
    await eventually(lambda: _is(state, second, "sent"))
    await engine.dispose()


async def _is(state: Callable[[UUID | None], Awaitable[str]], delivery_id: UUID | None, wanted: str) -> bool:
    return await state(delivery_id) == wanted


async def test_a_token_opens_one_conversation_of_one_channel(
    http: httpx.AsyncClient, settings: Settings, tenant: Tenant, widget: Widget
) -> None:
    mine, theirs = await widget.opened(), await widget.opened()
    await mine.say("My secret")
    assert (await theirs.read())["items"] == []
    stranger = await new_tenant(http)
    other = Widget(http, await webchat_channel(tenant))
    foreign = Widget(http, await webchat_channel(stranger))
    for elsewhere in (replace(other, token=mine.token), replace(foreign, token=mine.token)):
        for method, path in (("GET", "messages"), ("POST", "messages"), ("GET", "events")):
            document = {"client_id": "c", "body": "x"} if method == "POST" else None
            refusal = await elsewhere.call(method, path, document)
            assert (refusal.status_code, refusal.json()["code"]) == (401, "unauthorized")
    body, dot, signature = mine.token.rpartition(".")
    visit = visit_of(mine, settings)
    others_secret = settings.model_copy(update={"secret_key": type(settings.secret_key)("1" * 32)})
    for token in (
        "",
        "nonsense",
        f"{body}{dot}{signature[:-4]}AAAA",
        write_token(visit, others_secret)[0],
        write_token(replace(visit, organization_id=UUID(stranger.id)), settings)[0],  # the channel is not theirs
    ):
        assert (await replace(widget, token=token).call("GET", "messages")).status_code == 401
    assert (await tenant.call("GET", "/tickets", headers={"Authorization": f"Bearer {mine.token}"})).status_code == 401
    assert (await replace(widget, token=tenant.key).call("GET", "messages")).status_code == 401


async def test_a_token_ends(settings: Settings, widget: Widget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.webchat.LASTS", timedelta(seconds=-1))
    assert (await (await widget.opened()).call("GET", "messages")).status_code == 401


async def test_only_pages_of_the_channels_list_may_ask(http: httpx.AsyncClient, tenant: Tenant, widget: Widget) -> None:
    visits = f"/api/v1/webchat/{widget.channel_id}/visits"
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = await http.options(visits, headers={"Origin": SHOP, **asking})
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "authorization" in preflight.headers["access-control-allow-headers"].casefold()
    assert "access-control-allow-credentials" not in preflight.headers
    allowed = await http.post(visits, json={}, headers={"Origin": SHOP})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "origin" in allowed.headers["vary"].casefold()
    for origin in ("https://evil.example", "http://shop.example", "https://shop.example:8443", "null"):
        for answer in (
            await http.options(visits, headers={"Origin": origin, **asking}),
            await http.post(visits, json={}, headers={"Origin": origin}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in answer.headers
    assert (await http.post(visits, json={})).status_code == 200, "a program has no origin"
    other = await webchat_channel(tenant, "https://other.example")
    refusal = await http.post(f"/api/v1/webchat/{other}/visits", json={}, headers={"Origin": SHOP})
    assert refusal.status_code == 403
    for path in ("/api/v1/tickets", "/api/v1/sign-in"):
        assert "access-control-allow-origin" not in (await http.get(path, headers={"Origin": SHOP})).headers


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://shop.example/", "https://shop.example"),
        ("https://Shop.example:443", "https://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://shop.example/page", None),
        ("shop.example", None),
        ("*", None),
        ("null", None),
        ("https://user@shop.example", None),
        ("https://shop.example:port", None),
        ("ftp://shop.example", None),
    ],
)
async def test_origins_are_kept_as_browsers_write_them(tenant: Tenant, given: str, kept: str | None) -> None:
    document = {"kind": "webchat", "name": "A", "settings": {"allowed_origins": [given]}}
    answer = await tenant.call("POST", "/channels", document)
    if kept is None:
        assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, "body/settings/allowed_origins/0")
    else:
        assert answer.json()["settings"] == {"allowed_origins": [kept]}


async def test_what_is_no_open_web_chat_is_not_there(http: httpx.AsyncClient, tenant: Tenant) -> None:
    closed: list[Json] = [
        {"kind": "webchat", "name": "A platform's", "settings": {"reply_url": "https://example.com"}},
        {"kind": "webchat", "name": "Closed"},
        {"kind": "whatsapp", "name": "Another kind"},
    ]
    ids = [(await tenant.post("/channels", each))["id"] for each in closed]
    for channel_id in (*ids, str(uuid4())):
        answer = await http.post(f"/api/v1/webchat/{channel_id}/visits", json={})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_web_chat_that_is_closed_takes_nothing_more(tenant: Tenant, widget: Widget) -> None:
    visitor = await widget.opened()
    await visitor.say()
    path = f"/channels/{widget.channel_id}"
    name = (await tenant.get(path))["name"]
    await tenant.call("PUT", path, {"kind": "webchat", "name": name})
    answer = await visitor.http.get(
        f"/api/v1/webchat/{widget.channel_id}/messages", headers={"Authorization": f"Bearer {visitor.token}"}
    )
    assert (answer.status_code, answer.json()["detail"]) == (401, "This web chat is closed.")


@pytest.mark.parametrize(
    "document",
    [
        {"client_id": "c", "body": ""},
        {"client_id": "c", "body": "a" * 20_001},
        {"client_id": "", "body": "x"},
        {"client_id": "c" * 101, "body": "x"},
        {"client_id": "c", "body": "x\x00"},
        {"client_id": "c", "body": "x", "author": "agent"},
        {"client_id": "c", "body": "x", "email": "nobody"},
    ],
)
async def test_a_visitor_says_what_is_valid_and_only_as_themselves(widget: Widget, document: Json) -> None:
    visitor = await widget.opened()
    answer = await visitor.call("POST", "messages", document)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_erased_words_are_not_shown(tenant: Tenant, widget: Widget) -> None:
    visitor = await widget.opened()
    await visitor.say("My secret", name="A visitor")
    [conversation] = (await tenant.get("/conversations"))["items"]
    erasure = (await tenant.call("DELETE", f"/requesters/{conversation['requester_id']}")).json()
    await tenant.finished(f"/erasures/{erasure['id']}")
    assert (await visitor.read())["items"] == []


async def test_a_visitor_who_sends_too_much_and_a_network_that_opens_too_many_wait(
    new_database: Callable[[], str],
) -> None:
    limited = settings_for(new_database(), "127.0.0.1:1", visitor_rate_limit=3, stranger_rate_limit=4)
    async with serving(limited) as http:
        tenant = await new_tenant(http)
        widget = Widget(http, await webchat_channel(tenant))
        visitor = await widget.opened()
        answers = [await visitor.call("GET", "messages") for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert int(answers[-1].headers["Retry-After"]) > 0
        opened = [(await widget.call("POST", "visits", {})).status_code for _ in range(4)]
        assert opened == [200, 200, 200, 429]
        unsigned = await http.post(f"/api/v1/channels/{widget.channel_id}/webhook", json={})
        assert unsigned.status_code == 429, "the same network's bucket"


async def test_a_conversation_has_few_open_streams(widget: Widget) -> None:
    visitor = await widget.opened()
    async with asyncio.TaskGroup() as group:
        enough = asyncio.Event()
        open_now = 0

        async def hold() -> None:
            nonlocal open_now
            async with visitor.following():
                open_now += 1
                await enough.wait()

        for _ in range(MOST_STREAMS):
            group.create_task(hold())
        await eventually(lambda: open_now == MOST_STREAMS)
        refusal = await visitor.call("GET", "events")
        enough.set()
    assert (refusal.status_code, refusal.json()["code"]) == (409, "limit_reached")
