import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from temporalio.client import Client, WorkflowExecutionStatus

import api.tickets
import db.tickets
from domain.ids import workflow_id
from settings import Settings
from tests.api.running import OPERATOR_KEY, serving
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

TABLES = (
    *("tickets", "ticket_events", "messages", "notes", "notifications", "members", "teams"),
    *("reminder_ladders", "api_keys", "organizations"),
)
LADDER = {"name": "Patient", "steps": [{"after": "P2D", "action": "remind"}]}


@dataclass(frozen=True)
class Write:
    """A request that changes something, and another content for the same route; ``{name}`` stands for an id."""

    method: str
    path: str
    document: Mapping[str, Any]
    other: Mapping[str, Any]


WRITES = {
    "create a ticket": Write("POST", "/tickets", {"title": "One"}, {"title": "Two"}),
    "move": Write("POST", "/tickets/{ticket}/status", {"to": "in_progress"}, {"to": "waiting"}),
    "assign": Write("POST", "/tickets/{ticket}/assignment", {"assignee_id": "{member}"}, {"team_id": "{team}"}),
    "edit": Write("PATCH", "/tickets/{ticket}", {"title": "One"}, {"title": "Two"}),
    "escalate": Write("POST", "/tickets/{ticket}/escalate", {"reason": "Angry"}, {"reason": "Angrier"}),
    "note": Write("POST", "/tickets/{ticket}/notes", {"body": "One"}, {"body": "Two"}),
    "message": Write(
        "POST", "/tickets/{ticket}/messages", {"author": "customer", "body": "One"}, {"author": "agent", "body": "One"}
    ),
    "message with its own id": Write(
        "POST",
        "/tickets/{ticket}/messages",
        {"author": "customer", "body": "One", "external_id": "a"},
        {"author": "customer", "body": "One", "external_id": "b"},
    ),
    "create a member": Write(
        "POST", "/members", {"name": "Ana", "email": "a@example.com"}, {"name": "Ben", "email": "b@example.com"}
    ),
    "edit a member": Write("PATCH", "/members/{member}", {"presence": "away"}, {"presence": "online"}),
    "create a team": Write("POST", "/teams", {"name": "Billing"}, {"name": "Bugs"}),
    "replace a team": Write("PUT", "/teams/{team}", {"name": "Billing"}, {"name": "Bugs"}),
    "create a ladder": Write("POST", "/reminder-ladders", LADDER, {**LADDER, "name": "Impatient"}),
    "replace a ladder": Write("PUT", "/reminder-ladders/{ladder}", LADDER, {**LADDER, "name": "Impatient"}),
    "edit the organization": Write("PATCH", "/organization", {"name": "One"}, {"name": "Two"}),
    "create a key": Write("POST", "/api-keys", {"name": "chatbot"}, {"name": "robot"}),
}
every_write = pytest.mark.parametrize("sent", WRITES, indirect=True)


@dataclass(frozen=True)
class World:
    """An organization with one of each thing that a request can be about."""

    tenant: Tenant
    settings: Settings
    ids: Mapping[str, str]

    async def send(self, write: Write, key: str | None, *, other: bool = False) -> httpx.Response:
        document = {name: self._fill(value) for name, value in (write.other if other else write.document).items()}
        return await self.tenant.call(write.method, self._fill(write.path), document, key=key)

    def all(self) -> dict[str, list[Json]]:
        """Every row of the organization's that a request here can be about, by table."""
        found = {}
        with psycopg.connect(self.settings.psycopg_url) as owner:
            for table in TABLES:
                whose = "id" if table == "organizations" else "organization_id"
                rows = f"SELECT to_jsonb(t) - 'last_used_at' FROM {table} AS t WHERE {whose} = %s ORDER BY 1"
                found[table] = [row for (row,) in owner.execute(rows.encode(), [self.tenant.id])]
        return found

    def _fill(self, value: Any) -> Any:
        return value.format(**self.ids) if isinstance(value, str) else value


async def furnished(http: httpx.AsyncClient, settings: Settings) -> World:
    tenant = await new_tenant(http)
    ids = {
        "ticket": (await tenant.ticket())["id"],
        "member": (await tenant.member())["id"],
        "team": (await tenant.team())["id"],
        "ladder": (await tenant.post("/reminder-ladders", {**LADDER, "name": "Default"}))["id"],
    }
    return World(tenant, settings, ids)


