"""A requester is erased: from Postgres, from running workflows, and from every history that Temporal has."""

from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from temporalio.api.workflowservice.v1 import ListWorkflowExecutionsRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from db.erasing import ERASED, KEPT
from db.models import Table
from domain.ids import workflow_id
from settings import Settings
from tests.api.tenant import Json, Tenant, new_tenant

SECRET = "Zyxwvut"
"""In everything the customer says or is called; it must be nowhere at the end."""


def test_it_is_known_of_every_table_whether_it_is_erased() -> None:
    tables = set(Table.metadata.tables)
    assert tables == ERASED | set(KEPT), "say in db/erasing.py what becomes of a new table's words"
    assert not ERASED & set(KEPT)


def everything_of(tenant: Tenant, settings: Settings) -> dict[str, str]:
    """All that Postgres has of an organization, as text, by table; other tests leave the same words."""
    with psycopg.connect(settings.psycopg_url) as owner:
        found = {}
        for name in Table.metadata.tables:
            mine = sql.SQL("SELECT t::text FROM {} AS t WHERE t::text LIKE %s").format(sql.Identifier(name))
            rows = owner.execute(mine, [f"%{tenant.id}%"])
            found[name] = "\n".join(row[0] for row in rows)
        return found


async def histories_of(client: Client, ticket: Json) -> dict[str, str]:
    """Every run of a ticket's workflow that Temporal knows: its raw history, and what lists show of it."""
    name = workflow_id(UUID(ticket["id"]))
    listed = await client.workflow_service.list_workflow_executions(
        ListWorkflowExecutionsRequest(namespace=client.namespace, query=f"WorkflowId = '{name}'")
    )
    found = {}
    for run in listed.executions:
        handle = client.get_workflow_handle(name, run_id=run.execution.run_id)
        history = await handle.fetch_history()
        described = await handle.describe()
        found[run.execution.run_id] = history.to_json() + str(described.raw_description) + str(run)
    return found


@pytest.fixture
async def ticket(tenant: Tenant) -> Json:
    """A ticket in progress with the customer's name in all places."""
    member = await tenant.member()
    made: Json = await tenant.post(
        "/tickets",
        {
            "title": f"{SECRET} wants a refund",
            "description": f"Call {SECRET} back",
            "requester": {"external_id": f"{SECRET}-77", "name": f"Mx {SECRET}", "email": f"{SECRET}@example.com"},
        },
        key=f"create-{uuid4()}",
    )
    await tenant.post(f"/tickets/{made['id']}/status", {"to": "in_progress", "reason": f"{SECRET} is angry"}, key="k1")
    document = {"author": "customer", "body": f"I am {SECRET}", "author_name": SECRET, "external_id": f"{SECRET}-1"}
    await tenant.post(f"/tickets/{made['id']}/messages", document)
    await tenant.post(f"/tickets/{made['id']}/messages", {"author": "agent", "body": f"Dear {SECRET}"})
    await tenant.acting_for(member).post(f"/tickets/{made['id']}/notes", {"body": f"{SECRET} again"})
    edited = await tenant.call("PATCH", f"/tickets/{made['id']}", {"title": f"{SECRET} wants more"})
    assert edited.is_success
    return made


async def erase(tenant: Tenant, requester_id: str, key: str = "erase") -> Json:
    answer = await tenant.call("DELETE", f"/requesters/{requester_id}", key=key)
    assert answer.status_code == 202, answer.text
    return await tenant.finished(f"/erasures/{answer.json()['id']}")


async def test_nothing_is_left_of_a_requester_with_a_running_ticket(
    tenant: Tenant, ticket: Json, settings: Settings, temporal_client: Client
) -> None:
    before = await histories_of(temporal_client, ticket)
    assert any(SECRET in each for each in before.values())
    told = await tenant.get(f"/tickets/{ticket['id']}/events")
    erased = await erase(tenant, ticket["requester"]["id"])
    assert (erased["tickets"], erased["messages"], erased["requester_id"]) == (1, 2, ticket["requester"]["id"])

    kept = {name: rows for name, rows in everything_of(tenant, settings).items() if SECRET in rows}
    assert not kept
    after = await histories_of(temporal_client, ticket)
    assert not set(before) & set(after)
    assert not [each for each in after.values() if SECRET in each]
    for run in before:
        with pytest.raises(RPCError) as refused:
            await temporal_client.get_workflow_handle(workflow_id(UUID(ticket["id"])), run_id=run).fetch_history()
        assert refused.value.status is RPCStatusCode.NOT_FOUND

    # What statistics are made of is as it was, and one event more says why the rest is not.
    now = await tenant.reload(ticket)
    assert (now["title"], now["description"], now["status"]) == ("Erased", "", "in_progress")
    assert now["requester"] == {"id": ticket["requester"]["id"], "external_id": None, "name": None, "email": None}
    events = await tenant.get(f"/tickets/{ticket['id']}/events")
    facts = [[(each["kind"], each["at"], each["version"]) for each in page["items"]] for page in (told, events)]
    assert facts[1][:-1] == facts[0]
    assert (facts[1][-1][0], events["items"][-1]["changes"]) == ("erased", {})
    assert events["items"][-1]["actor"]["name"] == "first key"
    messages = (await tenant.get(f"/tickets/{ticket['id']}/messages"))["items"]
    assert [(each["author_kind"], each["body"], each["erased"]) for each in messages] == [
        ("customer", "", True),
        ("agent", "", True),
    ]
    assert (await tenant.get(f"/requesters/{ticket['requester']['id']}"))["erased_at"] is not None


