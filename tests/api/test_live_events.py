import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sse_starlette.sse import AppStatus, _get_shutdown_state

from api.listener import Listener
from api.live_feed import LONGEST_QUEUE, LiveFeed, Resync, Stream
from db.callers import Credentials
from db.engine import Sessions, make_engine, make_reads, make_sessions
from db.live_events import Happening, Position, publish
from settings import Settings
from tests.api.browser import PASSWORD, Browser, browsing, joined
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually
from tests.unit.tickets import NOW


@pytest.fixture(scope="module", autouse=True)
async def no_watcher_stays() -> AsyncIterator[None]:
    """The library keeps one task a process that looks out for its end; here it would outlive the tests."""
    yield
    AppStatus.should_exit = True
    await eventually(lambda: not _get_shutdown_state().watcher_started)
    AppStatus.should_exit = False


@dataclass(frozen=True)
class Received:
    id: str
    kind: str
    data: Json

    @property
    def position(self) -> Position:
        found = Position.read(self.id)
        assert found is not None
        return found


Next = Callable[[], Awaitable[Received]]


NOBODY = Credentials()


def following(tenant: Tenant, last_id: str | None = None) -> AbstractAsyncContextManager[Next]:
    """Gives the next event of the tenant's stream; the stream has begun when this is entered."""
    headers = {**tenant.authorization, **tenant.headers, **({"Last-Event-ID": last_id} if last_id else {})}
    return streaming(tenant.client, headers)


@asynccontextmanager
async def streaming(client: httpx.AsyncClient, headers: Mapping[str, str] | None = None) -> AsyncIterator[Next]:
    """The same for whoever the client or the headers name."""
    async with client.stream("GET", "/api/v1/events", headers=headers, timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()

        async def following_one() -> Received:
            fields: dict[str, str] = {}
            async for line in lines:
                name, _, value = line.partition(": ")
                if not line and "data" in fields:
                    return Received(fields["id"], fields["event"], json.loads(fields["data"]))
                if name:
                    fields[name] = value
            raise EOFError("the stream has ended")

        yield following_one


async def test_changes_come_as_they_happen_in_order_and_after_an_id(tenant: Tenant) -> None:
    async with following(tenant) as received:
        hello = await received()
        assert hello.kind == "hello"
        ticket = await tenant.ticket()
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "waiting"})
        first, second = await received(), await received()
    assert (first.kind, first.data["ticket_id"], first.data["version"], first.data["status"]) == (
        "ticket",
        ticket["id"],
        1,
        "open",
    )
    assert (second.data["version"], second.data["status"]) == (2, "waiting")
    assert hello.position < first.position < second.position
    # Whoever was away gets what they have missed, and then what comes.
    async with following(tenant, hello.id) as received:
        await received()
        assert [(await received()).id for _ in range(2)] == [first.id, second.id]
    async with following(tenant, first.id) as received:
        await received()
        assert (await received()).id == second.id
        another = await tenant.ticket()
        assert (await received()).data["ticket_id"] == another["id"]


async def test_notifications_go_to_their_member_alone_and_nothing_to_strangers(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    ada, ben = await tenant.member(), await tenant.member()
    stranger = await new_tenant(http)
    async with AsyncExitStack() as stack:
        streams = {}
        for name, who in {
            "ada": tenant.acting_for(ada),
            "ben": tenant.acting_for(ben),
            "program": tenant,
            "stranger": stranger,
        }.items():
            streams[name] = await stack.enter_async_context(following(who))
            await streams[name]()
        ticket = await tenant.ticket(assignee_id=ada["id"])
        own = await stranger.ticket()
        last = await tenant.ticket()
        got = [await streams["ada"]() for _ in range(3)]
        assert sorted(each.kind for each in got[:2]) == ["notification", "ticket"]
        [notice] = [each.data for each in got if each.kind == "notification"]
        assert (notice["member_id"], notice["ticket_id"], notice["kind"]) == (
            ada["id"],
            ticket["id"],
            "ticket_assigned",
        )
        for name in ("ben", "program"):
            seen = [await streams[name]() for _ in range(2)]
            assert [(each.kind, each.data["ticket_id"]) for each in seen] == [
                ("ticket", ticket["id"]),
                ("ticket", last["id"]),
            ]
        assert (await streams["stranger"]()).data["ticket_id"] == own["id"]


async def test_id_that_is_not_ours_is_refused_and_one_of_another_life_begins_anew(tenant: Tenant) -> None:
    for wrong in ("x", "1", "1-", "-1", "1-x", "9" * 30 + "-1"):
        answer = await tenant.call("GET", "/events", headers={"Last-Event-ID": wrong})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), wrong
    async with following(tenant, f"{2**62}-1") as received:
        assert [(await received()).kind for _ in range(2)] == ["hello", "resync"]
        await tenant.ticket()
        assert (await received()).kind == "ticket"


async def test_a_hundred_streams_all_get_everything(tenant: Tenant) -> None:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=tenant.client.base_url, trust_env=False, limits=httpx.Limits(max_connections=None)
            )
        )
        many = Tenant(client, tenant.key, tenant.id)
        streams = [await stack.enter_async_context(following(many)) for _ in range(100)]
        await asyncio.gather(*(received() for received in streams))
        tickets = [(await tenant.ticket())["id"] for _ in range(3)]

        async def three(received: Next) -> list[str]:
            return [(await received()).data["ticket_id"] for _ in range(3)]

        assert await asyncio.gather(*map(three, streams)) == [tickets] * 100


