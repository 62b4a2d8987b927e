import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from temporalio.client import Client

from domain.permissions import Access
from embedded.ports import free_port
from embedded.postgres import EmbeddedPostgres, new_password
from embedded.schema import migrate
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.description import OPERATIONS, PREFIX
from tests.api.running import serving, settings_for, working
from tests.api.tenant import Json, Tenant, new_tenant
from tests.api.things import Things
from tests.support import eventually
from workflows.connection import connect

PATIENCE = timedelta(seconds=1.5)
"""For a command, of an API of which something is taken away."""

DATABASE_PATIENCE = 2 * PATIENCE
"""For a statement: it may wait for one that waits for Temporal."""

SLACK = timedelta(seconds=8)
"""How much longer than a command an answer may take: what the database may, and the rest is for a busy machine."""

FROZEN = timedelta(seconds=16)
"""For a request to a frozen database: what all of its waits may take together, and the driver's own to give it up."""

AT_ONCE = 20
"""Requests, for each of which the API has a connection to Postgres, so that none waits for the others."""

inside = [operation for operation in OPERATIONS if operation.path.startswith(PREFIX)]
WRITES: tuple[tuple[str, str, Json], ...] = (
    ("POST", "/tickets", {"title": "Written in an outage"}),
    ("POST", "/tickets/{ticket_id}/status", {"to": "in_progress"}),
    ("POST", "/tickets/{ticket_id}/escalate", {"reason": "Angry"}),
    ("PATCH", "/tickets/{ticket_id}", {"title": "Edited in an outage"}),
    ("POST", "/tickets/{ticket_id}/messages", {"author": "customer", "body": "Any news?"}),
    ("POST", "/tickets/{ticket_id}/notes", {"body": "Call back."}),
)


@contextmanager
def away(part: EmbeddedPostgres | EmbeddedTemporal, how: str) -> Iterator[None]:
    """The part is stopped, or frozen so that it takes requests and answers none."""
    if how == "stopped":
        part.stop()
        try:
            yield
        finally:
            part.start()
            part.wait_ready()
    else:
        assert part.pid is not None
        group = [part.pid, *_children(part.pid)]
        for pid in group:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in group:
                os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@dataclass(frozen=True)
class Site:
    """Postgres and Temporal that a test may take away, with a worker and two processes of the API on them."""

    postgres: EmbeddedPostgres
    temporal: EmbeddedTemporal
    http: httpx.AsyncClient
    """Of the API that is asked while something is away: soon at the end of its patience."""
    patient: httpx.AsyncClient
    """Of the API by which tests prepare and look, on machines as slow as they may be."""

    async def tenant(self) -> Tenant:
        """A new organization, through the patient API."""
        return await new_tenant(self.patient)

    def asked(self, tenant: Tenant) -> Tenant:
        """The same organization, through the API under test."""
        return replace(tenant, client=self.http)

    async def is_well(self) -> None:
        """Wait until all parts work again; after a while without Temporal a worker asks for work less often."""

        async def works() -> bool:
            for client in (self.http, self.patient):
                if (await client.get("/readyz")).status_code != 200:
                    return False
                tenant = await new_tenant(client)
                ticket = await tenant.call("POST", "/tickets", {"title": "Well?"})
                if ticket.status_code != 201 or "Baton-Read-Model" in ticket.headers:
                    return False
            return True

        assert await eventually(works, 60, every=0.2)


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, refuge: Path) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("outages")
    postgres = EmbeddedPostgres(
        folder / "postgres", free_port(), password=new_password(), log=folder / "p.log", durable=False, refuge=refuge
    )
    temporal = EmbeddedTemporal(folder / "temporal", free_port(), None, log=folder / "t.log")
    try:
        for part in (postgres, temporal):
            part.start()
        for part in (postgres, temporal):
            part.wait_ready()
        migrate(postgres.url)
        patient = settings_for(postgres.url, temporal.address, read_model_wait=timedelta(seconds=10))
        asked = patient.model_copy(
            update={
                "command_timeout": PATIENCE,
                "database_timeout": DATABASE_PATIENCE,
                "database_pool_size": AT_ONCE,
                "read_model_wait": timedelta(seconds=1),
            }
        )
        async with (
            working(await connect(patient), patient),
            serving(asked) as http,
            serving(patient) as looking,
        ):
            yield Site(postgres, temporal, http, looking)
    finally:
        temporal.stop()
        postgres.destroy()


