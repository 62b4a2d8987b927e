from collections.abc import AsyncIterator

import httpx
import pytest

from settings import Settings
from tests.api.browser import PASSWORD, Browser, browsing, joined, token_to
from tests.api.rules import EVENTS, ROUTING, rule
from tests.api.tenant import Json, Tenant

OFFICE = {"name": "Office", "time_zone": "UTC", "hours": [{"day": "monday", "opens": "09:00", "closes": "17:00"}]}


@pytest.fixture
async def browser(http: httpx.AsyncClient) -> AsyncIterator[Browser]:
    async with browsing(http.base_url) as made:
        yield made


async def entries(tenant: Tenant, **wanted: object) -> list[Json]:
    """The oldest first."""
    return [each async for each in tenant.pages("/audit-log", **wanted)][::-1]


def told(entry: Json) -> tuple[str, Json | None, Json | None]:
    return entry["action"], entry["before"], entry["after"]


async def test_change_is_written_down_with_what_it_changed_and_by_whom(tenant: Tenant) -> None:
    boss, agent = await tenant.member(role="admin"), await tenant.member()
    path = f"/members/{agent['id']}"
    changed = await tenant.acting_for(boss).call("PATCH", path, {"role": "supervisor", "presence": "online"})
    assert changed.status_code == 200
    await tenant.acting_for(boss).call("PATCH", path, {"role": "supervisor"})  # changes nothing
    await tenant.acting_for(boss).call("DELETE", path)
    made, promoted, removed = await entries(tenant, subject_id=agent["id"])
    assert made["action"] == "member.created"
    assert made["before"] is None
    assert made["after"] | {"email": agent["email"], "role": "agent", "status": "active"} == made["after"]
    assert told(promoted) == ("member.changed", {"role": "agent"}, {"role": "supervisor"})
    assert told(removed) == ("member.changed", {"status": "active"}, {"status": "disabled"})
    key = (await tenant.get("/api-keys"))["items"][0]["id"]
    assert promoted["actor"] == {
        "kind": "member",
        "id": boss["id"],
        "name": boss["name"],
        "key_id": key,
        "address": "127.0.0.1",
    }
    assert made["actor"]["kind"] == "api_key"


async def test_settings_rules_and_keys_are_written_down_without_secrets(tenant: Tenant) -> None:
    await tenant.call("PATCH", "/organization", {"auto_close_after": "P5D"})
    calendar = await tenant.post("/calendars", OFFICE)
    await tenant.call("PUT", f"/calendars/{calendar['id']}", OFFICE | {"time_zone": "Asia/Tokyo"})
    member = await tenant.member()
    team = await tenant.team(member_ids=[member["id"]])
    await tenant.call("PUT", f"/teams/{team['id']}", {"name": team["name"], "member_ids": []})
    key = await tenant.post("/api-keys", {"name": "bot", "scopes": ["tickets:read"]})
    await tenant.call("DELETE", f"/api-keys/{key['id']}")
    await tenant.call("DELETE", f"/calendars/{calendar['id']}")
    told_of = {each["action"]: each for each in await entries(tenant)}

    settings = told_of["organization.changed"]
    assert (settings["before"], settings["after"]) == ({"auto_close_after": "P3D"}, {"auto_close_after": "P5D"})
    hours = told_of["calendar.changed"]
    assert hours["before"]["definition"]["time_zone"] == "UTC"
    assert hours["after"]["definition"]["time_zone"] == "Asia/Tokyo"
    assert told_of["calendar.deleted"]["before"]["name"] == "Office"
    assert told_of["calendar.deleted"]["after"] is None
    assert told_of["team.created"]["after"]["member_ids"] == [member["id"]]
    assert told(told_of["team.changed"]) == ("team.changed", {"member_ids": [member["id"]]}, {"member_ids": []})
    assert told_of["api_key.created"]["after"]["scopes"] == ["tickets:read"]
    assert told_of["api_key.changed"]["before"] == {"revoked_at": None}
    shown = str(await entries(tenant))
    assert key["key"] not in shown
    assert "hash" not in shown


