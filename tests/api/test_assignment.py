"""Presence, capacity, queues and removal as programs and members see them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import update

from db.engine import make_engine, make_sessions
from db.models import Member
from domain.assignment import HEARTBEAT_LIMIT
from embedded.ports import LOOPBACK, free_port
from settings import Settings
from tests.api.running import serving
from tests.api.tenant import Json, Tenant
from tests.support import eventually


async def crew(tenant: Tenant, *, people: int = 1, **document: Any) -> tuple[Json, list[Json]]:
    """A team that hands out by turns, and its members, who are online."""
    members = [await tenant.member(presence="online") for _ in range(people)]
    ids = [member["id"] for member in members]
    return await tenant.team(assignment="round_robin", member_ids=ids, **document), members


async def assigned(tenant: Tenant, ticket: Json) -> str:
    """Whom the ticket is given to."""

    async def owner() -> str:
        found = (await tenant.reload(ticket))["assignee"]
        assert found is not None
        return str(found["id"])

    return await eventually(owner)


async def queue(tenant: Tenant, team: Json) -> list[Json]:
    return [each async for each in tenant.pages(f"/teams/{team['id']}/queue", limit=2)]


async def queued(tenant: Tenant, team: Json, count: int) -> list[Json]:
    """The queue once it is so long."""

    async def grown() -> list[Json]:
        found = await queue(tenant, team)
        assert len(found) == count
        return found or [{}]

    return await eventually(grown)


async def put(tenant: Tenant, path: str, document: Json) -> Json:
    answer = await tenant.call("PUT", path, document)
    assert answer.is_success, answer.text
    found: Json = answer.json()
    return found


async def test_beat_brings_a_member_online_and_what_waited_to_them(tenant: Tenant) -> None:
    member = await tenant.member()
    team = await tenant.team(assignment="round_robin", member_ids=[member["id"]])
    ticket = await tenant.ticket(team_id=team["id"])
    await queued(tenant, team, 1)
    shown = await put(tenant.acting_for(member), "/members/me/presence", {"presence": "online"})
    assert (shown["presence"], shown["heartbeat_at"] is not None) == ("online", True)
    assert await assigned(tenant, ticket) == member["id"]
    assert await queue(tenant, team) == []
    told = (await tenant.get("/notifications", member_id=member["id"]))["items"]
    assert [each["kind"] for each in told] == ["ticket_assigned"]


async def test_presence_is_a_members_own(tenant: Tenant) -> None:
    refusal = await tenant.call("PUT", "/members/me/presence", {"presence": "online"})
    assert (refusal.status_code, refusal.json()["code"]) == (403, "member_required")


async def test_silent_member_is_shown_offline_and_gets_nothing(tenant: Tenant, settings: Settings) -> None:
    team, [member] = await crew(tenant)
    await put(tenant.acting_for(member), "/members/me/presence", {})
    engine = make_engine(settings)
    async with make_sessions(engine).begin() as session:
        silent_since = datetime.now(UTC) - HEARTBEAT_LIMIT - timedelta(seconds=1)
        await session.execute(update(Member).where(Member.id == UUID(member["id"])).values(heartbeat_at=silent_since))
    await engine.dispose()
    assert (await tenant.get(f"/members/{member['id']}"))["presence"] == "offline"
    ticket = await tenant.ticket(team_id=team["id"])
    await queued(tenant, team, 1)
    await put(tenant.acting_for(member), "/members/me/presence", {})
    assert await assigned(tenant, ticket) == member["id"]


async def test_queue_shows_who_is_next_in_pages(tenant: Tenant) -> None:
    team, [member] = await crew(tenant, member_capacity=1)
    await assigned(tenant, await tenant.ticket(team_id=team["id"]))
    tickets = []
    for number, priority in enumerate(["normal", "low", "urgent", "normal", "urgent"], start=1):
        tickets.append(await tenant.ticket(team_id=team["id"], priority=priority))
        await queued(tenant, team, number)
    shown = await queue(tenant, team)
    assert [each["ticket_id"] for each in shown] == [tickets[number]["id"] for number in (2, 4, 0, 3, 1)]
    assert next((each["position"], each["number"], each["priority"]) for each in shown) == (1, 4, "urgent")
    assert [each["position"] for each in shown] == [1, 2, 3, 4, 5]
    wrong = await tenant.call("GET", f"/teams/{team['id']}/queue", params={"cursor": "nonsense"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_cursor")
    # The most urgent leaves the queue by hand.
    await tenant.post(f"/tickets/{tickets[2]['id']}/assignment", {"assignee_id": member["id"]})
    assert [each["position"] for each in await queued(tenant, team, 4)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "way", ["own capacity", "team's capacity", "organization's capacity", "no capacity", "joins", "back", "online"]
)
async def test_whoever_becomes_free_is_given_what_waits(tenant: Tenant, way: str) -> None:
    team, [member] = await crew(
        tenant, member_capacity=None if way in ("organization's capacity", "no capacity") else 1
    )
    if way in ("organization's capacity", "no capacity"):
        await tenant.call("PATCH", "/organization", {"member_capacity": 1})
    await assigned(tenant, await tenant.ticket(team_id=team["id"]))
    ticket = await tenant.ticket(team_id=team["id"])
    await queued(tenant, team, 1)
    availability = f"/members/{member['id']}/availability"
    expected = member
    if way == "own capacity":
        await put(tenant, availability, {"capacity": 2})
    elif way == "team's capacity":
        await put(tenant, f"/teams/{team['id']}", _replaced(team, member_capacity=2))
    elif way == "organization's capacity":
        await tenant.call("PATCH", "/organization", {"member_capacity": 2})
    elif way == "no capacity":
        await tenant.call("PATCH", "/organization", {"name": "Still limited"})
        changed = await tenant.call("PATCH", "/organization", {"member_capacity": None, "name": None})
        assert (changed.json()["member_capacity"], changed.json()["name"]) == (None, "Still limited")
    elif way == "joins":
        expected = await tenant.member(presence="online")
        await put(tenant, f"/teams/{team['id']}", _replaced(team, member_ids=[*team["member_ids"], expected["id"]]))
    elif way == "back":
        yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        await put(tenant, availability, {"capacity": 2, "out_of_office": {"from": yesterday}})
        assert len(await queue(tenant, team)) == 1
        await put(tenant, availability, {"capacity": 2})
    else:
        await tenant.call("PATCH", f"/members/{member['id']}", {"presence": "away"})
        await put(tenant, availability, {"capacity": 2})
        assert len(await queue(tenant, team)) == 1
        await tenant.call("PATCH", f"/members/{member['id']}", {"presence": "online"})
    assert await assigned(tenant, ticket) == expected["id"]


def _replaced(team: Json, **changes: Any) -> Json:
    return {name: team[name] for name in ("name", "assignment", "member_ids", "member_capacity")} | changes


async def test_out_of_office_that_ends_by_itself_hands_out_what_waited(tenant: Tenant) -> None:
    team, [member] = await crew(tenant)
    soon = datetime.now(UTC) + timedelta(seconds=3)
    out = {"from": (soon - timedelta(days=1)).isoformat(), "until": soon.isoformat()}
    shown = await put(tenant, f"/members/{member['id']}/availability", {"out_of_office": out})
    assert datetime.fromisoformat(shown["out_until"]) == soon
    ticket = await tenant.ticket(team_id=team["id"])
    await queued(tenant, team, 1)
    assert datetime.now(UTC) < soon
    assert await assigned(tenant, ticket) == member["id"]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"capacity": 0}, "capacity"),
        ({"out_of_office": {"from": "2026-12-24T00:00:00Z", "until": "2026-12-23T00:00:00Z"}}, "out_of_office"),
        ({"out_of_office": {"from": "2026-12-24T00:00:00Z", "replacement_id": "{nobody}"}}, "replacement_id"),
        ({"out_of_office": {"from": "2026-12-24T00:00:00Z", "replacement_id": "{self}"}}, "replacement_id"),
    ],
)
async def test_impossible_availability_is_refused(tenant: Tenant, document: Json, field: str) -> None:
    member = await tenant.member()
    sent = {name: _filled(value, member) for name, value in document.items()}
    refusal = await tenant.call("PUT", f"/members/{member['id']}/availability", sent)
    assert refusal.status_code == 422
    assert field in refusal.text


def _filled(value: Any, member: Json) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, member) for name, each in value.items()}
    return {"{nobody}": str(uuid4()), "{self}": member["id"]}.get(value, value)


async def test_those_who_stay_in_a_replaced_team_keep_their_turns(tenant: Tenant) -> None:
    team, [first, second] = await crew(tenant, people=2)
    assert await assigned(tenant, await tenant.ticket(team_id=team["id"])) == first["id"]
    await put(tenant, f"/teams/{team['id']}", _replaced(team))
    assert await assigned(tenant, await tenant.ticket(team_id=team["id"])) == second["id"]
    joiner = await tenant.member(presence="online")
    await put(tenant, f"/teams/{team['id']}", _replaced(team, member_ids=[joiner["id"], *team["member_ids"]]))
    given = [await assigned(tenant, await tenant.ticket(team_id=team["id"])) for _ in range(6)]
    assert {owner: given.count(owner) for owner in given} == {first["id"]: 2, second["id"]: 2, joiner["id"]: 2}


# Removal


async def test_removed_member_lets_go_of_their_tickets_and_everyone_is_told(tenant: Tenant) -> None:
    team, [leaver, heir] = await crew(tenant, people=2)
    supervisor = await tenant.member(role="supervisor")
    mine = {"assignee_id": leaver["id"]}
    of_team = [await tenant.ticket(status, team_id=team["id"], **mine) for status in ("open", "in_progress", "waiting")]
    of_nobody = await tenant.ticket("in_progress", **mine)
    done = await tenant.ticket("resolved", team_id=team["id"], **mine)
    answer = await tenant.call("PATCH", f"/members/{leaver['id']}", {"status": "disabled"})
    assert answer.json()["status"] == "disabled"
    for ticket in of_team:
        assert await _given_to(tenant, ticket, heir)
        assert (await tenant.reload(ticket))["status"] == "open"
    assert await _given_to(tenant, of_nobody, None)
    assert (await tenant.reload(done))["assignee"]["id"] == leaver["id"]
    reason = (await tenant.events(of_team[0]))[-2]["reason"]
    assert reason == "Whoever had the ticket was removed from the organization."

    def told(member: Json) -> Any:
        return tenant.get("/notifications", member_id=member["id"])

    by_ticket = {each["ticket_id"] for each in (await told(heir))["items"] if each["kind"] == "ticket_released"}
    assert by_ticket == {ticket["id"] for ticket in of_team}
    released = [each for each in (await told(supervisor))["items"] if each["kind"] == "ticket_released"]
    assert {each["ticket_id"] for each in released} == {ticket["id"] for ticket in (*of_team, of_nobody)}
    assert {each["why"] for each in released} == {reason}

    # What comes back to somebody who is gone does not stay with them.
    await tenant.message(done)
    assert await _given_to(tenant, done, heir)


async def _given_to(tenant: Tenant, ticket: Json, member: Json | None) -> bool:
    async def given() -> bool:
        found = (await tenant.reload(ticket))["assignee"]
        assert (found and found["id"]) == (member and member["id"])
        return True

    return await eventually(given)


async def test_ticket_that_is_taken_over_while_its_owner_is_removed_stays_taken(tenant: Tenant) -> None:
    leaver, heir = await tenant.member(), await tenant.member()
    tickets = [await tenant.ticket(assignee_id=leaver["id"]) for _ in range(6)]
    await asyncio.gather(
        tenant.call("PATCH", f"/members/{leaver['id']}", {"status": "disabled"}),
        *(tenant.post(f"/tickets/{ticket['id']}/assignment", {"assignee_id": heir["id"]}) for ticket in tickets),
    )
    for ticket in tickets:
        assert await _given_to(tenant, ticket, heir)


async def test_member_is_not_removed_while_temporal_is_away(tenant: Tenant, settings: Settings) -> None:
    member = await tenant.member()
    nowhere = settings.model_copy(
        update={"temporal_address": f"{LOOPBACK}:{free_port()}", "command_timeout": timedelta(seconds=1)}
    )
    async with serving(nowhere) as client:
        cut_off = Tenant(client, tenant.key, tenant.id)
        refusal = await cut_off.call("PATCH", f"/members/{member['id']}", {"status": "disabled"})
        assert (refusal.status_code, refusal.json()["code"]) == (503, "temporal_unavailable")
        renamed = await cut_off.call("PATCH", f"/members/{member['id']}", {"name": "Another name"})
        assert (renamed.status_code, renamed.json()["status"]) == (200, "active")


async def test_member_who_is_kept_after_all_keeps_their_tickets(tenant: Tenant) -> None:
    member = await tenant.member()
    ticket = await tenant.ticket(assignee_id=member["id"])
    await tenant.call("PATCH", f"/members/{member['id']}", {"status": "active"})
    assert (await tenant.reload(ticket))["assignee"]["id"] == member["id"]
