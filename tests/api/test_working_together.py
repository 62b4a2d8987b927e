"""Mentions, watchers, presence and links: members at work on the same tickets."""

from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from settings import Settings
from tests.api.sla import policy
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually


async def told(tenant: Tenant, member: Json) -> list[str]:
    """The kinds of what a member was told, the oldest first."""
    notices = [each["kind"] async for each in tenant.pages("/notifications", member_id=member["id"])]
    return sorted(notices)


async def watch(tenant: Tenant, ticket: Json, member: Json) -> None:
    answer = await tenant.call("PUT", f"/tickets/{ticket['id']}/watchers/{member['id']}")
    assert answer.status_code == 204, answer.text


async def watchers(tenant: Tenant, ticket: Json) -> list[str]:
    return [each["member_id"] for each in await tenant.get(f"/tickets/{ticket['id']}/watchers")]


# Mentions


async def test_mentioned_members_are_told_once_and_watch_and_the_author_is_not_told(tenant: Tenant) -> None:
    author, named, other = [await tenant.member() for _ in range(3)]
    ticket = await tenant.ticket()
    document = {"body": "Look at this.", "mention_ids": [named["id"], author["id"], named["id"]]}
    notes = f"/tickets/{ticket['id']}/notes"
    first, again = [await tenant.acting_for(author).call("POST", notes, document, key="n") for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["mention_ids"] == [named["id"], author["id"]]
    assert (await told(tenant, named), await told(tenant, author), await told(tenant, other)) == (["mentioned"], [], [])
    [notice] = [each async for each in tenant.pages("/notifications", member_id=named["id"])]
    assert ticket["title"] in notice["why"]
    assert await watchers(tenant, ticket) == [named["id"]]
    second = {"body": "And at that.", "mention_ids": [named["id"]]}
    await tenant.acting_for(author).post(notes, second)
    assert await told(tenant, named) == ["mentioned", "mentioned"]


async def test_a_note_that_names_nobody_known_is_refused_and_not_kept(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    notes = f"/tickets/{ticket['id']}/notes"
    answer = await tenant.call("POST", notes, {"body": "A", "mention_ids": [ticket["id"]]})
    assert (answer.status_code, answer.json()["code"], answer.json()["at"]) == (422, "invalid_reference", "mention_ids")
    assert (await tenant.get(notes))["items"] == []


# Watchers


async def test_watchers_are_told_what_the_assignee_is_told_each_once(tenant: Tenant) -> None:
    await tenant.post("/sla-policies", policy(resolution="PT2S"))  # time to watch and to leave
    assignee, watcher, left, nobody = [await tenant.member() for _ in range(4)]
    ticket = await tenant.ticket(assignee_id=assignee["id"])
    for member in (assignee, watcher, left):
        await watch(tenant, ticket, member)
    assert (await tenant.call("DELETE", f"/tickets/{ticket['id']}/watchers/{left['id']}")).status_code == 204
    assert await watchers(tenant, ticket) == [assignee["id"], watcher["id"]]
    await tenant.message(ticket)
    breach = {"sla_warning": 1, "sla_breached": 1}

    async def breached() -> bool:
        return await told(tenant, watcher) == sorted(["customer_replied", *breach])

    await eventually(breached)
    assert await told(tenant, assignee) == sorted(["customer_replied", "ticket_assigned", *breach])
    for status in ("in_progress", "resolved", "open"):
        await tenant.acting_for(assignee).post(f"/tickets/{ticket['id']}/status", {"to": status})
    expected = ["customer_replied", *breach, "status_changed", "status_changed", "ticket_reopened"]
    assert await told(tenant, watcher) == sorted(expected)
    assert "status_changed" not in await told(tenant, assignee)  # of one's own acts nobody is told
    assert (await told(tenant, left), await told(tenant, nobody)) == ([], [])


async def test_watching_twice_is_watching_once(tenant: Tenant) -> None:
    member, ticket = await tenant.member(), await tenant.ticket()
    for _ in range(2):
        await watch(tenant, ticket, member)
    assert await watchers(tenant, ticket) == [member["id"]]
    answer = await tenant.call("PUT", f"/tickets/{ticket['id']}/watchers/{ticket['id']}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_reference")


# Presence


async def test_presence_is_seen_by_others_until_it_ends_or_is_not_renewed(tenant: Tenant, settings: Settings) -> None:
    ana, ben = await tenant.member(), await tenant.member()
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}/presence"
    await tenant.acting_for(ana).call("PUT", path, {"activity": "viewing"})
    seen = (await tenant.acting_for(ben).call("PUT", path, {"activity": "answering"})).json()
    assert [(each["member_id"], each["activity"]) for each in seen] == [
        (ana["id"], "viewing"),
        (ben["id"], "answering"),
    ]
    assert seen == await tenant.get(path)
    renewed = (await tenant.acting_for(ben).call("PUT", path, {"activity": "answering"})).json()
    assert renewed[1]["since"] == seen[1]["since"]
    assert renewed[1]["expires_at"] > seen[1]["expires_at"]
    assert (await tenant.acting_for(ben).call("DELETE", path)).status_code == 204
    assert [each["member_id"] for each in await tenant.get(path)] == [ana["id"]]
    with psycopg.connect(settings.psycopg_url) as connection:  # half a minute passes
        connection.execute("UPDATE ticket_presences SET expires_at = %s", [datetime.now(UTC) - timedelta(seconds=1)])
    assert await tenant.get(path) == []
    assert (await tenant.call("PUT", path, {"activity": "viewing"})).json()["code"] == "member_required"


# Links


@pytest.mark.parametrize(
    ("kind", "back"), [("related", "related"), ("duplicate_of", "duplicated_by"), ("blocks", "blocked_by")]
)
async def test_link_is_shown_from_both_sides_and_made_once(tenant: Tenant, kind: str, back: str) -> None:
    one, other = await tenant.ticket(), await tenant.ticket(title="Another")
    made = await tenant.post(f"/tickets/{one['id']}/links", {"kind": kind, "ticket_id": other["id"]})
    assert await tenant.get(f"/tickets/{one['id']}/links") == [made]
    [seen] = await tenant.get(f"/tickets/{other['id']}/links")
    assert (made["relation"], made["title"], made["ticket_id"]) == (kind, "Another", other["id"])
    assert (seen["relation"], seen["id"], seen["ticket_id"]) == (back, made["id"], one["id"])
    again = await tenant.call("POST", f"/tickets/{one['id']}/links", {"kind": kind, "ticket_id": other["id"]})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    if kind == "related":
        turned = await tenant.call("POST", f"/tickets/{other['id']}/links", {"kind": kind, "ticket_id": one["id"]})
        assert turned.status_code == 409
    removed = f"/tickets/{other['id']}/links/{made['id']}"
    assert (await tenant.call("DELETE", removed)).status_code == 204
    assert (await tenant.call("DELETE", removed)).status_code == 404
    assert await tenant.get(f"/tickets/{one['id']}/links") == []


async def test_nothing_of_another_organization_can_be_linked_or_merged(http: httpx.AsyncClient, tenant: Tenant) -> None:
    mine, theirs = await tenant.ticket(), await (await new_tenant(http)).ticket()
    for path, document, field in (
        ("links", {"kind": "blocks", "ticket_id": theirs["id"]}, "ticket_id"),
        ("links", {"kind": "blocks", "ticket_id": mine["id"]}, "ticket_id"),
        ("merge", {"into": theirs["id"]}, "into"),
    ):
        answer = await tenant.call("POST", f"/tickets/{mine['id']}/{path}", document)
        assert (answer.status_code, answer.json()["code"], answer.json()["at"]) == (422, "invalid_reference", field)


async def test_follow_up_is_shown_as_a_link_from_both_sides(http: httpx.AsyncClient) -> None:
    tenant = await new_tenant(http, reopen_window="PT0.001S")
    old = await tenant.ticket("closed")

    async def follow_up() -> Json:
        told_to: Json = (await tenant.message(old)).json()
        assert told_to["ticket_id"] != old["id"]
        return told_to

    new_id = (await eventually(follow_up))["ticket_id"]
    [forward] = await tenant.get(f"/tickets/{old['id']}/links")
    [back] = await tenant.get(f"/tickets/{new_id}/links")
    assert (forward["relation"], forward["ticket_id"], forward["id"]) == ("followed_up_by", new_id, None)
    assert (back["relation"], back["ticket_id"], back["status"]) == ("follow_up_of", old["id"], "closed")