# The end


async def ends(received: Next) -> None:
    """Returns when the stream is at its end; fails where it goes on."""
    async with asyncio.timeout(5):
        with suppress(EOFError):
            while True:
                await received()


async def test_stream_ends_with_its_session_and_no_other_does(tenant: Tenant, settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        email = f"{uuid4()}@example.com"
        here, there, other = [await stack.enter_async_context(browsing(tenant.client.base_url)) for _ in range(3)]
        await joined(here, settings, tenant, email)
        await joined(other, settings, tenant, f"{uuid4()}@example.com")
        await there.sign_in(email)

        async def follow(browser: Browser) -> Next:
            received = await stack.enter_async_context(streaming(browser.client))
            assert (await received()).kind == "hello"
            return received

        here_streams, there_streams, untouched = await follow(here), await follow(there), await follow(other)
        assert (await there.call("DELETE", "/session")).status_code == 204
        await ends(there_streams)
        await there.sign_in(email)
        there_streams = await follow(there)
        changed = {"current_password": PASSWORD, "password": f"another {PASSWORD}"}
        assert (await here.call("PUT", "/password", changed)).is_success
        await ends(there_streams)
        ticket = await tenant.ticket()
        for received in (here_streams, untouched):
            assert (await received()).data["ticket_id"] == ticket["id"], "whose session goes on, goes on"
        assert (await here.call("DELETE", "/sessions")).status_code == 204
        await ends(here_streams)
        member = (await other.session())["current"]["member_id"]
        assert (await tenant.call("DELETE", f"/members/{member}")).status_code == 204
        await ends(untouched)


async def test_stream_ends_with_its_key_or_the_member_it_acts_for(tenant: Tenant) -> None:
    ada, ben = await tenant.member(), await tenant.member()
    made = await tenant.post("/api-keys", {"name": "display", "scopes": ["tickets:read"]})
    display = replace(tenant, key=made["key"])
    async with (
        following(display) as shown,
        following(tenant.acting_for(ada)) as to_ada,
        following(tenant.acting_for(ben)) as to_ben,
    ):
        for received in (shown, to_ada, to_ben):
            assert (await received()).kind == "hello"
        assert (await tenant.call("DELETE", f"/api-keys/{made['id']}")).status_code == 204
        await ends(shown)
        await tenant.call("PATCH", f"/members/{ada['id']}", {"status": "disabled"})
        await ends(to_ada)
        ticket = await tenant.ticket()
        assert (await to_ben()).data["ticket_id"] == ticket["id"]
        assert (await display.call("GET", "/events")).status_code == 401


async def test_stream_of_a_key_that_was_revoked_while_it_began_ends(feed: LiveFeed, tenant: Tenant) -> None:
    made = await tenant.post("/api-keys", {"name": "display", "scopes": ["tickets:read"]})
    await tenant.call("DELETE", f"/api-keys/{made['id']}")
    async with feed.stream(UUID(tenant.id), Credentials(key_id=UUID(made["id"])), None) as stream:
        assert await numbers(stream, 1) == []


# Order


@pytest.fixture
async def feed(settings: Settings) -> AsyncIterator[LiveFeed]:
    """A second process' feed of the same database."""
    engine = make_engine(settings)
    listener = Listener(settings)
    it = LiveFeed(listener, make_reads(engine))
    listener.start()
    it.start()
    await eventually(lambda: listener.listening)
    yield it
    await it.stop()
    await listener.stop()
    await engine.dispose()


@pytest.fixture
async def sessions(settings: Settings) -> AsyncIterator[Sessions]:
    engine = make_engine(settings)
    yield make_sessions(engine)
    await engine.dispose()


async def numbers(stream: Stream, count: int) -> list[Any]:
    found = []
    async with asyncio.timeout(10):
        async for each in stream.events():
            found.append("resync" if isinstance(each, Resync) else each.payload["number"])
            if len(found) == count:
                break
    return found


async def test_what_commits_late_is_not_passed_by(feed: LiveFeed, sessions: Sessions, tenant: Tenant) -> None:
    organization = UUID(tenant.id)
    async with feed.stream(organization, NOBODY, None) as stream:
        started = stream.position
        async with sessions() as slow, sessions() as quick:
            await publish(slow, organization, "ticket", {"number": 1})
            await publish(quick, organization, "ticket", {"number": 2})
            await quick.commit()
            # The second is committed and announced, the first is not: none is shown, or the first would come too late.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await numbers(stream, 1)
            await slow.commit()
        assert await numbers(stream, 2) == [1, 2]
    async with feed.stream(organization, NOBODY, started) as again:
        assert await numbers(again, 2) == [1, 2]


async def test_slow_client_is_told_to_read_anew(feed: LiveFeed, tenant: Tenant) -> None:
    stream = Stream(UUID(tenant.id), NOBODY, Position(1, 0))
    for number in range(LONGEST_QUEUE + 2):
        happening = Happening(Position(2, number), stream.organization_id, None, "ticket", {"number": number}, NOW)
        stream.offer(happening)
        assert len(stream.waiting) <= LONGEST_QUEUE
    assert await numbers(stream, 1) == ["resync"]
    assert stream.position == Position(2, LONGEST_QUEUE + 1)