async def test_policys_versions_show_as_its_changes(tenant: Tenant) -> None:
    described = (await tenant.client.get("/openapi.json")).json()
    example = described["components"]["schemas"]["SlaPolicyDocument"]["examples"][0]
    document = example | {"name": "Gold", "enabled": True}
    policy = await tenant.post("/sla-policies", document)
    changed = await tenant.call("PUT", f"/sla-policies/{policy['id']}", document | {"name": "Platinum"})
    assert changed.status_code == 200, changed.text
    made, renamed = await entries(tenant, subject_id=policy["id"])
    assert made["action"] == "sla_policy.created"
    assert made["after"]["definition"]["targets"]
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("Gold", "Platinum")
    assert renamed["before"]["version"] == 1
    assert renamed["after"]["version"] == 2
    assert "definition" not in renamed["after"], "the same words again are no change"
    second = await tenant.post("/sla-policies", document | {"name": "Silver"})
    await tenant.call("PUT", "/sla-policies/order", {"ids": [second["id"], policy["id"]]})
    [reordered] = await entries(tenant, subject_kind="sla_policies")
    assert reordered["before"] == {"order": [policy["id"], second["id"]]}
    assert reordered["after"] == {"order": [second["id"], policy["id"]]}


async def test_order_of_rules_and_capacities_are_written_down(tenant: Tenant) -> None:
    for kind, path in (("escalation_events", EVENTS), ("routing_rules", ROUTING)):
        more = {"actions": {"tags": ["x"]}} if path == ROUTING else {}
        ids = [(await tenant.post(path, rule(name) | more))["id"] for name in ("One", "Two")]
        assert (await tenant.call("PUT", f"{path}/order", {"ids": ids[::-1]})).is_success
        [reordered] = await entries(tenant, subject_kind=kind)
        assert told(reordered) == (f"{kind}.changed", {"order": ids}, {"order": ids[::-1]})
    member = await tenant.member()
    for capacity in (3, 3, None):
        changed = await tenant.call("PUT", f"/members/{member['id']}/availability", {"capacity": capacity})
        assert changed.is_success, changed.text
    changes = [told(each)[1:] for each in await entries(tenant, subject_id=member["id"])][1:]
    assert changes == [({"capacity": None}, {"capacity": 3}), ({"capacity": 3}, {"capacity": None})]


async def test_people_invited_together_are_written_down_one_by_one(settings: Settings, tenant: Tenant) -> None:
    team = await tenant.team()
    emails = [f"{name}-{tenant.id}@example.com" for name in ("ada", "ben", "cleo")]
    wanted = {"invitations": [{"email": email, "role": "agent", "team_ids": [team["id"]]} for email in emails]}
    first = (await tenant.post("/invitations", wanted, key="all"))["items"]
    await tenant.post("/invitations", wanted, key="all")
    asked = await entries(tenant, action="invitation.created")
    assert {each["subject_id"]: each["after"]["email"] for each in asked} == {
        each["id"]: each["email"] for each in first
    }
    assert len(asked) == 3
    assert all(each["after"]["role"] == "agent" for each in asked)
    assert all(each["after"]["team_ids"] == [team["id"]] for each in asked)
    assert len(await entries(tenant, action="member.created")) == 3
    # Asked anew, each of the older invitations ends by itself; so it does when its member is removed.
    second = (await tenant.post("/invitations", {"invitations": wanted["invitations"][:2]}))["items"]
    await tenant.call("DELETE", f"/members/{second[0]['member_id']}")
    ended = await entries(tenant, action="invitation.changed")
    assert [each["subject_id"] for each in ended] == [first[0]["id"], first[1]["id"], second[0]["id"]]
    assert all(each["before"] == {"revoked_at": None} and each["after"]["revoked_at"] for each in ended)
    log = str(await entries(tenant))
    assert not any(token_to(settings, email) in log for email in emails)


