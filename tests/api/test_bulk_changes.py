"""One change asked of many tickets: counted first, carried out once each, refused with reasons, stopped."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from temporalio.client import Client
from temporalio.testing import ActivityEnvironment

from activities.bulk import BulkChanges
from activities.signatures import ChangedTickets, ChangeTickets
from db.engine import make_engine, make_sessions
from settings import Settings
from tests.api.tenant import Json, Tenant
from tests.support import eventually


async def over(tenant: Tenant, begun: Json) -> Json:
    """The bulk change once it has come to its end."""

    async def done() -> Json | None:
        found: Json = await tenant.get(f"/bulk-changes/{begun['id']}")
        return found if found["status"] in ("done", "stopped") else None

    found = await eventually(done, timeout=20)
    assert found is not None
    return found


async def ask(tenant: Tenant, change: Json, *, key: str | None = None, **which: Any) -> Json:
    begun: Json = await tenant.post("/tickets/bulk", {"change": change, **which}, key=key)
    return begun


async def test_filtered_tickets_are_changed_once_and_refusals_say_why(tenant: Tenant) -> None:
    member = await tenant.member()
    there = [await tenant.ticket(tags=["outage"]) for _ in range(3)]
    there.append(await tenant.ticket("resolved", tags=["outage"]))
    closed = await tenant.ticket("closed", tags=["outage"])
    other = await tenant.ticket(tags=["else"])
    change = {"kind": "status", "to": "resolved", "reason": "It is over.", "tell_customer": False}
    tried = await ask(tenant, change, filter={"tag": ["Outage"]}, dry_run=True)
    assert (tried["id"], tried["tickets"], tried["changed"], tried["unchanged"]) == (None, 5, 3, 1)
    assert tried["refusals"] == {"illegal_transition": 1}
    assert {(await tenant.reload(each))["status"] for each in there[:3]} == {"open"}

    acting = tenant.acting_for(member)
    begun = await ask(acting, change, key="bulk", filter={"tag": ["outage"]})
    assert await ask(acting, change, key="bulk", filter={"tag": ["outage"]}) == begun
    done = await over(tenant, begun)
    assert [done[name] for name in ("status", "tickets", "examined", "changed", "unchanged", "refused")] == [
        *["done", 5, 5, 3, 1, 1]
    ]
    [refused] = done["first_refused"]
    assert (refused["ticket_id"], refused["code"], refused["number"]) == (
        *(closed["id"], "illegal_transition", closed["number"]),
    )
    assert done["finished_at"] is not None
    for ticket in there[:3]:
        event = (await tenant.events(ticket))[-1]
        assert (event["kind"], event["reason"], event["actor"]["id"]) == ("status_changed", "It is over.", member["id"])
        assert event["version"] == 2
    assert (await tenant.reload(other))["status"] == "open"


@pytest.mark.parametrize(
    ("change", "field", "becomes"),
    [
        ({"kind": "priority", "priority": "urgent"}, "priority", "urgent"),
        ({"kind": "tags", "add": ["new", "kept"], "remove": ["old", "unknown"]}, "tags", ["kept", "new"]),
        ({"kind": "assignment", "assignee_id": "{member}"}, "assignee", {"id": "{member}"}),
    ],
)
async def test_each_kind_of_change_by_ids(tenant: Tenant, change: Json, field: str, becomes: Any) -> None:
    member = await tenant.member()
    change = {name: member["id"] if value == "{member}" else value for name, value in change.items()}
    tickets = [await tenant.ticket(tags=["kept", "old"]) for _ in range(2)]
    unknown = str(uuid4())
    done = await over(tenant, await ask(tenant, change, ticket_ids=[*(each["id"] for each in tickets), unknown]))
    assert (done["changed"], done["refusals"]) == (2, {"not_found": 1})
    for ticket in tickets:
        found = (await tenant.reload(ticket))[field]
        assert (found["id"] == member["id"]) if field == "assignee" else (found == becomes)
    again = await over(tenant, await ask(tenant, change, ticket_ids=[each["id"] for each in tickets]))
    assert (again["changed"], again["unchanged"]) == (0, 2)


async def test_a_page_that_is_tried_again_counts_and_acts_once(
    tenant: Tenant, settings: Settings, temporal_client: Client
) -> None:
    tickets = [await tenant.ticket() for _ in range(3)]
    begun = await ask(tenant, {"kind": "priority", "priority": "low"}, ticket_ids=[each["id"] for each in tickets])
    done = await over(tenant, begun)
    engine = make_engine(settings)
    bulk = BulkChanges(make_sessions(engine), temporal_client)
    request = ChangeTickets(bulk_change_id=UUID(begun["id"]), examined=0)
    try:
        again: ChangedTickets = await ActivityEnvironment().run(bulk.change, request)
        assert (again.examined, again.over) == (3, True)
        with psycopg.connect(settings.psycopg_url) as connection:  # as if the worker had died before it counted
            connection.execute(
                "UPDATE bulk_changes SET status = 'running', examined = 0, changed = 0 WHERE id = %s", [begun["id"]]
            )
        again = await ActivityEnvironment().run(bulk.change, request)
    finally:
        await engine.dispose()
    assert (again.examined, again.over) == (3, True)
    assert (await tenant.get(f"/bulk-changes/{begun['id']}"))["changed"] == done["changed"] == 3
    assert {(await tenant.reload(each))["version"] for each in tickets} == {2}


async def test_bulk_change_is_stopped_after_the_page_it_is_at(tenant: Tenant, settings: Settings) -> None:
    ticket = await tenant.ticket()
    begun = await ask(tenant, {"kind": "priority", "priority": "low"}, ticket_ids=[ticket["id"]])
    done = await over(tenant, begun)
    stopped = await tenant.post(f"/bulk-changes/{begun['id']}/stop")
    assert stopped == done, "what is over stays as it is"
    waiting = uuid4()
    with psycopg.connect(settings.psycopg_url) as connection:  # one whose worker has not begun yet
        connection.execute(
            """INSERT INTO bulk_changes (id, organization_id, actor, change, ticket_ids, status)
            SELECT %s, organization_id, actor, change, ticket_ids, 'running' FROM bulk_changes WHERE id = %s""",
            [waiting, begun["id"]],
        )
    assert (await tenant.post(f"/bulk-changes/{waiting}/stop"))["status"] == "stopping"
    engine = make_engine(settings)
    try:
        bulk = BulkChanges(make_sessions(engine), None)  # type: ignore[arg-type] # nothing may be asked of Temporal
        ended = await ActivityEnvironment().run(bulk.change, ChangeTickets(bulk_change_id=waiting, examined=0))
    finally:
        await engine.dispose()
    assert ended.over
    assert (await tenant.get(f"/bulk-changes/{waiting}"))["status"] == "stopped"


@pytest.mark.parametrize(
    "document",
    [
        {"change": {"kind": "priority", "priority": "low"}},
        {"change": {"kind": "priority", "priority": "low"}, "ticket_ids": [str(uuid4())], "filter": {}},
        {"change": {"kind": "tags"}, "filter": {}},
        {"change": {"kind": "assignment"}, "filter": {}},
        {"change": {"kind": "nonsense"}, "filter": {}},
        {"change": {"kind": "priority", "priority": "low"}, "ticket_ids": [str(uuid4())] * 10_001},
    ],
)
async def test_what_says_nothing_clear_is_refused(tenant: Tenant, document: Json) -> None:
    answer = await tenant.call("POST", "/tickets/bulk", document)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
