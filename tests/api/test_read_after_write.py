from collections.abc import Awaitable, Callable

import psycopg
import pytest

from settings import Settings
from tests.api.tenant import Json, Tenant
from tests.support import eventually


async def write_and_read(tenant: Tenant, member: Json, rounds: int, before_each: Callable[[], Awaitable[None]]) -> None:
    """Create, assign and edit; every read straight after a write must show it."""

    async def shown(written: Json) -> None:
        assert await tenant.reload(written) == written
        newest = (await tenant.get("/tickets", limit=1, sort="updated_at"))["items"]
        assert newest == [written]
        assert (await tenant.events(written))[-1]["version"] == written["version"]

    for number in range(rounds):
        await before_each()
        ticket = await tenant.ticket(tags=[f"round {number}"])
        await shown(ticket)
        answer = await tenant.call("POST", f"/tickets/{ticket['id']}/assignment", {"assignee_id": member["id"]})
        assert (answer.status_code, answer.headers.get("Baton-Read-Model")) == (200, None)
        await shown(answer.json())
        await before_each()
        answer = await tenant.call("PATCH", f"/tickets/{ticket['id']}", {"title": f"Title {number}"})
        assert (answer.status_code, answer.headers.get("Baton-Read-Model")) == (200, None)
        await shown(answer.json())
        assert (await tenant.get("/tickets", tag=f"round {number}"))["items"] == [answer.json()]


@pytest.mark.parametrize("rounds", [5, pytest.param(300, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
async def test_every_read_straight_after_a_write_shows_it(tenant: Tenant, rounds: int) -> None:
    async def nothing() -> None:
        pass

    await write_and_read(tenant, await tenant.member(), rounds, nothing)


async def test_reads_show_writes_while_the_listening_connection_is_cut(tenant: Tenant, settings: Settings) -> None:
    cuts = 0
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url, autocommit=True) as admin:

        async def cut() -> None:
            nonlocal cuts
            ended = await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
            cuts += len(await ended.fetchall())

        await write_and_read(tenant, await tenant.member(), 4, cut)

    assert cuts >= 2

    async def listens_again() -> bool:
        return (await tenant.client.get("/readyz")).status_code == 200

    assert await eventually(listens_again)


@pytest.mark.parametrize("kind", ["messages", "notes"])
async def test_what_was_said_can_be_read_at_once(tenant: Tenant, kind: str) -> None:
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}/{kind}"
    for number in range(5):
        document = {"body": f"Line {number}", **({"author": "customer"} if kind == "messages" else {})}
        said = await tenant.post(path, document)
        assert [row async for row in tenant.pages(path)][-1] == said
        assert (await tenant.events(ticket))[-1]["version"] == number + 2