async def test_erasures_and_exports_are_written_down(tenant: Tenant) -> None:
    boss = await tenant.member(role="owner")
    me = tenant.acting_for(boss)
    ticket = await me.ticket(requester={"external_id": "customer-77", "name": "Zyxwvut"})
    requester = ticket["requester"]["id"]
    for _ in range(2):
        erasure = (await me.call("DELETE", f"/requesters/{requester}", key="erase")).json()
    await me.finished(f"/erasures/{erasure['id']}")  # which gives up exports
    export = await me.post("/exports", {"keep_for": "P1D"}, key="export")
    await me.finished(f"/exports/{export['id']}")
    for _ in range(2):
        assert (await me.call("GET", f"/exports/{export['id']}/download")).status_code == 200
    [erased] = await entries(tenant, subject_id=erasure["id"])
    assert told(erased) == ("erasure.created", None, {"requester_id": requester})
    assert erased["actor"]["id"] == boss["id"]
    begun, *downloads = await entries(tenant, subject_id=export["id"])
    assert (begun["action"], begun["after"]["expires_at"]) == ("export.created", export["expires_at"])
    assert [told(each) for each in downloads] == [("export.downloaded", None, None)] * 2
    assert "Zyxwvut" not in str(await entries(tenant))


async def test_what_was_refused_or_sent_again_is_not_written(tenant: Tenant) -> None:
    document = {"name": "Ana", "email": "ana@example.com"}
    for _ in range(2):
        await tenant.call("POST", "/members", document, key="one")
    assert (await tenant.call("POST", "/members", document)).status_code == 409
    assert [each["action"] for each in await entries(tenant, subject_kind="member")] == ["member.created"]
    ticket = await tenant.ticket()
    await tenant.message(ticket)
    assert [each["action"] for each in await entries(tenant)] == ["api_key.created", "member.created"]


async def test_people_who_come_and_go_are_written_down(browser: Browser, settings: Settings, tenant: Tenant) -> None:
    email = f"ada-{tenant.id}@example.com"
    session = await joined(browser, settings, tenant, email)
    member_id = session["current"]["member_id"]
    await browser.sign_in(email, "a wrong password")
    await browser.sign_in(email)
    await browser.call("POST", "/password-resets", {"email": email})
    document = {"token": token_to(settings, email), "password": "nine grey umbrellas"}
    await browser.call("POST", "/password-resets/confirm", document)
    await browser.sign_in(email, document["password"])
    await browser.call("DELETE", "/session")
    actions = [each["action"] for each in await entries(tenant)]
    assert actions[0] == "api_key.created"
    assert set(actions[1:3]) == {"member.created", "invitation.created"}
    assert set(actions[3:5]) == {"member.changed", "invitation.changed"}
    assert actions[5:] == [
        "session.sign_in_failed",
        "session.signed_in",
        "password.reset_requested",
        "password.reset",
        "session.signed_in",
        "session.signed_out",
    ]
    [joining] = await entries(tenant, action="member.changed")
    assert joining["actor"]["id"] == member_id
    assert joining["after"]["status"] == "active"
    assert not [word for word in (PASSWORD, *document.values()) if word in str(await entries(tenant))]


async def test_log_is_read_by_page_and_filter(tenant: Tenant) -> None:
    people = [await tenant.member() for _ in range(5)]
    pages = [each async for each in tenant.pages("/audit-log", limit=2)]
    assert [each["subject_id"] for each in pages[:5]] == [each["id"] for each in reversed(people)]
    assert pages == (await tenant.get("/audit-log"))["items"]
    third = pages[2]["at"]
    since = await tenant.get("/audit-log", since=third)
    until = await tenant.get("/audit-log", until=third)
    assert [each["id"] for each in since["items"] + until["items"]] == [each["id"] for each in pages]
    boss = await tenant.member(role="owner")
    await tenant.acting_for(boss).member()
    assert len(await entries(tenant, actor_id=boss["id"])) == 1
    agent = people[0]
    assert (await tenant.acting_for(agent).call("GET", "/audit-log")).status_code == 403
