"""What SLA settings make of tickets: clocks, ladders, filters, and rules that change while tickets run."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from settings import Settings
from tests.api.running import serving
from tests.api.sla import LADDER, OFFICE, WEEK, clock, policy
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

NEVER_OPEN_SOON = "P300D"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def told(tenant: Tenant, changed: Json) -> Json:
    """The rollout of a changed rule, once all running tickets have been told."""

    async def done() -> Json:
        rollout: Json = await tenant.get(f"/sla-rollouts/{changed['rollout_id']}")
        assert rollout["status"] == "done"
        return rollout

    return await eventually(done, timeout=15)


async def listed(tenant: Tenant, **filters: Any) -> list[str]:
    return sorted([ticket["id"] async for ticket in tenant.pages("/tickets", **filters)])


# What a ticket shows


async def test_ticket_shows_its_clocks_with_the_policy_that_set_them(tenant: Tenant) -> None:
    made = await tenant.post("/sla-policies", policy(first_response="PT1H", resolution="PT10H", warn_at=0.5))
    ticket = await tenant.ticket()
    created_at = moment(ticket["created_at"])
    first, following, resolution = ticket["clocks"]
    assert [each["metric"] for each in ticket["clocks"]] == ["first_response", "next_response", "resolution"]
    assert moment(first["due_at"]) == created_at + timedelta(hours=1)
    assert moment(first["warn_at"]) == created_at + timedelta(minutes=30)
    assert moment(resolution["due_at"]) == created_at + timedelta(hours=10)
    assert (first["state"], first["verdict"], first["target"]) == ("running", "running", "PT1H")
    assert first["policy"] == {"id": made["id"], "name": "Standard", "version": 1}
    assert (following["state"], following["verdict"], following["policy"]) == ("idle", "none", None)
    assert [(timer["kind"], timer["summary"]) for timer in ticket["timers"]] == [
        ("sla_warning", "The first response is due soon."),
        ("sla_breach", "The first response is due"),
        ("sla_warning", "The resolution is due soon."),
        ("sla_breach", "The resolution is due"),
    ]
    assert (await tenant.get(f"/tickets/{ticket['id']}/timers"))["timers"] == ticket["timers"]
    assert (ticket["breached"], ticket["ladders"]) == (False, [])


async def test_breach_and_the_ladder_it_climbs_are_shown_and_told(tenant: Tenant) -> None:
    supervisor = await tenant.member(role="supervisor")
    ladder = await tenant.post("/escalation-ladders", LADDER)
    await tenant.post("/sla-policies", policy(first_response="PT0.3S", escalation_ladder_id=ladder["id"]))
    ticket = await tenant.ticket()

    async def climbing() -> Json:
        found = await tenant.reload(ticket)
        assert found["ladders"]
        assert found["ladders"][0]["next_step"] == 2
        return found

    found = await eventually(climbing)
    due_at = moment(found["clocks"][0]["due_at"])
    [climbed] = found["ladders"]
    assert (climbed["because_of"], climbed["name"]) == ("first_response", "Overdue")
    assert moment(climbed["began_at"]) == due_at
    assert moment(climbed["next_at"]) == due_at + timedelta(minutes=30)
    assert [timer["kind"] for timer in found["timers"]] == ["sla_ladder"]
    assert (found["breached"], found["clocks"][0]["verdict"]) == (True, "breached")
    events = await tenant.events(ticket)
    assert [event["kind"] for event in events] == ["created", "sla_warning", "sla_breached", "ladder_step"]
    assert [each["kind"] for each in events[2]["clocks"]] == ["breach"]
    assert (events[2]["about"]["policy"], events[2]["about"]["policy_version"]) == ("Standard", 1)
    assert events[3]["about"]["ladder"] == "Overdue"
    notices = [each async for each in tenant.acting_for(supervisor).pages("/notifications")]
    assert [each["kind"] for each in notices] == ["ticket_escalated"]

    member = tenant.acting_for(await tenant.member())
    await member.message(ticket, author="agent", body="Here.")
    answered = await tenant.reload(ticket)
    assert (answered["ladders"], answered["timers"], answered["breached"]) == ([], [], True)


async def test_explanation_adds_up_what_the_events_tell(tenant: Tenant) -> None:
    await tenant.post("/sla-policies", policy(resolution="PT4H"))
    ticket = await tenant.ticket("waiting")

    async def explained(pattern: str) -> re.Match[str]:
        text = (await clock(tenant, ticket, "resolution"))["explanation"]
        match = re.fullmatch(pattern, text)
        assert match, text
        return match

    await eventually(lambda: explained(r"0 s of calendar time, paused ([12]) s; the target is 4 h"))
    await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "in_progress"})
    found = await eventually(lambda: explained(r"(\d) s of calendar time, paused (\d) s; the target is 4 h"))
    now = datetime.now(UTC)
    at = {
        event["kind"]: moment(event["at"])
        for each in await tenant.events(ticket)
        for event in each["clocks"]
        if event["metric"] == "resolution"
    }
    spent = (at["pause"] - at["activate"]) + (now - at["resume"])
    assert 0 <= spent.total_seconds() - int(found[1]) < 2
    assert int(found[2]) == int((at["resume"] - at["pause"]).total_seconds())


async def test_explanation_tells_the_promise_a_ticket_is_under_and_not_the_one_of_today(tenant: Tenant) -> None:
    calendar = await tenant.post("/calendars", {**OFFICE, "is_default": True})
    made = await tenant.post("/sla-policies", policy(counts="business", first_response="PT4H", resolution="PT8H"))
    ticket = await tenant.ticket()
    changed = await tenant.call("PUT", f"/sla-policies/{made['id']}", policy(first_response="PT1H", resolution="PT2H"))
    assert changed.is_success
    for metric, target in (("first_response", "4 h"), ("resolution", "8 h")):
        words = (await clock(tenant, ticket, metric))["explanation"]
        assert re.fullmatch(rf"\d s of business time; the target is {target}", words), words
    assert calendar["is_default"]


async def test_lists_filter_by_breach_and_by_due_time(tenant: Tenant) -> None:
    await tenant.post("/sla-policies", policy("Now", first_response="PT0.2S", conditions={"tags": ["now"]}))
    await tenant.post("/sla-policies", policy("Soon", resolution="PT1H", conditions={"tags": ["soon"]}))
    await tenant.post("/sla-policies", policy("Later", first_response="P1D", resolution="P9D"))
    now, soon, later = [await tenant.ticket(tags=[tag]) for tag in ("now", "soon", "later")]

    async def breached() -> bool:
        return await listed(tenant, breached="true") == [now["id"]]

    await eventually(breached)
    assert await listed(tenant, breached="false") == sorted([soon["id"], later["id"]])
    in_hours = {hours: (datetime.now(UTC) + timedelta(hours=hours)).isoformat() for hours in (0, 2, 48)}
    assert await listed(tenant, due_before=in_hours[0]) == []
    assert await listed(tenant, due_before=in_hours[2]) == [soon["id"]]
    assert await listed(tenant, due_before=in_hours[48]) == sorted([soon["id"], later["id"]])
    assert await listed(tenant, due_before=in_hours[48], breached="true") == []
    await tenant.post(f"/tickets/{soon['id']}/status", {"to": "waiting"})
    assert await listed(tenant, due_before=in_hours[48]) == [later["id"]]  # paused: nothing comes due


# Rules that change


async def test_dry_run_shows_exactly_what_applying_then_does(tenant: Tenant) -> None:
    made = await tenant.post("/sla-policies", policy(first_response="PT2H", resolution="PT9H"))
    running, answered, other = [await tenant.ticket() for _ in range(3)]
    await tenant.acting_for(await tenant.member()).message(answered, author="agent", body="Here.")
    await tenant.post(f"/tickets/{other['id']}/status", {"to": "resolved"})
    before = {ticket["id"]: await tenant.reload(ticket) for ticket in (running, answered, other)}
    path = f"/sla-policies/{made['id']}"
    changed = await tenant.call("PUT", path, policy(first_response="PT0.1S", resolution="PT5H"))
    assert (changed.json()["version"], changed.json()["rollout_id"]) == (2, None)

    shown = await tenant.post(f"{path}/apply", {})
    assert (shown["dry_run"], shown["examined"], shown["changed"], shown["complete"]) == (True, 3, 2, True)
    assert shown["breaching_at_once"] == 1
    assert {ticket["id"] for ticket in shown["tickets"]} == {running["id"], answered["id"]}
    assert {ticket_id: await tenant.reload({"id": ticket_id}) for ticket_id in before} == before  # nothing was done
    for_new = await tenant.post(f"{path}/apply", {"dry_run": False, "to": "new"})
    assert (for_new["rollout_id"], for_new["changed"]) == (None, 0)
    assert {ticket_id: await tenant.reload({"id": ticket_id}) for ticket_id in before} == before
    assert (await clock(tenant, await tenant.ticket(), "resolution"))["target"] == "PT5H"

    applied = await tenant.post(f"{path}/apply", {"dry_run": False, "to": "running"})
    assert (await told(tenant, applied))["told"] == 2

    async def as_shown() -> None:
        for ticket in shown["tickets"]:
            now = await tenant.reload(ticket)
            clocks, old = ({each["metric"]: each for each in state["clocks"]} for state in (now, before[ticket["id"]]))
            for change in ticket["changes"]:
                mine = clocks[change["metric"]]
                assert (change["before"], change["after"]) == (old[change["metric"]]["due_at"], mine["due_at"])
                assert (change["policy_before"], change["policy_after"]) == ("Standard v1", "Standard v2")
                assert mine["policy"]["version"] == 2
                assert change["breaches_at_once"] is (mine["verdict"] == "breached")
            unchanged = old.keys() - {change["metric"] for change in ticket["changes"]}
            assert all(clocks[metric] == old[metric] for metric in unchanged)

    async def is_so() -> bool:
        await as_shown()
        return True

    await eventually(is_so)
    assert await tenant.reload(other) == before[other["id"]]
    again = await tenant.post(f"{path}/apply", {})
    assert (again["changed"], again["tickets"]) == (0, [])


@pytest.mark.parametrize("way", ["switch off", "delete"])
async def test_policy_out_of_use_stops_its_deadlines_and_the_next_one_takes_over(tenant: Tenant, way: str) -> None:
    first = await tenant.post("/sla-policies", policy("First", resolution="PT1H"))
    await tenant.post("/sla-policies", policy("Second", resolution="PT5H"))
    ticket = await tenant.ticket()
    path = f"/sla-policies/{first['id']}"
    if way == "delete":
        assert (await tenant.call("DELETE", path)).status_code == 204
    else:
        off = (await tenant.call("PUT", path, policy("First", resolution="PT1H", enabled=False))).json()
        assert (await told(tenant, off))["told"] == 1

    async def under_the_second() -> bool:
        found = await clock(tenant, ticket, "resolution")
        return bool(found["policy"]["name"] == "Second" and found["target"] == "PT5H")

    await eventually(under_the_second)
    assert (await tenant.events(ticket))[-1]["kind"] == "policy_changed"
    if way == "switch off":
        await told(tenant, (await tenant.call("PUT", path, policy("First", resolution="PT1H"))).json())
        await eventually(lambda: _is_under(tenant, ticket, "First"))


async def _is_under(tenant: Tenant, ticket: Json, name: str) -> bool:
    found = await clock(tenant, ticket, "resolution")
    return bool(found["policy"]["name"] == name)


async def test_edited_calendar_moves_the_deadlines_of_running_tickets(tenant: Tenant) -> None:
    always = [{"day": day, "opens": "00:00", "closes": "24:00"} for day in WEEK]
    document: Json = {"name": "Always", "time_zone": "UTC", "hours": always, "is_default": True}
    calendar = await tenant.post("/calendars", document)
    await tenant.post("/sla-policies", policy(counts="business", resolution="P3D"))
    ticket = await tenant.ticket()
    due_at = moment((await clock(tenant, ticket, "resolution"))["due_at"])
    assert due_at == moment(ticket["created_at"]) + timedelta(days=3)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    closed = {**document, "dates": [{"date": str(tomorrow), "name": "Moving house"}]}
    changed = (await tenant.call("PUT", f"/calendars/{calendar['id']}", closed)).json()
    assert (await told(tenant, changed))["told"] == 1

    async def moved() -> bool:
        found = await clock(tenant, ticket, "resolution")
        return moment(found["due_at"]) == due_at + timedelta(days=1)

    await eventually(moved)


async def test_change_of_tags_or_priority_is_answered_with_the_new_deadlines(tenant: Tenant) -> None:
    await tenant.post("/sla-policies", policy("Vip", resolution="PT1H", conditions={"tags": ["vip"]}))
    await tenant.post("/sla-policies", policy("Others", resolution={"normal": "PT8H", "urgent": "PT2H"}))
    ticket = await tenant.ticket()
    path, created_at = f"/tickets/{ticket['id']}", moment(ticket["created_at"])
    for edit, name, hours in (
        ({"priority": "urgent"}, "Others", 2),
        ({"tags": ["vip"]}, "Vip", 1),
        ({"tags": [], "priority": "normal"}, "Others", 8),
    ):
        answer = (await tenant.call("PATCH", path, edit)).json()
        resolution = answer["clocks"][2]
        assert (resolution["policy"]["name"], moment(resolution["due_at"])) == (
            name,
            created_at + timedelta(hours=hours),
        )
    low = (await tenant.call("PATCH", path, {"priority": "low"})).json()["clocks"][2]
    assert (low["target"], low["due_at"], low["policy"]["name"]) == (None, None, "Others")  # nothing promised there


# Sent again


@pytest.fixture
async def world(tenant: Tenant) -> dict[str, str]:
    """One of each setting, by the name of its path's parameter."""
    ladder = await tenant.post("/escalation-ladders", LADDER)
    calendar = await tenant.post("/calendars", OFFICE)
    made = await tenant.post("/sla-policies", policy(resolution="PT4H"))
    other = await tenant.post("/sla-policies", policy("Other", resolution="PT4H"))
    return {"ladder": ladder["id"], "calendar": calendar["id"], "policy": made["id"], "other": other["id"]}


