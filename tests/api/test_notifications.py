from dataclasses import replace
from uuid import UUID

import pytest

from domain.unsubscribing import unsubscribe_token
from tests.api.tenant import Json, Tenant


async def told(tenant: Tenant, member: Json, times: int = 1) -> list[Json]:
    """Tickets assigned to the member, who is told of each."""
    return [await tenant.ticket(assignee_id=member["id"]) for _ in range(times)]


async def test_member_reads_what_they_were_told_and_why(tenant: Tenant) -> None:
    member, other = await tenant.member(), await tenant.member()
    tickets = await told(tenant, member, 3)
    await told(tenant, other)
    me = tenant.acting_for(member)
    mine = [each async for each in me.pages("/notifications")]
    assert [each["ticket_id"] for each in mine] == [ticket["id"] for ticket in tickets]
    assert {(each["member_id"], each["medium"], each["kind"]) for each in mine} == {
        (member["id"], "in_app", "ticket_assigned")
    }
    assert all(each["why"] for each in mine)
    newest = await me.get("/notifications", newest_first=True, limit=2)
    assert [each["id"] for each in newest["items"]] == [mine[2]["id"], mine[1]["id"]]
    rest = await me.get("/notifications", newest_first=True, cursor=newest["next_cursor"])
    assert [each["id"] for each in rest["items"]] == [mine[0]["id"]]
    # By mail they wait to be gathered; nobody has set a mail server here.
    mailed = [each async for each in me.pages("/notifications", medium="email")]
    assert [(each["ticket_id"], each["mail"]) for each in mailed] == [(ticket["id"], None) for ticket in tickets]
    assert await me.get("/notifications", member_id=member["id"]) == await me.get("/notifications")


async def test_only_supervisors_and_programs_for_it_read_what_others_were_told(tenant: Tenant) -> None:
    agent, other, boss = await tenant.member(), await tenant.member(), await tenant.member(role="supervisor")
    for each in (agent, other, boss):
        await told(tenant, each)

    async def whose(reader: Tenant, **wanted: str) -> list[str]:
        return [each["member_id"] async for each in reader.pages("/notifications", **wanted)]

    async def refused(reader: Tenant, **wanted: str) -> Json:
        answer = await reader.call("GET", "/notifications", params=wanted)
        assert answer.status_code == 403, answer.text
        found: Json = answer.json()
        return found

    async def program(*scopes: str) -> Tenant:
        made = await tenant.post("/api-keys", {"name": "-".join(scopes), "scopes": scopes})
        return replace(tenant, key=made["key"])

    refusal = await refused(tenant.acting_for(agent), member_id=other["id"])
    assert (refusal["code"], refusal["roles"]) == ("forbidden", ["owner", "admin", "supervisor"])
    assert await whose(tenant.acting_for(boss)) == [boss["id"]]
    assert await whose(tenant.acting_for(boss), member_id=other["id"]) == [other["id"]]
    assert await whose(tenant) == [agent["id"], other["id"], boss["id"]]
    assert await whose(await program("tickets:read", "people:read"), member_id=other["id"]) == [other["id"]]
    assert (await refused(await program("tickets:read")))["code"] == "member_required"
    narrow = (await program("tickets:read", "members:act_for")).acting_for(boss)
    assert await whose(narrow) == [boss["id"]]
    assert (await refused(narrow, member_id=other["id"]))["scope"] == "people:read"