async def all_answers(
    tenant: Tenant, paths: list[tuple[str, str, Any]], key: str | None = None
) -> dict[str, httpx.Response]:
    """What every request is answered with while something is away; none may take longer than its patience."""

    few = asyncio.Semaphore(AT_ONCE)

    async def one(method: str, path: str, document: Any) -> httpx.Response:
        own_key = key and f"{key}-{method}-{path.rsplit('/', 1)[-1]}"
        async with few:
            try:
                async with asyncio.timeout((PATIENCE + SLACK).total_seconds()):
                    return await tenant.call(method, path, document, key=own_key)
            except TimeoutError:
                raise AssertionError(f"{method} {path} was not answered") from None

    answers = await asyncio.gather(*(one(*each) for each in paths))
    return {
        f"{method} {path.partition('?')[0]}": answer for (method, path, _), answer in zip(paths, answers, strict=True)
    }


def assert_away(answer: httpx.Response, *codes: str) -> None:
    problem = answer.json()
    assert problem.get("code") in codes, f"{answer.request.method} {answer.request.url}: {answer.text}"
    assert answer.status_code == {"outcome_unknown": 504}.get(problem["code"], 503)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


async def every_request(things: Things) -> list[tuple[str, str, Any]]:
    """One request to each operation that a program can call; the holidays of a calendar are asked for by year."""
    found: list[tuple[str, str, Any]] = []
    for each in inside:
        if each.access is not Access.GRANTED or each.below_prefix == "/events":  # which does not end
            continue
        path = await things.fill(each.below_prefix)
        found.append((each.method, f"{path}?year=2026", each.examples[-1] if each.examples else None))
        if each.below_prefix.startswith("/members/{member_id}"):
            # One member's changes wait for each other: each may free a place, and tells Temporal before its commit.
            things.forget(path)
    return found


async def test_every_route_says_that_postgres_is_away(site: Site) -> None:
    tenant = await site.tenant()
    requests = await every_request(Things(tenant))
    with away(site.postgres, "stopped"):
        for answers in [await all_answers(site.asked(tenant), requests) for _ in range(2)]:
            for answer in answers.values():
                assert_away(answer, "database_unavailable")
        assert (await site.http.get("/healthz")).status_code == 200
        ready = await site.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
        assert ready.json()["parts"] == {"database": "away", "temporal": "ok", "read_model": "away"}
    await site.is_well()


async def test_frozen_postgres_is_given_up_and_what_was_sent_takes_effect_once(site: Site) -> None:
    tenant = await site.tenant()
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}"

    async def answered(method: str, path: str, document: Json | None = None) -> httpx.Response:
        async with asyncio.timeout(FROZEN.total_seconds()):
            return await site.asked(tenant).call(method, path, document, key=f"{method}-frozen")

    edit = {"title": "Edited in the cold"}
    with away(site.postgres, "frozen"):
        for answer in await asyncio.gather(answered("GET", "/tickets"), answered("GET", path)):
            assert_away(answer, "database_unavailable", "outcome_unknown")
        assert_away(await answered("PATCH", path, edit), "database_unavailable", "outcome_unknown")
    await site.is_well()
    assert (await tenant.call("PATCH", path, edit, key="PATCH-frozen")).is_success
    assert [event["kind"] for event in await tenant.events(ticket)] == ["created", "edited"]


