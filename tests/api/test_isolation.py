from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.permissions import Access
from tests.api.description import OPERATIONS, PREFIX, Operation
from tests.api.running import OPERATOR_KEY
from tests.api.tenant import Json, Tenant, new_tenant
from tests.api.things import Things

inside = [operation for operation in OPERATIONS if operation.access in (Access.GRANTED, Access.OPERATOR)]
# What names a thing of the platform's by an id of the platform's own makes it where it is not there.
MAKES_ITS_OWN = {("POST", "/conversations/{external_id}/messages")}
about_a_thing = [
    operation
    for operation in inside
    if "{" in operation.path and (operation.method, operation.below_prefix) not in MAKES_ITS_OWN
]
# The stream of live events does not end; tests/api/test_live_events.py has its own words about strangers.
of_everything = [
    operation
    for operation in inside
    if "{" not in operation.path and operation.method == "GET" and operation.below_prefix != "/events"
]


@pytest.fixture(scope="module")
async def stranger(http: httpx.AsyncClient) -> Tenant:
    """Another organization, which must see nothing of the others'."""
    return await new_tenant(http)


@pytest.fixture(scope="module")
async def furnished(http: httpx.AsyncClient) -> Things:
    """An organization that has one of each thing, or makes it when a test asks for it."""
    things = Things(await new_tenant(http))
    for kind in ("tickets", "members", "teams", "reminder-ladders", "escalation-ladders", "api-keys", "calendars"):
        await things.fill(f"/{kind}/{{id}}")
    await things.fill("/sla-policies/{id}")
    return things


def named_anew(document: Json) -> Json:
    """Names of teams are unique."""
    return {"name": f"Team {uuid4()}"} if "name" in document else {}


def document_for(operation: Operation) -> Json | None:
    """Something valid that names nobody, so that only the path can be the reason for a refusal."""
    if operation.path.endswith("/assignment"):
        return {"assignee_id": None}
    return operation.examples[-1] if operation.examples else None


@pytest.mark.parametrize("operation", about_a_thing, ids=str)
async def test_what_belongs_to_another_organization_is_not_there(
    furnished: Things, stranger: Tenant, operation: Operation
) -> None:
    tenant, path = furnished.tenant, await furnished.fill(operation.below_prefix)
    year = {"year": 2026}  # the holidays of a calendar are asked for by year
    foreign = await stranger.call(operation.method, path, document_for(operation), params=year)
    nowhere = await furnished.fill(operation.below_prefix.replace(operation.below_prefix.split("/")[2], str(uuid4())))
    missing = await tenant.call(operation.method, nowhere, document_for(operation), params=year)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found"), foreign.text
    assert foreign.json() == missing.json(), "what exists elsewhere must not be told from what exists nowhere"

    own = await tenant.call(operation.method, path, document_for(operation), params=year)
    # Examples cannot know anybody's ids, programs are nobody's presence, and nobody has taken the conversation.
    harmless = ("already_exists", "illegal_transition", "invalid_reference", "member_required", "not_claimed")
    assert own.is_success or own.json()["code"] in harmless, own.text
    if operation.method == "DELETE":
        furnished.forget(operation.below_prefix)


@pytest.mark.parametrize("operation", of_everything, ids=str)
async def test_lists_show_nothing_of_another_organization(
    furnished: Things, stranger: Tenant, operation: Operation
) -> None:
    path = operation.below_prefix
    shown = (await stranger.call("GET", path, params={"q": "invoice"})).text
    shown += (await stranger.call("GET", path)).text
    for thing_id in (furnished.tenant.id, *furnished.ids.values()):
        assert thing_id not in shown
    if path in furnished.ids:
        assert furnished.ids[path] in (await furnished.tenant.call("GET", path)).text