@pytest.fixture(scope="module")
async def world(http: httpx.AsyncClient, settings: Settings) -> World:
    """One for tests that count what they add."""
    return await furnished(http, settings)


@dataclass(frozen=True)
class Sent:
    """A write that was sent five times at once with the key ``k``: what there was before, the answers, and what is."""

    world: World
    write: Write
    before: dict[str, list[Json]]
    answers: list[httpx.Response]
    after: dict[str, list[Json]]


@pytest.fixture(scope="module")
async def sent(http: httpx.AsyncClient, settings: Settings, request: pytest.FixtureRequest) -> Sent:
    """In an organization of its own; nothing that the tests send afterwards may change it."""
    write: Write = WRITES[request.param]
    world = await furnished(http, settings)
    before = world.all()
    answers = await asyncio.gather(*(world.send(write, "k") for _ in range(5)))
    return Sent(world, write, before, answers, world.all())


def without_secret(answer: httpx.Response) -> Json:
    """The document without what is shown only once."""
    document: Json = answer.json()
    return {name: value for name, value in document.items() if name != "key"}


@every_write
async def test_equal_requests_at_once_have_one_effect_and_one_answer(sent: Sent) -> None:
    assert all(answer.is_success for answer in sent.answers), [answer.text for answer in sent.answers]
    assert all(without_secret(answer) == without_secret(sent.answers[0]) for answer in sent.answers)
    changed = {table for table, rows in sent.after.items() if rows != sent.before[table]}
    assert changed
    # Of a notification there is one for each medium.
    for table in changed - {"notifications"}:
        assert len(sent.after[table]) - len(sent.before[table]) in (0, 1), table


@every_write
async def test_request_sent_again_has_the_same_answer_and_no_effect(sent: Sent) -> None:
    for _ in range(2):
        again = await sent.world.send(sent.write, "k")
        assert again.is_success, again.text
        assert again.headers["Idempotency-Replayed"] == "true"
        assert without_secret(again) == without_secret(sent.answers[0])
    assert sent.world.all() == sent.after


@every_write
async def test_key_with_another_content_is_refused(sent: Sent) -> None:
    refusal = await sent.world.send(sent.write, "k", other=True)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "idempotency_key_reused"), refusal.text
    assert sent.world.all() == sent.after


@pytest.mark.parametrize("name", ["create a ticket", "escalate", "note", "message", "create a key"])
async def test_without_a_key_every_request_counts(world: World, name: str) -> None:
    path = WRITES[name].path.format(**world.ids)
    path = path.replace("escalate", "events")
    before = len([row async for row in world.tenant.pages(path)])
    for _ in range(2):
        assert (await world.send(WRITES[name], None)).is_success
    assert len([row async for row in world.tenant.pages(path)]) == before + 2


async def test_api_key_is_shown_once(world: World) -> None:
    answers = await asyncio.gather(*(world.send(WRITES["create a key"], "k") for _ in range(3)))
    [shown] = [answer.json()["key"] for answer in answers if answer.json()["key"]]
    assert (await Tenant(world.tenant.client, shown, world.tenant.id).get("/organization"))["id"] == world.tenant.id
    assert shown not in (await world.tenant.call("GET", "/api-keys")).text
    assert (await world.send(WRITES["create a key"], "k")).json()["key"] is None


