import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
from sse_starlette.sse import AppStatus, _get_shutdown_state

from api.listener import Listener
from api.live_feed import LONGEST_QUEUE, LiveFeed, Resync, Stream
from db.engine import Sessions, make_engine, make_reads, make_sessions
from db.live_events import Happening, Position, publish
from settings import Settings
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


@asynccontextmanager
async def following(tenant: Tenant, last_id: str | None = None) -> AsyncIterator[Next]:
    """Gives the next event of a stream; the stream has begun when this is entered."""
    headers = {**tenant.authorization, **tenant.headers, **({"Last-Event-ID": last_id} if last_id else {})}
    async with tenant.client.stream("GET", "/api/v1/events", headers=headers, timeout=20) as answer:
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
            raise AssertionError("the stream has ended")

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
    async with feed.stream(organization, None, None) as stream:
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
    async with feed.stream(organization, None, started) as again:
        assert await numbers(again, 2) == [1, 2]


async def test_slow_client_is_told_to_read_anew(feed: LiveFeed, tenant: Tenant) -> None:
    stream = Stream(UUID(tenant.id), None, Position(1, 0))
    for number in range(LONGEST_QUEUE + 2):
        happening = Happening(Position(2, number), stream.organization_id, None, "ticket", {"number": number}, NOW)
        stream.offer(happening)
        assert len(stream.waiting) <= LONGEST_QUEUE
    assert await numbers(stream, 1) == ["resync"]
    assert stream.position == Position(2, LONGEST_QUEUE + 1)
