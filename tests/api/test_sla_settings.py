"""Calendars, SLA policies and escalation ladders: what can be set, what is refused, and what a preview says."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api.sla import LADDER, OFFICE, WEEK, policy
from tests.api.tenant import Json, Tenant

MADE = ("id", "version", "created_at", "position", "effective_from")


def sent(document: Json) -> Json:
    """A document without what only the answer has."""
    return {name: value for name, value in document.items() if name not in MADE}


# Calendars


async def test_calendar_is_created_read_listed_replaced_and_deleted(tenant: Tenant) -> None:
    made = await tenant.post("/calendars", OFFICE)
    path = f"/calendars/{made['id']}"
    assert made["version"] == 1
    assert made["hours"] == [{**each, "opens": "09:00:00", "closes": "17:00:00"} for each in OFFICE["hours"]]
    assert await tenant.get(path) == made
    assert [each async for each in tenant.pages("/calendars")] == [made]
    replaced = (await tenant.call("PUT", path, {**OFFICE, "name": "Late office", "hours": OFFICE["hours"][:1]})).json()
    assert (replaced["version"], replaced["name"], len(replaced["hours"])) == (2, "Late office", 1)
    rollout = await tenant.get(f"/sla-rollouts/{replaced.pop('rollout_id')}")
    assert rollout["status"] in ("running", "done")
    assert await tenant.get(path) == replaced
    assert (await tenant.call("DELETE", path)).status_code == 204
    assert (await tenant.call("GET", path)).json()["code"] == "not_found"


NINE_TO_FIVE: Json = {"opens": "09:00", "closes": "17:00"}


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"hours": []}, "invalid_calendar", "needs working time"),
        ({"hours": [{"day": "monday", "opens": "09:00", "closes": "09:00"}]}, "invalid_calendar", "09:00 to 09:00"),
        ({"time_zone": "Mars/Olympus"}, "invalid_calendar", "Mars/Olympus"),
        ({"time_zone": "../../etc/passwd"}, "invalid_calendar", "passwd"),
        ({"country": "XX"}, "invalid_calendar", "XX"),
        ({"country": "DE", "subdivision": "XX"}, "invalid_calendar", "DE-XX"),
        ({"subdivision": "BE"}, "invalid_calendar", "need its country"),
        ({"dates": [{"date": "2026-12-24", "name": "Eve"}] * 2}, "invalid_calendar", "once"),
        ({"hours": [{"day": "someday", **NINE_TO_FIVE}]}, "invalid_request", "body/hours/0/day"),
        ({"hours": [{"day": "monday", "opens": "9 am", "closes": "17:00"}]}, "invalid_request", "body/hours/0/opens"),
        ({"holiday": True}, "invalid_request", "body/holiday"),
    ],
)
async def test_calendar_nobody_could_work_by_is_refused(tenant: Tenant, fields: Json, code: str, says: str) -> None:
    answer = await tenant.call("POST", "/calendars", {**OFFICE, **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert says in answer.text
    assert [each async for each in tenant.pages("/calendars")] == []


async def test_calendar_closed_by_its_dates_for_a_year_is_refused(tenant: Tenant) -> None:
    only_fridays = [{"day": "friday", **NINE_TO_FIVE}]
    today = datetime.now(UTC).date()
    closed = [{"date": str(today + timedelta(days=n)), "name": "Closed"} for n in range(400)]
    answer = await tenant.call("POST", "/calendars", {**OFFICE, "hours": only_fridays, "dates": closed})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_calendar")
    assert "in the coming year" in answer.json()["detail"]


async def test_each_holiday_is_shown_and_can_be_worked_on(tenant: Tenant) -> None:
    german = {**OFFICE, "country": "DE", "subdivision": "BE", "dates": [{"date": "2026-12-24", "name": "Our day"}]}
    made = await tenant.post("/calendars", german)
    path = f"/calendars/{made['id']}"

    async def holidays() -> dict[str, tuple[str, bool]]:
        return {
            each["date"]: (each["name"], each["enabled"]) for each in await tenant.get(f"{path}/holidays", year=2026)
        }

    shown = await holidays()
    assert shown["2026-12-25"][1] is True
    assert shown["2026-03-08"] == ("Women's Day", True)  # Berlin's own
    assert shown["2026-12-24"] == ("Our day", True)
    name = shown["2026-12-25"][0]
    assert (await tenant.call("PUT", path, {**german, "worked_holidays": [name]})).status_code == 200
    assert (await holidays())["2026-12-25"] == (name, False)
    assert (await tenant.call("GET", f"{path}/holidays")).json()["errors"][0]["at"] == "query/year"


async def test_one_calendar_is_the_default_and_names_are_unique(tenant: Tenant) -> None:
    first = await tenant.post("/calendars", {**OFFICE, "is_default": True})
    second = await tenant.post("/calendars", {**OFFICE, "name": "Other", "is_default": True})
    assert (await tenant.get(f"/calendars/{first['id']}"))["is_default"] is False
    assert (await tenant.get(f"/calendars/{second['id']}"))["is_default"] is True
    again = await tenant.call("POST", "/calendars", OFFICE)
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")


@pytest.mark.parametrize(
    ("collection", "document", "field"),
    [("/calendars", OFFICE, "calendar_id"), ("/escalation-ladders", LADDER, "escalation_ladder_id")],
)
async def test_what_a_policy_needs_cannot_be_deleted_until_nothing_is_promised_by_it(
    tenant: Tenant, collection: str, document: Json, field: str
) -> None:
    path = f"{collection}/{(await tenant.post(collection, document))['id']}"
    used = policy(resolution="P1D", **{field: path.rpartition("/")[2]})
    its = f"/sla-policies/{(await tenant.post('/sla-policies', used))['id']}"

    async def refused() -> None:
        answer = await tenant.call("DELETE", path)
        assert (answer.status_code, answer.json()["code"]) == (409, "still_in_use")
        assert "Standard" in answer.json()["detail"]

    await refused()
    assert (await tenant.call("PUT", its, policy(resolution="P1D"))).status_code == 200
    await refused()  # running tickets are still under the first version
    await tenant.post(f"{its}/apply", {"dry_run": False})
    assert (await tenant.call("DELETE", path)).status_code == 204


# Policies


async def test_policy_is_created_read_listed_replaced_and_deleted(tenant: Tenant) -> None:
    document = policy(first_response={"normal": "PT1H", "urgent": "PT15M"}, conditions={"tags": ["refund"]})
    made = await tenant.post("/sla-policies", document)
    path = f"/sla-policies/{made['id']}"
    assert (made["version"], made["position"], made["enabled"], made["warn_at"]) == (1, 1, True, 0.8)
    assert (made["targets"], made["conditions"]["tags"]) == (document["targets"], ["refund"])
    assert await tenant.get(path) == made
    assert await tenant.get("/sla-policies") == [made]
    replaced = (await tenant.call("PUT", path, policy(resolution="PT4H"))).json()
    assert (replaced["version"], replaced["targets"].keys()) == (2, {"resolution"})
    assert replaced["effective_from"] > made["effective_from"]
    assert sent(await tenant.get(path)).items() <= replaced.items()
    assert (await tenant.call("DELETE", path)).status_code == 204
    assert (await tenant.call("GET", path)).json()["code"] == "not_found"
    assert await tenant.get("/sla-policies") == []


@pytest.mark.parametrize(
    ("fields", "code", "at"),
    [
        ({"targets": {}}, "invalid_sla_policy", "targets"),
        ({"targets": {"resolution": {}}}, "invalid_sla_policy", "targets"),
        ({"targets": {"resolution": {"normal": "PT0S"}}}, "invalid_request", "body/targets/resolution/normal"),
        ({"targets": {"resolution": {"normal": "-PT1H"}}}, "invalid_request", "body/targets/resolution/normal"),
        ({"targets": {"resolution": {"normal": "soon"}}}, "invalid_request", "body/targets/resolution/normal"),
        ({"targets": {"resolution": {"normal": "P6Y"}}}, "invalid_sla_policy", "targets/resolution/normal"),
        (
            {"targets": {"resolution": {"ordinary": "PT1H"}}},
            "invalid_request",
            "body/targets/resolution/ordinary/[key]",
        ),
        ({"targets": {"happiness": {"normal": "PT1H"}}}, "invalid_request", "body/targets/happiness/[key]"),
        ({"warn_at": 0}, "invalid_sla_policy", "warn_at"),
        ({"warn_at": 1}, "invalid_sla_policy", "warn_at"),
        ({"conditions": {"channels": ["pigeon"]}}, "invalid_request", "body/conditions/channels/0"),
        ({"conditions": {"moon": ["full"]}}, "invalid_request", "body/conditions/moon"),
        ({"name": " "}, "invalid_request", "body/name"),
        ({"calendar_id": str(uuid4())}, "invalid_reference", "calendar_id"),
        ({"escalation_ladder_id": str(uuid4())}, "invalid_reference", "escalation_ladder_id"),
        ({"conditions": {"team_ids": [str(uuid4())]}}, "invalid_reference", "conditions/team_ids/0"),
    ],
)
async def test_policy_that_cannot_be_kept_is_refused_with_the_path_of_what_is_wrong(
    tenant: Tenant, fields: Json, code: str, at: str
) -> None:
    answer = await tenant.call("POST", "/sla-policies", {**policy(resolution="P1D"), **fields})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, code), answer.text
    shown = [each["at"] for each in problem.get("errors", [])] or [problem.get("at")]
    assert at in shown, answer.text
    assert await tenant.get("/sla-policies") == []


async def test_policies_are_tried_in_their_order_and_the_order_can_be_changed(tenant: Tenant) -> None:
    names = ("Vip", "Refunds", "Everybody")
    conditions: tuple[Json, ...] = ({"tags": ["vip"]}, {"tags": ["refund"]}, {})
    made = [
        await tenant.post("/sla-policies", policy(name, resolution=f"PT{hours}H", conditions=condition))
        for hours, name, condition in zip((1, 2, 3), names, conditions, strict=True)
    ]
    assert [each["position"] for each in made] == [1, 2, 3]

    async def chosen(*tags: str) -> Any:
        asked = {"created_at": "2026-11-20T16:30:00Z", "tags": tags}
        return (await tenant.post("/sla-policies/preview", asked))["policy"]

    assert [await chosen("vip", "refund"), await chosen("refund"), await chosen()] == list(names)
    ids = [each["id"] for each in (made[1], made[0], made[2])]
    ordered = (await tenant.call("PUT", "/sla-policies/order", {"ids": ids})).json()
    assert [each["id"] for each in ordered] == [each["id"] for each in await tenant.get("/sla-policies")] == ids
    assert [await chosen("vip", "refund"), await chosen("vip")] == ["Refunds", "Vip"]
    for wrong in (ids[:2], [*ids, ids[0]], [*ids[:2], str(uuid4())]):
        refusal = await tenant.call("PUT", "/sla-policies/order", {"ids": wrong})
        assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_reference")
    assert (
        await tenant.call(
            "PUT", f"/sla-policies/{ids[0]}", {**sent(policy("Refunds", resolution="PT2H")), "enabled": False}
        )
    ).is_success
    assert await chosen("refund") == "Everybody"


async def test_policies_created_at_once_have_places_of_their_own(tenant: Tenant) -> None:
    documents = [policy(f"Policy {number}", resolution="P1D") for number in range(8)]
    await asyncio.gather(*(tenant.post("/sla-policies", document) for document in documents))
    assert sorted(each["position"] for each in await tenant.get("/sla-policies")) == list(range(1, 9))


# Ladders


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"steps": []}, "invalid_request", "body/steps"),
        ({"steps": [{"wait": "PT1H", "actions": []}]}, "invalid_ladder", "does nothing"),
        ({"steps": [{"wait": "P2Y", "actions": [{"kind": "raise_priority"}]}]}, "invalid_ladder", "a year"),
        ({"steps": [{"wait": "-PT1H", "actions": [{"kind": "raise_priority"}]}]}, "invalid_ladder", "a year"),
        ({"steps": [{"wait": "PT1H", "actions": [{"kind": "reassign"}] * 2}]}, "invalid_ladder", "twice"),
        ({"steps": [{"wait": "PT0S", "actions": [{"kind": "raise_priority"}]}], "repeat": 1}, "invalid_ladder", "wait"),
        ({"repeat": 21}, "invalid_request", "body/repeat"),
        ({"steps": [{"wait": "PT1H", "actions": [{"kind": "shout"}]}]}, "invalid_request", "body/steps/0/actions/0"),
        (
            {"steps": [{"wait": "PT1H", "actions": [{"kind": "notify", "member_ids": [str(uuid4())]}]}]},
            "invalid_reference",
            "steps/0/actions",
        ),
        ({"steps": [{"wait": "PT1H", "actions": [{"kind": "notify"}]}]}, "invalid_ladder", "nobody"),
    ],
)
async def test_ladder_that_could_not_be_climbed_is_refused(tenant: Tenant, fields: Json, code: str, says: str) -> None:
    answer = await tenant.call("POST", "/escalation-ladders", {**LADDER, **fields})
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert says in answer.text
    assert [each async for each in tenant.pages("/escalation-ladders")] == []


async def test_ladder_may_notify_a_member_and_is_kept_as_it_was_sent(tenant: Tenant) -> None:
    member = await tenant.member()
    actions = [
        {"kind": "notify", "targets": ["assignee"], "member_ids": [member["id"]]},
        {"kind": "reassign", "to": "supervisor"},
    ]
    made = await tenant.post(
        "/escalation-ladders", {**LADDER, "steps": [{"wait": "PT1H", "actions": actions}], "repeat": 3}
    )
    path = f"/escalation-ladders/{made['id']}"
    assert (made["steps"], made["repeat"]) == ([{"wait": "PT1H", "actions": actions}], 3)
    replaced = (await tenant.call("PUT", path, LADDER)).json()
    assert (replaced["version"], await tenant.get(path)) == (2, replaced)
    team = await tenant.team(escalation_ladder_id=made["id"])
    assert (await tenant.call("DELETE", path)).json()["code"] == "still_in_use"
    await tenant.call("PUT", f"/teams/{team['id']}", {"name": team["name"]})
    assert (await tenant.call("DELETE", path)).status_code == 204


# Preview


@pytest.mark.parametrize(
    ("hours", "created_at", "target", "due_at", "why"),
    [
        pytest.param(
            ("09:00-17:00",), "2026-11-20T16:30", "PT1H", "2026-11-23T09:30",
            "1 h of business time in UTC: 30 min on Fri 2026-11-20, 30 min on Mon 2026-11-23", id="over the weekend",
        ),
        pytest.param(
            ("09:00-17:00",), "2026-11-18T07:00", "PT2H", "2026-11-18T11:00",
            "2 h of business time in UTC: 2 h on Wed 2026-11-18", id="before the office opens",
        ),
        pytest.param(
            ("09:00-17:00",), "2026-11-20T16:55", "PT24H", "2026-11-25T16:55",
            "24 h of business time in UTC: 5 min on Fri 2026-11-20, 8 h on Mon 2026-11-23, 8 h on Tue 2026-11-24, "
            "7 h 55 min on Wed 2026-11-25", id="three working days",
        ),
        pytest.param(
            ("08:00-12:00", "13:30-18:00"), "2026-11-18T12:30", "PT1H", "2026-11-18T14:30",
            "1 h of business time in UTC: 1 h on Wed 2026-11-18", id="at lunch",
        ),
        pytest.param(
            ("22:00-06:00",), "2026-11-18T23:00", "PT3H", "2026-11-19T02:00",
            "3 h of business time in UTC: 1 h on Wed 2026-11-18, 2 h on Thu 2026-11-19", id="over midnight",
        ),
    ],
)  # fmt: skip
async def test_preview_says_when_a_ticket_would_be_due_and_why(
    tenant: Tenant, *, hours: tuple[str, ...], created_at: str, target: str, due_at: str, why: str
) -> None:
    week = [{"day": day, "opens": each[:5], "closes": each[6:]} for day in WEEK[:5] for each in hours]
    await tenant.post("/calendars", {"name": "Office", "time_zone": "UTC", "hours": week, "is_default": True})
    made = await tenant.post("/sla-policies", policy(counts="business", first_response=target))
    shown = await tenant.post("/sla-policies/preview", {"created_at": f"{created_at}:00Z"})
    assert (shown["policy_id"], shown["policy"], shown["version"]) == (made["id"], "Standard", 1)
    [metric] = shown["metrics"]
    assert (metric["metric"], metric["due_at"], metric["why"]) == ("first_response", f"{due_at}:00Z", why)
    assert metric["target"] == target or target == "PT24H"


async def test_preview_knows_holidays_and_the_change_of_clocks(tenant: Tenant) -> None:
    await tenant.post("/calendars", {**OFFICE, "country": "DE", "is_default": True})
    await tenant.post("/sla-policies", policy(counts="business", resolution="PT2H"))

    async def due_at(created_at: str) -> Any:
        shown = await tenant.post("/sla-policies/preview", {"created_at": created_at})
        return shown["metrics"][0]["due_at"]

    assert await due_at("2026-04-02T16:00:00+02:00") == "2026-04-07T08:00:00Z"  # Good Friday and Easter Monday
    assert await due_at("2026-03-27T16:00:00+01:00") == "2026-03-30T08:00:00Z"  # 10:00 in summer time
    assert await due_at("2026-10-23T16:00:00+02:00") == "2026-10-26T09:00:00Z"  # 10:00 in winter time


async def test_preview_of_a_policy_by_its_id_and_of_nothing_promised(tenant: Tenant) -> None:
    ask = {"created_at": "2026-11-20T16:30:00Z"}
    assert await tenant.post("/sla-policies/preview", ask) == {
        "policy_id": None, "policy": None, "version": None, "metrics": [],
    }  # fmt: skip
    made = await tenant.post("/sla-policies", policy(resolution={"urgent": "PT1H"}, conditions={"tags": ["vip"]}))
    by_id = await tenant.post("/sla-policies/preview", {**ask, "policy_id": made["id"], "priority": "urgent"})
    [metric] = by_id["metrics"]
    assert (metric["due_at"], metric["warn_at"]) == ("2026-11-20T17:30:00Z", "2026-11-20T17:18:00Z")
    assert metric["why"] == "1 h of calendar time (UTC): 1 h on Fri 2026-11-20"
    assert (await tenant.post("/sla-policies/preview", {**ask, "policy_id": made["id"]}))["metrics"] == []
    unknown = await tenant.call("POST", "/sla-policies/preview", {**ask, "policy_id": str(uuid4())})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_reference")
    naive = await tenant.call("POST", "/sla-policies/preview", {"created_at": "2026-11-20T16:30:00"})
    assert naive.json()["errors"][0]["at"] == "body/created_at"


async def test_target_a_calendar_never_reaches_is_refused_in_the_preview(tenant: Tenant) -> None:
    hour = [{"day": "monday", "opens": "09:00", "closes": "09:30"}]
    await tenant.post("/calendars", {"name": "Rare", "time_zone": "UTC", "hours": hour, "is_default": True})
    await tenant.post("/sla-policies", policy(counts="business", resolution="P1000D"))
    answer = await tenant.call("POST", "/sla-policies/preview", {"created_at": "2026-11-20T16:30:00Z"})
    assert (answer.status_code, answer.json()["code"]) == (422, "beyond_horizon")
    ticket = await tenant.ticket()
    assert ticket["clocks"][2]["due_at"] is None
    shown = await tenant.get(f"/tickets/{ticket['id']}")
    assert "20 years" in shown["clocks"][2]["explanation"]