async def test_one_several_and_all_are_marked_read(tenant: Tenant) -> None:
    member, other = await tenant.member(), await tenant.member()
    await told(tenant, member, 4)
    await told(tenant, other)
    me, them = tenant.acting_for(member), tenant.acting_for(other)
    ids = [each["id"] async for each in me.pages("/notifications")]
    [theirs] = [each["id"] async for each in them.pages("/notifications")]
    assert await me.get("/notifications/unread") == {"unread": 4}
    assert await me.post("/notifications/read", {"ids": [ids[1], theirs]}, key="one") == {"read": 1, "unread": 3}
    assert await me.post("/notifications/read", {"ids": [ids[1], theirs]}, key="one") == {"read": 1, "unread": 3}
    assert await me.post("/notifications/read", {"ids": [ids[1]]}) == {"read": 0, "unread": 3}
    unread = (await me.get("/notifications", unread=True))["items"]
    assert [each["id"] for each in unread] == [ids[0], ids[2], ids[3]]
    assert await me.post("/notifications/read", {"up_to": ids[2]}) == {"read": 2, "unread": 1}
    assert await them.get("/notifications/unread") == {"unread": 1}
    wrong: list[Json] = [{}, {"ids": [], "up_to": None}, {"ids": [1], "up_to": 2}]
    for document in wrong:
        assert (await me.call("POST", "/notifications/read", document)).status_code == 422


async def test_preferences_decide_how_members_are_told(tenant: Tenant) -> None:
    member = await tenant.member()
    me = tenant.acting_for(member)
    before = await me.get("/notifications/preferences")
    assert before["media"]["ticket_assigned"] == {"in_app": True, "email": True}
    assert before["quiet_hours"] is None
    hours = {"from": "22:00:00", "until": "07:00:00", "days": ["monday", "friday"], "time_zone": "Europe/Berlin"}
    chosen = {"media": {"ticket_assigned": {"in_app": False, "email": False}}, "quiet_hours": hours}
    answer = await me.call("PUT", "/notifications/preferences", chosen)
    assert answer.status_code == 200, answer.text
    after = await me.get("/notifications/preferences")
    assert (
        after
        == answer.json()
        == {
            "media": before["media"] | {"ticket_assigned": {"in_app": False, "email": False}},
            "quiet_hours": hours,
        }
    )
    await told(tenant, member)
    assert (await me.get("/notifications"))["items"] == []
    assert (await me.get("/notifications", medium="email"))["items"] == []


@pytest.mark.parametrize(
    "hours",
    [
        {"from": "22:00", "until": "07:00", "time_zone": "Europe/Atlantis"},
        {"from": "22:00", "until": "22:00"},
        {"from": "22:00+01:00", "until": "07:00"},
        {"from": "22:00", "until": "07:00", "days": ["someday"]},
        {"from": "22:00", "until": "07:00", "days": []},
    ],
)
async def test_quiet_hours_that_mean_nothing_are_refused(tenant: Tenant, hours: Json) -> None:
    me = tenant.acting_for(await tenant.member())
    answer = await me.call("PUT", "/notifications/preferences", {"quiet_hours": hours})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text


async def test_only_members_have_preferences(tenant: Tenant) -> None:
    for path in ("/notifications/preferences", "/notifications/unread"):
        answer = await tenant.call("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (403, "member_required")


async def test_link_in_a_mail_unsubscribes_by_a_click_and_not_by_being_looked_at(tenant: Tenant) -> None:
    member = await tenant.member()
    me = tenant.acting_for(member)
    link = f"/unsubscribe/{unsubscribe_token(UUID(member['id']), '0' * 32)}"

    async def mailed() -> set[bool]:
        return {choice["email"] for choice in (await me.get("/notifications/preferences"))["media"].values()}

    page = await tenant.client.get(link)
    assert (page.status_code, "<form" in page.text, page.headers["content-type"]) == (
        200,
        True,
        "text/html; charset=utf-8",
    )
    assert await mailed() == {True, False}
    for _ in range(2):  # as mail programs do it
        clicked = await tenant.client.post(link, data={"List-Unsubscribe": "One-Click"})
        assert clicked.status_code == 200, clicked.text
    assert await mailed() == {False}
    assert (await me.get("/notifications/preferences"))["media"]["mentioned"]["in_app"]
    for method in ("GET", "POST"):
        assert (await tenant.client.request(method, f"{link[:-3]}AAA")).status_code == 404