NEW_POLICY = policy("New", resolution="PT5H")
WRITES: dict[str, tuple[str, str, Any, Any]] = {
    "create a calendar": ("POST", "/calendars", {**OFFICE, "name": "New"}, {**OFFICE, "name": "Newer"}),
    "replace a calendar": ("PUT", "/calendars/{calendar}", {**OFFICE, "name": "New"}, OFFICE),
    "delete a calendar": ("DELETE", "/calendars/{calendar}", None, None),
    "create a policy": ("POST", "/sla-policies", NEW_POLICY, {**NEW_POLICY, "name": "Newer"}),
    "replace a policy": ("PUT", "/sla-policies/{policy}", NEW_POLICY, {**NEW_POLICY, "name": "Newer"}),
    "switch a policy off": ("PUT", "/sla-policies/{policy}", {**NEW_POLICY, "enabled": False}, NEW_POLICY),
    "delete a policy": ("DELETE", "/sla-policies/{policy}", None, None),
    "reorder": ("PUT", "/sla-policies/order", {"ids": ["{other}", "{policy}"]}, {"ids": ["{policy}", "{other}"]}),
    "apply": ("POST", "/sla-policies/{policy}/apply", {"dry_run": False}, {"dry_run": False, "to": "running"}),
    "create a ladder": ("POST", "/escalation-ladders", {**LADDER, "name": "New"}, {**LADDER, "name": "Newer"}),
    "replace a ladder": ("PUT", "/escalation-ladders/{ladder}", {**LADDER, "name": "New"}, LADDER),
    "delete a ladder": ("DELETE", "/escalation-ladders/{ladder}", None, None),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
async def test_write_sent_again_has_one_effect_and_the_same_answer(
    tenant: Tenant, world: dict[str, str], write: tuple[str, str, Any, Any]
) -> None:
    method, path, document, other = write

    async def send(what: Any) -> httpx.Response:
        filled = {"ids": [each.format(**world) for each in what["ids"]]} if what and "ids" in what else what
        return await tenant.call(method, path.format(**world), filled, key="k")

    async def settings() -> list[Any]:
        paged = [[row async for row in tenant.pages(each)] for each in ("/calendars", "/escalation-ladders")]
        return [*paged, await tenant.get("/sla-policies")]

    answers = await asyncio.gather(*(send(document) for _ in range(3)))
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
    assert all(answer.text == "" or answer.json() == answers[0].json() for answer in answers)
    assert sorted(answer.headers.get("Idempotency-Replayed", "") for answer in answers) == ["", "true", "true"]
    after = await settings()
    again = await send(document)
    assert (again.status_code, again.text and again.json()) == (
        answers[0].status_code,
        answers[0].text and answers[0].json(),
    )
    if other is not None:
        refusal = await send(other)
        assert (refusal.status_code, refusal.json()["code"]) == (422, "idempotency_key_reused")
    assert await settings() == after


# Without Temporal


async def test_policy_switched_off_while_temporal_is_away_is_completed_by_the_same_key(
    tenant: Tenant, settings: Settings
) -> None:
    made = await tenant.post("/sla-policies", policy(resolution="PT4H"))
    ticket = await tenant.ticket()
    path, off = f"/sla-policies/{made['id']}", policy(resolution="PT4H", enabled=False)
    away = settings.model_copy(update={"temporal_address": "127.0.0.1:9", "command_timeout": timedelta(seconds=0.5)})
    async with serving(away) as client:
        answer = await Tenant(client, tenant.key, tenant.id).call("PUT", path, off, key="off")
    assert (answer.status_code, answer.json()["code"]) == (503, "temporal_unavailable")
    assert "same Idempotency-Key" in answer.json()["detail"]
    assert answer.headers["Retry-After"]
    assert (await tenant.get(path))["enabled"] is False  # saved, as the answer says
    assert (await clock(tenant, ticket, "resolution"))["due_at"] is not None

    again = await tenant.call("PUT", path, off, key="off")
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()["version"]) == (200, "true", 2)
    assert (await told(tenant, again.json()))["told"] == 1
    await eventually(lambda: _has_no_target(tenant, ticket))