async def test_the_ticket_lives_on(tenant: Tenant, ticket: Json, temporal_client: Client) -> None:
    timers = await tenant.get(f"/tickets/{ticket['id']}/timers")
    await erase(tenant, ticket["requester"]["id"])
    assert (await tenant.get(f"/tickets/{ticket['id']}/timers"))["timers"] == timers["timers"]
    # A request from before is known, and has no second effect.
    document = {"to": "in_progress", "reason": f"{SECRET} is angry"}
    again = await tenant.call("POST", f"/tickets/{ticket['id']}/status", document, key="k1")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert SECRET not in again.text
    waiting = await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "waiting"})
    assert waiting["status"] == "waiting"
    assert (await tenant.message(ticket, body="It is me, again")).is_success
    assert (await tenant.becomes(ticket, "in_progress"))["title"] == "Erased"


async def test_a_closed_ticket_loses_its_histories_and_can_be_reopened(
    tenant: Tenant, ticket: Json, settings: Settings, temporal_client: Client
) -> None:
    for _ in range(2):
        for status in ("resolved", "closed", "open"):
            await tenant.post(f"/tickets/{ticket['id']}/status", {"to": status})
    for status in ("resolved", "closed"):
        await tenant.post(f"/tickets/{ticket['id']}/status", {"to": status})
    handle = temporal_client.get_workflow_handle(workflow_id(UUID(ticket["id"])))
    await handle.result()
    assert len(await histories_of(temporal_client, ticket)) == 3
    await erase(tenant, ticket["requester"]["id"])
    assert await histories_of(temporal_client, ticket) == {}
    assert not [name for name, rows in everything_of(tenant, settings).items() if SECRET in rows]
    reopened = await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "open"})
    assert (reopened["status"], reopened["title"]) == ("open", "Erased")
    assert not [each for each in (await histories_of(temporal_client, ticket)).values() if SECRET in each]


async def test_it_can_be_asked_for_again_and_others_keep_theirs(tenant: Tenant, ticket: Json) -> None:
    other = await tenant.post(
        "/tickets", {"title": "Another's", "requester": {"external_id": "another", "name": "Another"}}
    )
    first = await erase(tenant, ticket["requester"]["id"])
    assert await erase(tenant, ticket["requester"]["id"]) == first
    second = await erase(tenant, ticket["requester"]["id"], key="once-more")
    assert second["id"] != first["id"]
    assert (second["tickets"], second["messages"]) == (1, 0)
    listed = [each["id"] async for each in tenant.pages("/erasures")]
    assert listed == [first["id"], second["id"]]
    assert (await tenant.reload(other))["requester"]["name"] == "Another"

    # Who comes back is kept anew, as the same requester.
    back = await tenant.post("/tickets", {"title": "Back", "requester": {"external_id": f"{SECRET}-77", "name": "N"}})
    assert back["requester"]["id"] == ticket["requester"]["id"]


async def test_conversations_without_a_ticket_are_erased_too(tenant: Tenant, settings: Settings) -> None:
    path = f"/conversations/{SECRET}-chat/messages"
    message = {
        "external_id": f"{SECRET}-m1",
        "author": "customer",
        "body": f"{SECRET} here",
        "requester": {"external_id": f"{SECRET}-88", "name": SECRET},
    }
    await tenant.post(path, message, key=f"{uuid4()}")
    [conversation] = (await tenant.get("/conversations"))["items"]
    erased = await erase(tenant, conversation["requester_id"])
    assert (erased["tickets"], erased["messages"]) == (0, 1)
    assert not [name for name, rows in everything_of(tenant, settings).items() if SECRET in rows]
    # The platform delivers it a second time: it is known, and not kept again.
    await tenant.post(path, message, key=f"{uuid4()}")
    assert not [name for name, rows in everything_of(tenant, settings).items() if SECRET in rows and name == "messages"]


async def test_an_erasure_gives_up_exports(tenant: Tenant, ticket: Json) -> None:
    export = await tenant.post("/exports", {})
    await tenant.finished(f"/exports/{export['id']}")
    await erase(tenant, ticket["requester"]["id"])
    refusal = await tenant.call("GET", f"/exports/{export['id']}/download")
    assert (refusal.status_code, refusal.json()["code"], refusal.json()["current"]) == (
        409,
        "export_not_ready",
        "expired",
    )


async def test_others_requesters_cannot_be_erased(tenant: Tenant, http: httpx.AsyncClient, ticket: Json) -> None:
    stranger = await new_tenant(http)
    refusal = await stranger.call("DELETE", f"/requesters/{ticket['requester']['id']}")
    assert (refusal.status_code, refusal.json()["code"]) == (404, "not_found")
