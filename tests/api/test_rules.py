"""Escalation events and routing rules: kept in versions and in order, checked when saved, followed at once."""

from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from settings import Settings
from tests.api.rules import EVENTS, REFUND, ROUTING, rule, write
from tests.api.running import serving
from tests.api.sla import OFFICE, policy
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

both_kinds = pytest.mark.parametrize("kind", [EVENTS, ROUTING])


def outcomes(answer: Json) -> list[tuple[str, int, str]]:
    return [(each["rule"], each["version"], each["outcome"]) for each in answer["decisions"]]


async def switch(tenant: Tenant, path: str, mode: str) -> Json:
    answer = await tenant.call("PUT", f"{path}/mode", {"mode": mode})
    assert answer.status_code == 200, answer.text
    changed: Json = answer.json()
    return changed


# Kept


@both_kinds
async def test_rule_is_created_read_listed_replaced_and_deleted(tenant: Tenant, kind: str) -> None:
    made = await tenant.post(kind, rule())
    path = f"{kind}/{made['id']}"
    assert (made["version"], made["position"], made["mode"]) == (1, 1, "on")
    assert (made["conditions"], made["actions"]["tags"]) == (REFUND, ["money"])
    assert await tenant.get(path) == made
    assert await tenant.get(kind) == [made]
    other = {"any": [{"tag": ["VIP"]}, {"keyword": "C++"}]}
    replaced = (await tenant.call("PUT", path, rule("Important", other, mode="shadow"))).json()
    assert (replaced["version"], replaced["name"], replaced["mode"]) == (2, "Important", "shadow")
    # As it is understood: lists, and tags in lower case, as conversations keep them.
    assert replaced["conditions"] == {"any": [{"tag": ["vip"]}, {"keyword": ["C++"]}]}
    assert replaced["changed_at"] > made["changed_at"]
    assert replaced["created_at"] == made["created_at"]
    kept = [each async for each in tenant.pages(f"{path}/versions", limit=1)]
    assert [(each["version"], each["conditions"]) for each in kept] == [(1, REFUND), (2, replaced["conditions"])]
    assert (await tenant.call("DELETE", path)).status_code == 204
    for gone in (path, f"{path}/versions", f"{path}/decisions"):
        assert (await tenant.call("GET", gone)).status_code == 404
    assert await tenant.get(kind) == []


async def test_a_replaced_rule_stays_in_its_mode_unless_told_otherwise(tenant: Tenant) -> None:
    made = await tenant.post(EVENTS, rule(mode="shadow"))
    replaced = (await tenant.call("PUT", f"{EVENTS}/{made['id']}", rule())).json()
    assert (replaced["version"], replaced["mode"]) == (2, "shadow")
    switched = await switch(tenant, f"{EVENTS}/{made['id']}", "on")
    assert (switched["version"], switched["mode"]) == (2, "on")


async def test_kinds_do_not_meet(tenant: Tenant) -> None:
    event, routing = [await tenant.post(kind, rule()) for kind in (EVENTS, ROUTING)]
    assert [each["id"] for each in await tenant.get(EVENTS)] == [event["id"]]
    for path in (f"{EVENTS}/{routing['id']}", f"{ROUTING}/{event['id']}"):
        for method, document in (("GET", None), ("PUT", rule("Other")), ("DELETE", None)):
            assert (await tenant.call(method, path, document)).status_code == 404
    again = await tenant.call("POST", EVENTS, rule())
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")


@both_kinds
async def test_a_request_sent_twice_takes_effect_once(tenant: Tenant, kind: str) -> None:
    first, second = [await tenant.call("POST", kind, rule(), key="k") for _ in range(2)]
    assert (first.json(), second.headers["Idempotency-Replayed"]) == (second.json(), "true")
    path = f"{kind}/{first.json()['id']}"
    for _ in range(2):
        assert (await tenant.call("PUT", path, rule(), key="k2")).json()["version"] == 2
        assert (await tenant.call("PUT", f"{path}/mode", {"mode": "off"}, key="k3")).json()["mode"] == "off"
    for _ in range(2):
        assert (await tenant.call("DELETE", path, key="k4")).status_code == 204


