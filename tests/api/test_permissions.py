from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import SecretStr

from api.app import create_app
from api.permission_check import check_permissions, operations_of
from domain.permissions import OPERATIONS, Access, Role, Scope, as_markdown, highest_gift
from settings import Settings
from tests.api.browser import Browser, browsing, joined
from tests.api.description import OPERATIONS as DESCRIBED
from tests.api.description import PREFIX, Operation
from tests.api.tenant import Json, Tenant, new_tenant

DOCS = Path(__file__).parents[2] / "docs" / "permissions.md"
# The stream of live events does not end.
granted = [each for each in DESCRIBED if each.access is Access.GRANTED and each.below_prefix != "/events"]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.below_prefix}"


def nowhere(operation: Operation) -> str:
    """The path with ids of nothing: whoever may ask is told that it is not there."""
    parts = operation.below_prefix.split("/")
    return "/".join(str(uuid4()) if part.startswith("{") else part for part in parts)


def admits(answer: httpx.Response) -> bool:
    """Whether the caller got past the door; what they asked for may still not be there, or make no sense."""
    assert answer.status_code < 500, answer.text
    if answer.status_code == 403 and answer.json()["code"] == "member_required":
        return True  # the table let a program in that acts for nobody
    return answer.status_code not in (401, 403)


@pytest.fixture(scope="module")
async def office(http: httpx.AsyncClient) -> Tenant:
    return await new_tenant(http)


@pytest.fixture(scope="module")
async def people(http: httpx.AsyncClient, settings: Settings, office: Tenant) -> AsyncIterator[dict[Role, Browser]]:
    """A person of each role, signed in."""
    async with AsyncExitStack() as stack:
        found = {}
        for role in Role:
            found[role] = await stack.enter_async_context(browsing(http.base_url))
            await joined(found[role], settings, office, f"{role}@permissions.example", role)
        yield found


def test_every_route_is_in_the_table_and_every_row_is_a_route() -> None:
    app = create_app(Settings(secret_key=SecretStr("0" * 32)))
    assert {operation for operation, _ in operations_of(app, PREFIX)} == set(OPERATIONS)


def test_api_does_not_start_with_a_route_nobody_has_decided_on() -> None:
    async def anybody() -> None: ...

    async def harmless(_: Annotated[None, Depends(anybody)]) -> None: ...

    router = APIRouter()
    router.get("/forgotten")(harmless)
    router.get("/tickets")(harmless)
    app = FastAPI()
    app.include_router(router, prefix=PREFIX)
    with pytest.raises(RuntimeError) as refusal:
        check_permissions(app, PREFIX)
    assert "GET /forgotten is not in the table" in str(refusal.value)
    assert "GET /tickets is granted, but does not ask principal" in str(refusal.value)


def test_the_page_shows_the_table() -> None:
    assert as_markdown() in DOCS.read_text(), "write it anew: see the page's last lines"


@pytest.mark.parametrize("operation", granted, ids=str)
async def test_each_role_may_do_what_the_table_says(people: dict[Role, Browser], operation: Operation) -> None:
    permission = OPERATIONS[named(operation)]
    for role, browser in people.items():
        answer = await browser.call(operation.method, nowhere(operation))
        assert admits(answer) == (role in permission.roles), f"{role}: {answer.text}"
        if not admits(answer):
            assert answer.json()["code"] == "forbidden"
            assert answer.json()["roles"] == [each for each in Role if each in permission.roles]


@pytest.fixture(scope="module")
async def keys(office: Tenant) -> dict[Scope | None, Tenant]:
    """A key of each scope alone, and under ``None`` one with all rights that was revoked."""
    found: dict[Scope | None, Tenant] = {}
    for scope in Scope:
        made = await office.post("/api-keys", {"name": scope, "scopes": [scope]})
        found[scope] = replace(office, key=made["key"])
    revoked = await office.post("/api-keys", {"name": "revoked"})
    assert (await office.call("DELETE", f"/api-keys/{revoked['id']}")).status_code == 204
    found[None] = replace(office, key=revoked["key"])
    return found


_lacking: dict[tuple[str, Scope], Tenant] = {}


async def everything_but(scope: Scope, office: Tenant) -> Tenant:
    """A key with all other scopes but ``admin``; made once for an organization."""
    if (office.id, scope) not in _lacking:
        scopes = [each for each in Scope if each not in (scope, Scope.ADMIN)]
        made = await office.post("/api-keys", {"name": f"all but {scope}", "scopes": scopes})
        _lacking[office.id, scope] = replace(office, key=made["key"])
    return _lacking[office.id, scope]


@pytest.mark.parametrize("operation", granted, ids=str)
async def test_each_key_may_do_what_its_scopes_say(
    office: Tenant, keys: dict[Scope | None, Tenant], operation: Operation
) -> None:
    wanted = OPERATIONS[named(operation)].scope
    assert wanted is not None
    others = await everything_but(wanted, office)
    for program, admitted in ((keys[wanted], True), (keys[Scope.ADMIN], True), (others, False), (keys[None], False)):
        answer = await program.call(operation.method, nowhere(operation))
        assert admits(answer) == admitted, answer.text
        if program is others:
            assert (answer.json()["code"], answer.json()["scope"]) == ("forbidden", wanted)
    assert answer.status_code == 401


@pytest.mark.parametrize("operation", [each for each in DESCRIBED if each.access not in (None, Access.PUBLIC)], ids=str)
async def test_nothing_but_the_doors_opens_to_nobody(http: httpx.AsyncClient, operation: Operation) -> None:
    answer = await http.request(operation.method, f"{PREFIX}{nowhere(operation)}")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