async def _has_no_target(tenant: Tenant, ticket: Json) -> bool:
    found = await clock(tenant, ticket, "resolution")
    return bool(found["target"] is None and found["due_at"] is None)


# Other organizations


async def test_nothing_of_another_organization_can_be_promised_by(tenant: Tenant, http: httpx.AsyncClient) -> None:
    stranger = await new_tenant(http)
    calendar = await tenant.post("/calendars", OFFICE)
    ladder = await tenant.post("/escalation-ladders", LADDER)
    team, member = await tenant.team(), await tenant.member()
    mine = await tenant.post("/sla-policies", policy(resolution="PT4H"))
    for fields, at in (
        ({"calendar_id": calendar["id"]}, "calendar_id"),
        ({"escalation_ladder_id": ladder["id"]}, "escalation_ladder_id"),
        ({"conditions": {"team_ids": [team["id"]]}}, "conditions/team_ids/0"),
    ):
        refusal = await stranger.call("POST", "/sla-policies", policy(resolution="PT4H", **fields))
        assert (refusal.status_code, refusal.json()["code"], refusal.json()["at"]) == (422, "invalid_reference", at)
        assert (
            await tenant.call("POST", "/sla-policies", policy(str(uuid4()), resolution="PT4H", **fields))
        ).is_success
    told_member = {"wait": "PT1H", "actions": [{"kind": "notify", "member_ids": [member["id"]]}]}
    refusal = await stranger.call("POST", "/escalation-ladders", {**LADDER, "steps": [told_member]})
    assert refusal.json()["code"] == "invalid_reference"
    asked = {"created_at": "2026-11-20T16:30:00Z", "policy_id": mine["id"]}
    assert (await stranger.call("POST", "/sla-policies/preview", asked)).json()["code"] == "invalid_reference"
    assert (await stranger.ticket())["clocks"][2]["target"] is None
    # The same names and the same key mean something else there.
    assert (await stranger.call("POST", "/sla-policies", policy(resolution="PT1H"), key="k")).status_code == 201
    assert (await tenant.call("POST", "/calendars", {**OFFICE, "name": "k"}, key="k")).status_code == 201