@both_kinds
async def test_order_takes_all_ids_each_once(tenant: Tenant, kind: str) -> None:
    a, b, c = [(await tenant.post(kind, rule(name)))["id"] for name in "abc"]
    other = (await tenant.post(ROUTING if kind == EVENTS else EVENTS, rule("other")))["id"]
    for ids in ([a, b], [a, b, b], [a, b, other], [a, b, c, c]):
        answer = await tenant.call("PUT", f"{kind}/order", {"ids": ids})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_reference")
        assert answer.json()["ids"] == sorted([a, b, c])
    ordered = (await tenant.call("PUT", f"{kind}/order", {"ids": [c, a, b]})).json()
    assert [(each["id"], each["position"]) for each in ordered] == [(c, 1), (a, 2), (b, 3)]
    assert await tenant.get(kind) == ordered


# Checked


@both_kinds
@pytest.mark.parametrize(
    ("conditions", "path"),
    [
        ({"any": [{"keyword": []}]}, "conditions/any/0/keyword"),
        ({"any": [{"keyword": ["ok", "a\x00b"]}]}, "conditions/any/0/keyword/1"),
        ({"not": {"regex": ".*"}}, "conditions/not"),
        ({"sentiment": {"at_most": 3}}, "conditions/sentiment/at_most"),
        ({"all": [{"tag": "a"}, {"channel": ["email", "pigeon"]}]}, "conditions/all/1/channel/1"),
        ("refund", "conditions"),
        ([REFUND], "conditions"),
    ],
)
async def test_conditions_that_mean_nothing_are_refused_with_their_path(
    tenant: Tenant, kind: str, conditions: Any, path: str
) -> None:
    answer = await tenant.call("POST", kind, rule(conditions=conditions))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_conditions"), answer.text
    assert [each["path"] for each in problem["problems"]] == [path]
    assert path in problem["detail"]
    assert await tenant.get(kind) == []


async def test_conditions_nested_without_end_are_refused(tenant: Tenant) -> None:
    for depth in (50, 400, 900, 940, 960, 980, 990, 50_000):
        nested = '{"not": ' * depth + '{"tag": "x"}' + "}" * depth
        body = f'{{"name": "Deep", "conditions": {nested}}}'
        answer = await tenant.client.post(
            f"/api/v1{EVENTS}",
            content=body,
            headers={**tenant.authorization, "Content-Type": "application/json", "Idempotency-Key": f"deep-{depth}"},
        )
        assert (answer.status_code, answer.json()["code"][:8]) == (422, "invalid_"), answer.text


@pytest.mark.parametrize(
    ("kind", "document", "at"),
    [
        (EVENTS, {"conditions": REFUND, "actions": {}, "name": ""}, "body/name"),
        (EVENTS, rule(colour="red"), "body/colour"),
        (EVENTS, rule(cooldown="-PT1S"), "body/cooldown"),
        (EVENTS, rule(cooldown="P400D"), "body/cooldown"),
        (EVENTS, rule(mode="loud"), "body/mode"),
        (EVENTS, {**rule(), "actions": {"create_ticket": False}}, "body/actions"),
        (EVENTS, {"name": "Empty"}, "body/conditions"),
        (ROUTING, {**rule(), "actions": {}}, "body/actions"),
        (ROUTING, {"name": "Nothing", "conditions": REFUND}, "body/actions"),
        (ROUTING, rule(cooldown="PT1H"), "body/cooldown"),
    ],
)
async def test_document_that_is_no_rule_is_refused(tenant: Tenant, kind: str, document: Json, at: str) -> None:
    answer = await tenant.call("POST", kind, document)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert at in [each["at"] for each in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("kind", "actions", "at"),
    [
        (EVENTS, {"team_id": "{team}"}, "actions/team_id"),
        (EVENTS, {"assignee_id": "{member}"}, "actions/assignee_id"),
        (EVENTS, {"notify_team_ids": ["{own team}", "{team}"]}, "actions/notify_team_ids/1"),
        (EVENTS, {"notify_member_ids": ["{member}"]}, "actions/notify_member_ids/0"),
        (EVENTS, {"notify_member_ids": ["{disabled}"]}, "actions/notify_member_ids/0"),
        (ROUTING, {"team_id": "{team}"}, "actions/team_id"),
        (ROUTING, {"assignee_id": "{member}"}, "actions/assignee_id"),
        (ROUTING, {"sla_policy_id": "{policy}"}, "actions/sla_policy_id"),
    ],
)
async def test_rule_names_only_what_its_organization_has(
    tenant: Tenant, http: httpx.AsyncClient, kind: str, actions: Json, at: str
) -> None:
    other = await new_tenant(http)
    disabled = await tenant.member()
    await tenant.call("PATCH", f"/members/{disabled['id']}", {"status": "disabled"})
    ids = {
        "{team}": (await other.team())["id"],
        "{member}": (await other.member())["id"],
        "{policy}": (await other.post("/sla-policies", policy(resolution="PT4H")))["id"],
        "{own team}": (await tenant.team())["id"],
        "{disabled}": disabled["id"],
    }
    sent = {
        name: [ids[each] for each in value] if isinstance(value, list) else ids[value]
        for name, value in actions.items()
    }
    answer = await tenant.call("POST", kind, {**rule(), "actions": sent})
    assert (answer.status_code, answer.json()["code"], answer.json()["at"]) == (422, "invalid_reference", at)
    if at != "actions/notify_member_ids/0" and "{own team}" not in str(actions):
        assert (await other.call("POST", kind, {**rule(), "actions": sent})).status_code == 201