signed_in = [operation for operation in DESCRIBED if operation.access is Access.SIGNED_IN]


@pytest.mark.parametrize("operation", signed_in, ids=str)
async def test_a_key_has_no_session(office: Tenant, operation: Operation) -> None:
    assert (await office.call(operation.method, nowhere(operation))).status_code == 401


async def test_member_acted_for_limits_the_program(office: Tenant, keys: dict[Scope | None, Tenant]) -> None:
    agent = await office.member()
    refusal = await office.acting_for(agent).call("POST", "/calendars", {})
    assert (refusal.status_code, refusal.json()["roles"]) == (403, ["owner", "admin"])
    assert (await office.acting_for(agent).call("GET", "/calendars")).status_code == 200
    lacking = await keys[Scope.TICKETS_READ].acting_for(agent).call("GET", "/tickets")
    assert (lacking.status_code, lacking.json()["scope"]) == (403, "members:act_for")
    both = await office.post("/api-keys", {"name": "both", "scopes": ["members:act_for", "tickets:read"]})
    assert (await replace(office, key=both["key"]).acting_for(agent).call("GET", "/tickets")).status_code == 200


async def test_key_stops_when_it_expires_and_tells_when_it_was_used(office: Tenant) -> None:
    gone = await office.post("/api-keys", {"name": "short", "expires_at": "2026-01-01T00:00:00Z"})
    assert (await replace(office, key=gone["key"]).call("GET", "/tickets")).status_code == 401
    made = await office.post("/api-keys", {"name": "long", "expires_at": "2999-01-01T00:00:00Z"})
    assert made["last_used_at"] is None

    async def used() -> str | None:
        keys: list[Json] = [key async for key in office.pages("/api-keys")]
        last: str | None = next(key for key in keys if key["id"] == made["id"])["last_used_at"]
        return last

    assert (await replace(office, key=made["key"]).call("GET", "/tickets")).status_code == 200
    first = await used()
    assert first is not None
    await replace(office, key=made["key"]).call("GET", "/tickets")
    assert await used() == first, "written again within the minute"


async def test_nobody_gives_a_key_more_than_they_have(
    office: Tenant, people: dict[Role, Browser], keys: dict[Scope | None, Tenant]
) -> None:
    for document in ({"name": "all"}, {"name": "all", "scopes": ["admin"]}):
        assert (await people[Role.ADMIN].call("POST", "/api-keys", document)).status_code == 403
        assert (await people[Role.OWNER].call("POST", "/api-keys", document)).status_code == 201
    some = {"name": "some", "scopes": ["tickets:read"]}
    assert (await people[Role.ADMIN].call("POST", "/api-keys", some)).status_code == 201
    admin = (await people[Role.ADMIN].session())["current"]["member_id"]
    assert (await office.acting_for({"id": admin}).call("POST", "/api-keys", {"name": "all"})).status_code == 403


async def test_nobody_gives_or_takes_a_role_above_their_own(
    office: Tenant, people: dict[Role, Browser], keys: dict[Scope | None, Tenant]
) -> None:
    agent = await office.member()
    owner = (await people[Role.OWNER].session())["current"]["member_id"]
    admin = people[Role.ADMIN]
    for method, path, document in (
        ("PATCH", f"/members/{agent['id']}", {"role": "owner"}),
        ("PATCH", f"/members/{owner}", {"role": "agent"}),
        ("PATCH", f"/members/{owner}", {"status": "disabled"}),
        ("DELETE", f"/members/{owner}", None),
        ("POST", "/members", {"name": "O", "email": "o@example.com", "role": "owner"}),
        ("POST", "/invitations", {"invitations": [{"email": "o@example.com", "role": "owner"}]}),
    ):
        refusal = await admin.call(method, path, document)
        assert (refusal.status_code, refusal.json()["code"]) == (403, "forbidden"), path
    assert (await admin.call("PATCH", f"/members/{agent['id']}", {"role": "admin"})).status_code == 200
    people_writer = keys[Scope.PEOPLE_WRITE]
    document = {"name": "N", "email": "n@example.com"}
    assert (await people_writer.call("POST", "/members", {**document, "role": "supervisor"})).status_code == 403
    assert (await people_writer.call("POST", "/members", document)).status_code == 201


async def test_the_last_owner_stays(office: Tenant, people: dict[Role, Browser]) -> None:
    owner = (await people[Role.OWNER].session())["current"]["member_id"]
    for method, document in (("PATCH", {"role": "admin"}), ("PATCH", {"status": "disabled"}), ("DELETE", None)):
        refusal = await office.call(method, f"/members/{owner}", document)
        assert (refusal.status_code, refusal.json()["code"]) == (409, "last_owner")
    second = await office.member(role="owner")
    assert (await office.call("PATCH", f"/members/{second['id']}", {"role": "admin"})).status_code == 200


@pytest.mark.parametrize(
    ("role", "scopes", "highest"),
    [
        (None, None, Role.OWNER),  # a key with all rights
        (None, {Scope.ADMIN}, Role.OWNER),
        (None, {Scope.PEOPLE_WRITE}, Role.AGENT),
        (Role.ADMIN, None, Role.ADMIN),  # signed in, or acted for by a key with all rights
        (Role.OWNER, {Scope.PEOPLE_WRITE}, Role.AGENT),
        (Role.ADMIN, {Scope.ADMIN}, Role.ADMIN),
    ],
)
def test_highest_role_one_may_give(role: Role | None, scopes: set[Scope] | None, highest: Role) -> None:
    assert highest_gift(role, scopes) is highest