async def test_organization_is_created_once_for_a_key(http: httpx.AsyncClient) -> None:
    async def create(name: str, key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}", "Idempotency-Key": key}
        return await http.post("/api/v1/organizations", json={"name": name}, headers=headers)

    key = str(uuid4())
    answers = await asyncio.gather(*(create("Blue Airline", key) for _ in range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Counter(answer.json()["api_key"] is None for answer in answers) == {True: 3, False: 1}
    assert Counter(answer.headers.get("Idempotency-Replayed") for answer in answers) == {"true": 3, None: 1}
    refusal = await create("Red Airline", key)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "idempotency_key_reused")


async def test_refused_request_leaves_its_key_free(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}/status"
    assert (await tenant.call("POST", path, {"to": "closed"}, key="k")).status_code == 409
    await tenant.post(path, {"to": "resolved"})
    assert (await tenant.call("POST", path, {"to": "closed"}, key="k")).status_code == 200

    member = {"name": "Ana", "email": "ana@example.com"}
    await tenant.post("/members", member)
    assert (await tenant.call("POST", "/members", member, key="m")).status_code == 409
    assert (await tenant.call("POST", "/members", {**member, "email": "b@example.com"}, key="m")).status_code == 201


async def test_spelling_of_a_document_does_not_matter_to_its_key(tenant: Tenant) -> None:
    head = {"Content-Type": "application/json"}
    one = await tenant.call("POST", "/tickets", key="k", content=b'{"title":"A","tags":["b"]}', headers=head)
    two = await tenant.call("POST", "/tickets", key="k", content=b'{ "tags": ["b"],\n"title": "\\u0041"}', headers=head)
    assert (one.status_code, two.status_code) == (201, 201)
    assert one.json() == two.json()


@pytest.fixture(scope="module")
async def short_runs(settings: Settings, http: httpx.AsyncClient) -> AsyncIterator[Tenant]:
    """An organization whose tickets continue as new after twenty events; ``http``'s worker runs them."""
    async with serving(settings.model_copy(update={"history_limit": 20})) as client:
        yield await new_tenant(client)


COMMANDS = {
    "status": {"to": "in_progress", "reason": "Because."},
    "assignment": {"team_id": None, "assignee_id": None, "reason": "Nobody."},
    "escalate": {"reason": "Angry"},
    "notes": {"body": "One"},
    "messages": {"author": "customer", "body": "One"},
}


async def send_commands(tenant: Tenant, ticket: Json) -> dict[str, Json]:
    """Each command once, under a key of its own; returns the answers."""
    member = await tenant.member() if not ticket["assignee"] else {"id": ticket["assignee"]["id"]}
    documents = {**COMMANDS, "assignment": {"assignee_id": member["id"]}}
    path = f"/tickets/{ticket['id']}"
    answers = {name: await tenant.post(f"{path}/{name}", sent, key=name) for name, sent in documents.items()}
    edit = await tenant.call("PATCH", path, {"title": "Edited"}, key="edit")
    return {**answers, "edit": edit.json()}


async def test_commands_are_known_again_after_the_workflow_continued_as_new(
    short_runs: Tenant, temporal_client: Client
) -> None:
    async def run_id() -> str:
        return (await temporal_client.get_workflow_handle(workflow_id(ticket["id"])).describe()).run_id or ""

    ticket = await short_runs.ticket()
    first_run = await run_id()
    answers = await send_commands(short_runs, ticket)
    for number in range(5):
        await short_runs.call("PATCH", f"/tickets/{ticket['id']}", {"title": f"Title {number}"})
    assert await eventually(run_id) != first_run
    now, events = await short_runs.reload(ticket), await short_runs.events(ticket)
    assert [event["version"] for event in events] == list(range(1, now["version"] + 1))

    assert await send_commands(short_runs, now) == answers
    assert (await short_runs.reload(ticket), await short_runs.events(ticket)) == (now, events)


async def test_commands_are_known_again_after_the_ticket_was_reopened(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    answers = await send_commands(tenant, ticket)
    path = f"/tickets/{ticket['id']}/status"
    closing = [await tenant.post(path, {"to": to}, key=to) for to in ("resolved", "closed")]
    reopened = await tenant.post(path, {"to": "open"}, key="reopen")
    now, events = await tenant.reload(ticket), await tenant.events(ticket)
    assert now == reopened

    assert await send_commands(tenant, now) == answers
    assert [await tenant.post(path, {"to": to}, key=to) for to in ("resolved", "closed")] == closing
    assert await tenant.post(path, {"to": "open"}, key="reopen") == reopened
    assert (await tenant.reload(ticket), await tenant.events(ticket)) == (now, events)


async def test_reopening_sent_again_after_the_ticket_was_closed_again_does_not_reopen(tenant: Tenant) -> None:
    ticket = await tenant.ticket("closed")
    path = f"/tickets/{ticket['id']}/status"
    reopened = await tenant.post(path, {"to": "open"}, key="reopen")
    for step in ("resolved", "closed"):
        await tenant.post(path, {"to": step})
    assert await tenant.post(path, {"to": "open"}, key="reopen") == reopened
    assert (await tenant.reload(ticket))["status"] == "closed"


@pytest.mark.parametrize("prefer", [{}, {"Prefer": "respond-async"}], ids=["waiting", "not waiting"])
async def test_command_sent_again_while_the_ticket_closes_is_known(
    tenant: Tenant, temporal_client: Client, monkeypatch: pytest.MonkeyPatch, prefer: dict[str, str]
) -> None:
    """The first look finds neither the command nor the end, as they are recorded just after it."""
    before: list[Any] = []
    find = db.tickets.find_with_answer

    async def look(*asked: Any) -> Any:
        if asked[-1] != "edit":
            return await find(*asked)
        before.append(await find(*asked))
        return before[0] if len(before) == 2 else before[-1]

    monkeypatch.setattr(api.tickets, "find_with_answer", look)

    ticket = await tenant.ticket()

    async def edit() -> httpx.Response:
        return await tenant.call("PATCH", f"/tickets/{ticket['id']}", {"title": "Edited"}, key="edit", headers=prefer)

    async def has_ended() -> bool:
        run = await temporal_client.get_workflow_handle(workflow_id(ticket["id"])).describe()
        return run.status is WorkflowExecutionStatus.COMPLETED

    first = await edit()
    for to in (
        "resolved",
        "closed",
        "open",
        "resolved",
        "closed",
    ):  # Temporal itself knows updates of the last run only
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": to})
    await eventually(has_ended)
    again = await edit()
    assert len(before) == 3
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert [event["kind"] for event in await tenant.events(ticket)].count("edited") == 1


@pytest.mark.parametrize("prefer", [{}, {"Prefer": "respond-async"}], ids=["waiting", "not waiting"])
async def test_command_sent_again_while_its_ticket_is_on_record_as_closed_still_is_known(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, prefer: dict[str, str]
) -> None:
    """The ticket has been reopened, and obeyed; a record that lags has neither."""
    seen: list[Any] = []
    find, lags = db.tickets.find_with_answer, False

    async def look(*asked: Any) -> Any:
        seen.append(await find(*asked))
        return seen[0] if lags else seen[-1]

    async def edit(key: str, title: str) -> httpx.Response:
        return await tenant.call("PATCH", f"/tickets/{ticket['id']}", {"title": title}, key=key, headers=prefer)

    async def titles() -> list[str]:
        events = [each for each in await tenant.events(ticket) if each["kind"] == "edited"]
        return [each["changes"]["title"]["after"] for each in events]

    async def is_edited(*wanted: str) -> bool:
        return await titles() == list(wanted)

    ticket = await tenant.ticket("closed")
    monkeypatch.setattr(api.tickets, "find_with_answer", look)
    assert (await edit("early", "Too early")).json()["code"] == "ticket_closed"
    await tenant.message(ticket)
    first = await edit("edit", "Edited")
    assert await eventually(lambda: is_edited("Edited"))
    lags = True
    # At once, for the other one's announcement wakes the first, whose own has been made.
    again, other = await asyncio.gather(edit("edit", "Edited"), edit("other", "Edited anew"))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert other.status_code == first.status_code
    assert await eventually(lambda: is_edited("Edited", "Edited anew"))


async def test_settings_can_be_changed_by_many_at_once(tenant: Tenant) -> None:
    days = range(1, 11)
    answers = await asyncio.gather(
        *(tenant.call("PATCH", "/organization", {"auto_close_after": f"P{day}D"}, key=str(day)) for day in days)
    )
    assert [answer.status_code for answer in answers] == [200] * 10, [answer.text for answer in answers]
    assert [answer.json()["auto_close_after"] for answer in answers] == [f"P{day}D" for day in days]


async def test_one_ladder_is_the_default_after_many_at_once_became_it(tenant: Tenant) -> None:
    ladders = [await tenant.post("/reminder-ladders", {**LADDER, "name": f"Ladder {number}"}) for number in range(5)]
    wanted = {**LADDER, "is_default": True}
    answers = await asyncio.gather(
        *(tenant.call("PUT", f"/reminder-ladders/{one['id']}", {**wanted, "name": one["name"]}) for one in ladders),
        *(tenant.call("POST", "/reminder-ladders", {**wanted, "name": f"New {number}"}) for number in range(5)),
    )
    assert Counter(answer.status_code for answer in answers) == {200: 5, 201: 5}, [answer.text for answer in answers]
    now = [ladder async for ladder in tenant.pages("/reminder-ladders")]
    assert Counter(ladder["is_default"] for ladder in now) == {True: 1, False: 9}