async def test_channel_named_by_its_id_must_be_there(tenant: Tenant) -> None:
    conditions = {"any": [REFUND, {"channel": ["email", str(uuid4())]}]}
    answer = await tenant.call("POST", EVENTS, rule(conditions=conditions))
    assert (answer.json()["code"], answer.json()["at"]) == ("invalid_reference", "conditions/any/1/channel/1")


async def test_what_a_rule_names_cannot_be_deleted_before_the_rule_lets_go_of_it(tenant: Tenant) -> None:
    team = await tenant.team()
    promise = await tenant.post("/sla-policies", policy(resolution="PT4H"))
    named = {"team_id": team["id"], "sla_policy_id": promise["id"]}
    made = await tenant.post(ROUTING, {**rule("To billing"), "actions": named})
    for path in (f"/teams/{team['id']}", f"/sla-policies/{promise['id']}"):
        answer = await tenant.call("DELETE", path)
        assert (answer.status_code, answer.json()["code"]) == (409, "still_in_use")
        assert "To billing" in answer.json()["detail"]
    assert (await tenant.call("PUT", f"{ROUTING}/{made['id']}", rule())).status_code == 200
    for path in (f"/teams/{team['id']}", f"/sla-policies/{promise['id']}"):
        assert (await tenant.call("DELETE", path)).status_code == 204