@pytest.mark.parametrize("how", ["frozen", pytest.param("stopped", marks=pytest.mark.slow)])
async def test_every_route_answers_while_temporal_is_away(site: Site, how: str) -> None:
    tenant = await site.tenant()
    requests = await every_request(Things(tenant))
    with away(site.temporal, how):
        answers = await all_answers(site.asked(tenant), requests)
        ready = await site.http.get("/readyz")
    need_temporal = {name for name, answer in answers.items() if answer.status_code >= 500}
    for name in need_temporal:
        assert_away(answers[name], "temporal_unavailable", "outcome_unknown")
    ticket = (await tenant.get("/tickets"))["items"][-1]["id"]
    for method, path, _ in WRITES:
        assert f"{method} {path.format(ticket_id=ticket)}" in need_temporal
    assert f"GET /tickets/{ticket}/timers" in need_temporal
    for name, answer in answers.items():
        if name.startswith("GET") and not name.endswith("/timers") and "rollout" not in name:
            # 403: only a member has what it asks for. 404: one of the requests deleted it.
            assert answer.status_code in (200, 403, 404), f"{name}: {answer.text}"
    assert (ready.status_code, ready.json()["parts"]["temporal"]) == (503, "away")
    assert ready.json()["parts"]["database"] == "ok"
    await site.is_well()


@pytest.mark.parametrize(
    ("part", "how"), [("postgres", "stopped"), ("temporal", "stopped"), ("temporal", "frozen")], ids=str
)
async def test_what_was_sent_in_an_outage_takes_effect_once_when_sent_again(site: Site, part: str, how: str) -> None:
    tenant = await site.tenant()
    ticket = await tenant.ticket()
    requests = [(method, path.format(ticket_id=ticket["id"]), document) for method, path, document in WRITES]
    with away(getattr(site, part), how):
        for _ in range(2):
            for answer in (await all_answers(site.asked(tenant), requests, key="k")).values():
                assert_away(answer, "database_unavailable", "temporal_unavailable", "outcome_unknown")
    await site.is_well()

    async def all_succeed() -> dict[str, httpx.Response]:
        answers = {
            f"{method} {path}": await tenant.call(method, path, document, key=f"k-{method}-{path.rsplit('/', 1)[-1]}")
            for method, path, document in requests
        }
        assert {name: answer.text for name, answer in answers.items() if not answer.is_success} == {}
        return answers

    first = await eventually(all_succeed, 40)
    again = await all_succeed()
    for name, answer in first.items():
        assert again[name].json() == answer.json()
    assert len([each async for each in tenant.pages("/tickets")]) == 2
    kinds = [event["kind"] for event in await tenant.events(ticket)]
    wanted = ["created", "customer_replied", "edited", "escalated", "note_added", "status_changed"]
    assert sorted(kinds) == wanted
    for kind, once in (("messages", 1), ("notes", 1)):
        assert len([each async for each in tenant.pages(f"/tickets/{ticket['id']}/{kind}")]) == once


