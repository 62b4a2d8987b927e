from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.api.description import OPERATIONS, PREFIX, Operation
from tests.api.running import OPERATOR_KEY
from tests.api.tenant import Json, Tenant, new_tenant
from tests.api.things import Things

inside = [operation for operation in OPERATIONS if operation.path.startswith(PREFIX)]
about_a_thing = [operation for operation in inside if "{" in operation.path]
of_everything = [operation for operation in inside if "{" not in operation.path and operation.method == "GET"]


@pytest.fixture
async def stranger(http: httpx.AsyncClient) -> Tenant:
    """Another organization, which must see nothing of the tenant's."""
    return await new_tenant(http)


def document_for(operation: Operation) -> Json | None:
    """Something valid that names nobody, so that only the path can be the reason for a refusal."""
    if operation.path.endswith("/assignment"):
        return {"assignee_id": None}
    return operation.examples[-1] if operation.examples else None


@pytest.mark.parametrize("operation", about_a_thing, ids=str)
async def test_what_belongs_to_another_organization_is_not_there(
    tenant: Tenant, stranger: Tenant, operation: Operation
) -> None:
    things = Things(tenant)
    path = await things.fill(operation.below_prefix)
    year = {"year": 2026}  # the holidays of a calendar are asked for by year
    foreign = await stranger.call(operation.method, path, document_for(operation), params=year)
    nowhere = operation.below_prefix.replace(operation.below_prefix.split("/")[2], str(uuid4()))
    missing = await tenant.call(operation.method, nowhere, document_for(operation), params=year)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found"), foreign.text
    assert foreign.json() == missing.json(), "what exists elsewhere must not be told from what exists nowhere"

    own = await tenant.call(operation.method, path, document_for(operation), params=year)
    assert own.is_success or own.json()["code"] == "already_exists", own.text


@pytest.mark.parametrize("operation", of_everything, ids=str)
async def test_lists_show_nothing_of_another_organization(
    tenant: Tenant, stranger: Tenant, operation: Operation
) -> None:
    things = Things(tenant)
    for kind in ("/tickets", "/members", "/teams", "/reminder-ladders", "/escalation-ladders", "/api-keys"):
        await things.fill(f"{kind}/{{id}}")
    for kind in ("/calendars", "/sla-policies"):
        await things.fill(f"{kind}/{{id}}")
    shown = (await stranger.call("GET", operation.below_prefix, params={"q": "invoice"})).text
    shown += (await stranger.call("GET", operation.below_prefix)).text
    for thing_id in (tenant.id, *things.ids.values()):
        assert thing_id not in shown
    if operation.below_prefix in things.ids:
        assert things.ids[operation.below_prefix] in (await tenant.call("GET", operation.below_prefix)).text


@pytest.mark.parametrize(
    ("path", "document", "field"),
    [
        ("/tickets", {"title": "A", "team_id": "{/teams}"}, "team_id"),
        ("/tickets", {"title": "A", "assignee_id": "{/members}"}, "assignee_id"),
        ("/tickets/{ticket_id}/assignment", {"team_id": "{/teams}"}, "team_id"),
        ("/tickets/{ticket_id}/assignment", {"assignee_id": "{/members}"}, "assignee_id"),
        ("/teams", {"name": "A", "supervisor_id": "{/members}"}, "supervisor_id"),
        ("/teams", {"name": "A", "member_ids": ["{/members}"]}, "member_ids"),
        ("/teams", {"name": "A", "escalation_ladder_id": "{/escalation-ladders}"}, "escalation_ladder_id"),
    ],
)
async def test_nothing_of_another_organization_can_be_named(
    tenant: Tenant, stranger: Tenant, path: str, document: Json, field: str
) -> None:
    mine, theirs = Things(tenant), Things(stranger)
    for kind in ("/teams", "/members", "/escalation-ladders"):
        await mine.fill(f"{kind}/{{id}}")

    def naming(value: Any) -> Any:
        if isinstance(value, list):
            return [naming(each) for each in value]
        return mine.ids.get(value.strip("{}"), value)

    sent = {name: naming(value) for name, value in document.items()}
    refusal = await stranger.call("POST", await theirs.fill(path), sent)
    assert (refusal.status_code, refusal.json()["code"], refusal.json()["at"]) == (422, "invalid_reference", field)
    assert (await tenant.call("POST", await mine.fill(path), sent)).is_success


async def test_nobody_acts_for_another_organizations_member(tenant: Tenant, stranger: Tenant) -> None:
    member = await tenant.member()
    refusal = await stranger.acting_for(member).call("GET", "/tickets")
    assert (refusal.status_code, refusal.json()["at"]) == (422, "Baton-On-Behalf-Of")
    assert (await tenant.acting_for(member).call("GET", "/tickets")).status_code == 200


async def test_two_organizations_share_numbers_keys_and_customers_names_without_meeting(
    tenant: Tenant, stranger: Tenant
) -> None:
    document = {"title": "A", "requester": {"external_id": "customer-1", "name": "A customer"}}
    mine, theirs = [await each.post("/tickets", document, key="k") for each in (tenant, stranger)]
    assert mine["number"] == theirs["number"] == 1
    assert len({mine["id"], theirs["id"]}) == 2
    assert len({mine["requester"]["id"], theirs["requester"]["id"]}) == 2


@pytest.mark.parametrize("operation", inside, ids=str)
async def test_nothing_works_without_a_key(http: httpx.AsyncClient, tenant: Tenant, operation: Operation) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    path = "/".join(str(uuid4()) if part.endswith("_id") else part for part in path.split("/"))
    operators = operation.path == f"{PREFIX}/organizations"
    wrong = [None, "Bearer nonsense", "Basic bm9ib2R5", f"Bearer {tenant.key if operators else OPERATOR_KEY}"]
    for authorization in wrong:
        headers = {"Authorization": authorization} if authorization else {}
        answer = await http.request(operation.method, path, headers=headers, json=document_for(operation))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized"), f"{authorization}: {answer.text}"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_revoked_key_stops_at_once_and_cannot_revoke_itself(tenant: Tenant) -> None:
    made = await tenant.post("/api-keys", {"name": "chatbot"})
    program = Tenant(tenant.client, made["key"], tenant.id)
    itself = await program.call("DELETE", f"/api-keys/{made['id']}")
    assert (itself.status_code, itself.json()["code"]) == (409, "still_in_use")
    ticket = await program.ticket()
    for _ in range(2):
        assert (await tenant.call("DELETE", f"/api-keys/{made['id']}")).status_code == 204
        assert (await program.call("GET", f"/tickets/{ticket['id']}")).status_code == 401
    listed = [key async for key in tenant.pages("/api-keys")]
    assert [(key["name"], key["revoked_at"] is None) for key in listed] == [("first key", True), ("chatbot", False)]
    assert made["key"].startswith(listed[1]["hint"])
    assert made["key"] not in str(listed)