async def test_rules_in_force_are_limited(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rules.MOST_IN_FORCE", 2)
    monkeypatch.setattr("api.rules.MOST_KEYWORDS", 5)
    await tenant.post(EVENTS, rule("a"))
    await tenant.post(ROUTING, rule("b"))
    refused = await tenant.call("POST", EVENTS, rule("c"))
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    resting = await tenant.post(EVENTS, rule("c", mode="off"))
    path = f"{EVENTS}/{resting['id']}"
    assert (await tenant.call("PUT", f"{path}/mode", {"mode": "shadow"})).json()["code"] == "limit_reached"
    assert (await tenant.get(path))["mode"] == "off"
    enough = rule("b", {"any": [{"not": {"keyword": list("abc")}}, {"keyword": "d"}]})
    many = rule("b", {"any": [{"not": {"keyword": list("abc")}}, {"keyword": ["d", "e"]}]})
    routing = (await tenant.get(ROUTING))[0]["id"]
    assert (await tenant.call("PUT", f"{ROUTING}/{routing}", many)).json()["code"] == "limit_reached"
    assert (await tenant.call("PUT", f"{ROUTING}/{routing}", enough)).status_code == 200


# Followed


async def test_the_next_message_is_judged_by_the_rules_as_they_are(tenant: Tenant) -> None:
    assert outcomes(await write(tenant, "I want a refund", "chat-0")) == []
    made = await tenant.post(EVENTS, rule("A", cooldown="PT0S"))
    path = f"{EVENTS}/{made['id']}"
    assert outcomes(await write(tenant, "I want a refund")) == [("A", 1, "acted")]
    await tenant.call("PUT", path, rule("B", {"keyword": "money back"}, cooldown="PT0S"))
    assert outcomes(await write(tenant, "I want a refund")) == []
    assert outcomes(await write(tenant, "Money back, please")) == [("B", 2, "acted")]
    await switch(tenant, path, "off")
    assert outcomes(await write(tenant, "Money back, please")) == []
    await switch(tenant, path, "on")
    assert outcomes(await write(tenant, "Money back, please")) == [("B", 2, "acted")]
    await tenant.call("DELETE", path)
    assert outcomes(await write(tenant, "Money back, please")) == []


async def test_every_process_judges_the_next_message_by_the_newest_version(tenant: Tenant, settings: Settings) -> None:
    made = await tenant.post(EVENTS, rule("A", cooldown="PT0S"))
    async with serving(settings) as client:
        elsewhere = replace(tenant, client=client)
        for version in range(2, 6):
            assert outcomes(await write(elsewhere, "refund")) == [("A", version - 1, "acted")]
            await tenant.call("PUT", f"{EVENTS}/{made['id']}", rule("A", cooldown="PT0S"))
            assert outcomes(await write(elsewhere, "refund")) == [("A", version, "acted")]


async def test_business_hours_are_those_of_the_calendar_as_it_is(tenant: Tenant) -> None:
    await tenant.post(EVENTS, rule(conditions={"business_hours": False}, cooldown="PT0S"))
    at = "2026-11-21T12:00:00Z"  # a Saturday
    assert outcomes(await write(tenant, "Hello", sent_at=at)) == []  # nobody has said when it works
    made = await tenant.post("/calendars", {**OFFICE, "is_default": True})
    assert outcomes(await write(tenant, "Hello", sent_at=at)) == [("Refunds", 1, "acted")]
    hours = [{"day": "saturday", "opens": "09:00", "closes": "17:00"}]
    await tenant.call("PUT", f"/calendars/{made['id']}", {**OFFICE, "hours": hours, "is_default": True})
    assert outcomes(await write(tenant, "Hello", sent_at=at)) == []
    await tenant.call("PUT", f"/calendars/{made['id']}", {**OFFICE, "is_default": True})
    assert outcomes(await write(tenant, "Hello", sent_at=at)) == [("Refunds", 1, "acted")]
    await tenant.call("DELETE", f"/calendars/{made['id']}")
    assert outcomes(await write(tenant, "Hello", sent_at=at)) == []


async def test_order_decides_which_rule_gives_a_ticket_its_priority(tenant: Tenant) -> None:
    low = await tenant.post(EVENTS, {**rule("Low"), "actions": {"priority": "low", "tags": ["a"]}})
    urgent = await tenant.post(EVENTS, {**rule("Urgent"), "actions": {"priority": "urgent", "tags": ["b"]}})

    async def priority(conversation: str) -> str:
        answer = await write(tenant, "refund", conversation)
        assert len(answer["decisions"]) == 2

        async def recorded() -> Json:
            found = await tenant.call("GET", f"/tickets/{answer['ticket_id']}")
            assert found.status_code == 200
            ticket: Json = found.json()
            return ticket

        return str((await eventually(recorded))["priority"])

    assert await priority("chat-1") == "low"
    await tenant.call("PUT", f"{EVENTS}/order", {"ids": [urgent["id"], low["id"]]})
    assert await priority("chat-2") == "urgent"


async def test_cooldown_is_kept_in_each_conversation(tenant: Tenant) -> None:
    await tenant.post(EVENTS, rule(cooldown="PT10M"))
    for minute, conversation, outcome in (
        (0, "chat-1", "acted"),
        (9, "chat-1", "cooldown"),
        (9, "chat-2", "acted"),
        (10, "chat-1", "acted"),
        (15, "chat-1", "cooldown"),
    ):
        answer = await write(tenant, "refund", conversation, sent_at=f"2026-11-20T10:{minute:02}:00Z")
        assert [each["outcome"] for each in answer["decisions"]] == [outcome]


async def test_rule_in_shadow_records_what_it_would_have_done_and_does_nothing(tenant: Tenant) -> None:
    member = await tenant.member()
    actions = {"notify_member_ids": [member["id"]], "priority": "urgent", "tags": ["money"]}
    made = await tenant.post(EVENTS, {**rule(mode="shadow", cooldown="PT1H"), "actions": actions})
    path = f"{EVENTS}/{made['id']}"
    first = await write(tenant, "Give me a refund!", sent_at="2026-11-20T10:00:00Z")
    assert outcomes(first) == [("Refunds", 1, "shadow")]
    second = await write(tenant, "A refund!!", sent_at="2026-11-20T10:30:00Z")
    assert outcomes(second) == [("Refunds", 1, "cooldown")]
    assert (first["ticket_id"], second["ticket_id"]) == (None, None)
    assert (await tenant.get("/tickets"))["items"] == []
    assert (await tenant.get("/notifications"))["items"] == []

    cooled, would = [each async for each in tenant.pages(f"{path}/decisions", limit=1)]
    assert (would["outcome"], cooled["outcome"]) == ("shadow", "cooldown")
    assert (would["message_id"], would["conversation_id"]) == (first["id"], first["conversation_id"])
    assert (would["rule_version"], would["ticket_id"]) == (1, None)
    assert would["evidence"] == [
        {"path": "conditions/keyword", "kind": "keyword", "matched": "refund", "span": [10, 16]}
    ]
    assert would["actions"] == actions
    assert [each["id"] async for each in tenant.pages(f"{path}/decisions", outcome="cooldown")] == [cooled["id"]]

    # The same message in another conversation, with the rule on: what was foretold is done.
    switched = await switch(tenant, path, "on")
    assert switched["counts"] == {"matched": 2, "acted": 0, "shadow": 1, "false_alarms": 0, "dismissals": []}
    live = await write(tenant, "Give me a refund!", "chat-2")
    assert (outcomes(live), live["ticket_id"] is not None) == ([("Refunds", 1, "acted")], True)

    async def told() -> bool:
        return [each["member_id"] for each in (await tenant.get("/notifications"))["items"]] == [member["id"]]

    assert await eventually(told)

    async def counted() -> Json:
        found = await tenant.get(path)
        assert found in await tenant.get(EVENTS)
        counts: Json = found["counts"]
        return counts

    raised = {"dismissals": [{"version": 1, "escalations": 1, "ended": 0, "dismissed": 0}]}
    assert await counted() == {"matched": 3, "acted": 1, "shadow": 1, "false_alarms": 0, **raised}
    await tenant.post(f"/tickets/{live['ticket_id']}/status", {"to": "resolved"})
    now = await counted()
    assert now == {"matched": 3, "acted": 1, "shadow": 1, "false_alarms": 1, **raised}, "nobody had to answer"


async def test_new_tickets_are_routed_and_say_why(tenant: Tenant) -> None:
    team = await tenant.team()
    made = await tenant.post(ROUTING, {**rule(), "actions": {"team_id": team["id"], "priority": "high"}})
    shadow = await tenant.post(ROUTING, {**rule("Not yet", mode="shadow"), "actions": {"tags": ["x"]}})
    ticket = await tenant.ticket(title="Where is my refund?")
    assert (ticket["team"]["id"], ticket["priority"], ticket["tags"]) == (team["id"], "high", [])
    decided = {each["rule_id"]: each for each in await tenant.get(f"/tickets/{ticket['id']}/decisions")}
    assert {id_: each["outcome"] for id_, each in decided.items()} == {made["id"]: "acted", shadow["id"]: "shadow"}
    assert decided[made["id"]]["evidence"][0]["span"] == [12, 18]
    (of_rule,) = [each async for each in tenant.pages(f"{ROUTING}/{made['id']}/decisions")]
    assert (of_rule["ticket_id"], of_rule["message_id"]) == (ticket["id"], None)
    counts = {each["id"]: each["counts"] for each in await tenant.get(ROUTING)}
    assert counts[made["id"]] == {"matched": 1, "acted": 1, "shadow": 0}
    assert counts[shadow["id"]] == {"matched": 1, "acted": 0, "shadow": 1}