@pytest.fixture
def impatient(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    """Of a task queue on which a worker only works where a test says so."""
    return settings_for(
        new_database(), temporal_server.address, command_timeout=PATIENCE, read_model_wait=timedelta(milliseconds=300)
    )


async def test_command_without_a_worker_is_unknown_and_has_one_effect_later(
    impatient: Settings, temporal_client: Client
) -> None:
    async with serving(impatient) as http:
        tenant = await new_tenant(http)
        created = await tenant.call("POST", "/tickets", {"title": "Nobody works"}, key="create")
        assert (created.status_code, created.headers["Baton-Read-Model"]) == (201, "pending")
        unread = await tenant.call("GET", created.headers["Location"].removeprefix(PREFIX))
        assert_away(unread, "outcome_unknown")  # neither the read model nor the workflow can tell
        async with working(temporal_client, impatient):
            ticket = await tenant.post("/tickets", {"title": "Nobody works"}, key="create")
            assert ticket["id"] == created.json()["id"]
            await tenant.becomes(ticket, "open")

        path = f"/tickets/{ticket['id']}"
        requests: list[tuple[str, str, Any]] = [
            ("POST", f"{path}/escalate", {"reason": "Angry"}),
            ("PATCH", path, {"title": "Edited"}),
            ("GET", f"{path}/timers", None),
        ]
        for answer in (await all_answers(tenant, requests, key="k")).values():
            assert_away(answer, "outcome_unknown")
        for kind, document in (("messages", {"author": "customer", "body": "Any news?"}), ("notes", {"body": "A"})):
            told = await tenant.call("POST", f"{path}/{kind}", document, key=kind)
            assert (told.status_code, told.headers["Baton-Read-Model"]) == (201, "pending")

        async def all_succeed() -> bool:
            answers = (await all_answers(tenant, requests, key="k")).values()
            return all(answer.status_code == 200 for answer in answers)

        async with working(temporal_client, impatient):
            await eventually(all_succeed, 30)
            await tenant.post(f"{path}/notes", {"body": "A"}, key="notes")

            async def told_once() -> bool:
                kinds = sorted(event["kind"] for event in await tenant.events(ticket))
                return kinds == ["created", "customer_replied", "edited", "escalated", "note_added"]

            assert await eventually(told_once, 20)


async def test_slow_read_model_is_announced_and_catches_up(impatient: Settings, temporal_client: Client) -> None:
    async with working(temporal_client, impatient), serving(impatient) as http:
        tenant = await new_tenant(http)
        created = await tenant.ticket()

        async def recorded() -> Json | None:
            return await tenant.reload(created) if await tenant.events(created) else None

        ticket = await eventually(recorded)
        assert ticket is not None
        path = f"/tickets/{ticket['id']}"
        async with await psycopg.AsyncConnection.connect(impatient.psycopg_url) as other:
            await other.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", [ticket["id"]])
            moved = await tenant.call("POST", f"{path}/status", {"to": "in_progress"}, key="k")
            assert (moved.status_code, moved.headers["Baton-Read-Model"]) == (200, "pending")
            assert (moved.json()["status"], moved.json()["version"], moved.headers["ETag"]) == ("in_progress", 2, '"2"')
            assert await tenant.reload(ticket) == ticket
            again = await tenant.call("POST", f"{path}/status", {"to": "in_progress"}, key="k")
            assert (again.status_code, again.headers["Baton-Read-Model"]) == (200, "pending")
            noted = await tenant.call("POST", f"{path}/notes", {"body": "A"}, key="n")
            assert (noted.status_code, noted.headers["Baton-Read-Model"]) == (201, "pending")
        await tenant.becomes(ticket, "in_progress")
        kept = await tenant.call("POST", f"{path}/status", {"to": "in_progress"}, key="k")
        assert (kept.status_code, kept.headers["Idempotency-Replayed"]) == (200, "true")
        assert kept.json()["version"] == 2

        async def story() -> bool:
            kinds = [event["kind"] for event in await tenant.events(ticket)]
            return kinds == ["created", "status_changed", "note_added"]

        assert await eventually(story)


async def test_process_is_ready_only_with_all_its_parts(impatient: Settings) -> None:
    nowhere = impatient.model_copy(
        update={
            "database_url": f"postgresql+psycopg://baton@127.0.0.1:{free_port()}/baton",
            "temporal_address": f"127.0.0.1:{free_port()}",
        }
    )
    async with serving(nowhere) as http:
        assert (await http.get("/healthz")).json()["status"] == "ok"
        ready = await http.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["parts"] == {"database": "away", "temporal": "away", "read_model": "away"}


async def test_api_that_started_before_temporal_says_that_it_is_away(tenant: Tenant, settings: Settings) -> None:
    ticket = await tenant.ticket()
    early = settings.model_copy(update={"temporal_address": "127.0.0.1:9", "command_timeout": PATIENCE})
    async with serving(early) as client:
        outside = Tenant(client, tenant.key, tenant.id)
        for method, path, document in WRITES:
            answer = await outside.call(method, path.format(ticket_id=ticket["id"]), document)
            assert_away(answer, "temporal_unavailable")
        assert_away(await outside.call("GET", f"/tickets/{ticket['id']}/timers"), "temporal_unavailable")