@pytest.mark.parametrize(
    ("path", "document", "field"),
    [
        ("/tickets", {"title": "A", "team_id": "{/teams}"}, "team_id"),
        ("/tickets", {"title": "A", "assignee_id": "{/members}"}, "assignee_id"),
        ("/tickets", {"title": "A", "channel_id": "{/channels}"}, "channel_id"),
        ("/tickets/{ticket_id}/notes", {"body": "A", "mention_ids": ["{/members}"]}, "mention_ids"),
        ("/tickets/{ticket_id}/assignment", {"team_id": "{/teams}"}, "team_id"),
        ("/tickets/{ticket_id}/assignment", {"assignee_id": "{/members}"}, "assignee_id"),
        ("/teams", {"name": "A", "supervisor_id": "{/members}"}, "supervisor_id"),
        ("/teams", {"name": "A", "member_ids": ["{/members}"]}, "member_ids"),
        ("/teams", {"name": "A", "escalation_ladder_id": "{/escalation-ladders}"}, "escalation_ladder_id"),
    ],
)
async def test_nothing_of_another_organization_can_be_named(
    furnished: Things, stranger: Tenant, path: str, document: Json, field: str
) -> None:
    mine, theirs = furnished, Things(stranger)
    for kind in ("teams", "members", "escalation-ladders", "channels"):
        await mine.fill(f"/{kind}/{{id}}")

    def naming(value: Any) -> Any:
        if isinstance(value, list):
            return [naming(each) for each in value]
        return mine.ids.get(value.strip("{}"), value)

    sent = {name: naming(value) for name, value in document.items()}
    refusal = await stranger.call("POST", await theirs.fill(path), sent)
    assert (refusal.status_code, refusal.json()["code"], refusal.json()["at"]) == (422, "invalid_reference", field)
    assert (await mine.tenant.call("POST", await mine.fill(path), sent | named_anew(sent))).is_success


async def test_nobody_acts_for_another_organizations_member(tenant: Tenant, stranger: Tenant) -> None:
    member = await tenant.member()
    refusal = await stranger.acting_for(member).call("GET", "/tickets")
    assert (refusal.status_code, refusal.json()["at"]) == (422, "Baton-On-Behalf-Of")
    assert (await tenant.acting_for(member).call("GET", "/tickets")).status_code == 200


async def test_two_organizations_share_numbers_keys_and_customers_names_without_meeting(
    http: httpx.AsyncClient, tenant: Tenant
) -> None:
    document = {"title": "A", "requester": {"external_id": "customer-1", "name": "A customer"}}
    mine, theirs = [await each.post("/tickets", document, key="k") for each in (tenant, await new_tenant(http))]
    assert mine["number"] == theirs["number"] == 1
    assert len({mine["id"], theirs["id"]}) == 2
    assert len({mine["requester"]["id"], theirs["requester"]["id"]}) == 2


async def test_two_organizations_conversations_of_one_name_do_not_meet(http: httpx.AsyncClient, tenant: Tenant) -> None:
    message = {"external_id": "m-1", "author": "customer", "body": "Hello?"}
    other = await new_tenant(http)
    mine, theirs = [await each.post("/conversations/chat-9/messages", message) for each in (tenant, other)]
    assert mine["conversation_id"] != theirs["conversation_id"]
    assert [each["id"] for each in (await tenant.get("/conversations"))["items"]] == [mine["conversation_id"]]
    assert [each["id"] for each in (await other.get("/conversations/chat-9/messages"))["items"]] == [theirs["id"]]


@pytest.mark.parametrize("operation", inside, ids=str)
async def test_nothing_works_without_a_key(http: httpx.AsyncClient, stranger: Tenant, operation: Operation) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    path = "/".join(str(uuid4()) if part.endswith("_id") else part for part in path.split("/"))
    operators = operation.path == f"{PREFIX}/organizations"
    # What is no key of ours by turns, since all is read in one place; tests/api/test_permissions.py sends none at all.
    nobodys = ["Bearer nonsense", "Basic bm9ib2R5", "Bearer", "nonsense"][inside.index(operation) % 4]
    for authorization in (nobodys, f"Bearer {stranger.key if operators else OPERATOR_KEY}"):
        headers = {"Authorization": authorization}
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
