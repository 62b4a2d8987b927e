"""Back-tests through the API: what a draft would have done with what came in through the front door."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.rules import EVENTS, REFUND, ROUTING, rule, write
from tests.api.tenant import Json, Tenant
from tests.support import eventually

DAY = {"since": "2026-11-20T00:00:00Z", "until": "2026-11-21T00:00:00Z"}


async def ended(tenant: Tenant, backtest: Json, status: str = "done") -> Json:
    """The back-test once it is over."""

    async def is_over() -> Json:
        found: Json = await tenant.get(f"/backtests/{backtest['id']}")
        assert found["status"] == status
        return found

    return await eventually(is_over, 20)


async def tried(tenant: Tenant, kind: str, **document: Any) -> Json:
    return await ended(tenant, await tenant.post(f"{kind}/backtests", document))


async def talk(tenant: Tenant, conversation: str, *bodies: str, day: int = 20, **fields: Any) -> None:
    """Messages of one conversation, ten minutes between two."""
    for number, body in enumerate(bodies):
        at = f"2026-11-{day}T10:{number * 10:02}:00Z"
        await write(tenant, body, conversation, sent_at=at, **fields)


async def test_draft_is_tried_on_what_customers_wrote(tenant: Tenant) -> None:
    ana, ben, cleo = [await tenant.member(name=name) for name in ("Ana", "Ben", "Cleo")]
    await tenant.call("PATCH", f"/members/{cleo['id']}", {"status": "disabled"})
    team = await tenant.team(member_ids=[ana["id"], cleo["id"]])
    await talk(tenant, "chat-1", "Hello", "I want a refund", "A refund, please!", "REFUND")
    await talk(tenant, "chat-2", "Thank you")
    await talk(tenant, "chat-3", "refund", day=19)  # before the range
    actions = {"notify_team_ids": [team["id"]], "notify_member_ids": [ben["id"], ana["id"]]}
    draft = {**rule(cooldown="PT15M"), "actions": actions}
    found = await tried(tenant, EVENTS, draft=draft, **DAY)
    assert (found["kind"], found["rule_id"], found["name"]) == ("escalation_event", None, "Refunds")
    assert found["progress"] == {"examined": 3, "of": 3, "messages": 5}
    assert found["would_have"] == {"cases": 1, "acted": 2, "cooldown": 1}
    assert found["difference"] == {"only_new": 1, "only_old": 0, "both": 0}
    assert (found["replaces_version"], found["replaced_would_have"], found["replaced_definition"]) == (None,) * 3
    assert [(each["name"], each["times"]) for each in found["notified"]] == [("Ana", 2), ("Ben", 2)]
    (hit,) = found["found"]
    assert (hit["external_id"], hit["at"], hit["found_by"]) == ("chat-1", "2026-11-20T10:10:00Z", "only_new")
    assert hit["evidence"] == [{"path": "conditions/keyword", "kind": "keyword", "matched": "refund", "span": [9, 15]}]
    # It has had no effect: no rule, no ticket, nobody told, no decision.
    assert await tenant.get(EVENTS) == []
    assert (await tenant.get("/tickets"))["items"] == (await tenant.get("/notifications"))["items"] == []
    assert await tenant.get("/conversations/chat-1/decisions") == []
    listed = [each async for each in tenant.pages("/backtests")]
    assert listed == [{k: v for k, v in found.items() if k not in ("found", "definition", "replaced_definition")}]


async def test_changed_rule_is_compared_with_the_rule_it_replaces(tenant: Tenant) -> None:
    made = await tenant.post(EVENTS, rule(mode="off"))
    await tenant.call("PUT", f"{EVENTS}/{made['id']}", rule())
    await tenant.call("PUT", f"{EVENTS}/{made['id']}/mode", {"mode": "off"})
    await talk(tenant, "both", "A refund")
    await talk(tenant, "only new", "My money back!")
    await talk(tenant, "only old", "A refund for a friend")
    await talk(tenant, "neither", "Hello")
    changed = {"all": [{"keyword": ["refund", "money back"]}, {"not": {"keyword": "friend"}}]}
    found = await tried(tenant, EVENTS, rule_id=made["id"], draft=rule("Changed", changed), **DAY)
    assert (found["rule_id"], found["replaces_version"], found["name"]) == (made["id"], 2, "Changed")
    assert found["difference"] == {"only_new": 1, "only_old": 1, "both": 1}
    assert {each["external_id"].replace(" ", "_"): each["found_by"] for each in found["found"]} == {
        each: each for each in ("only_new", "only_old", "both")
    }
    assert (found["would_have"]["cases"], found["replaced_would_have"]["cases"]) == (2, 2)
    assert (found["replaced_definition"]["conditions"], found["definition"]["conditions"]["all"][0]) == (
        REFUND,
        {"keyword": ["refund", "money back"]},
    )
    alone = await tried(tenant, EVENTS, rule_id=made["id"], **DAY)
    assert (alone["would_have"]["cases"], alone["replaced_would_have"], alone["name"]) == (2, None, "Refunds")


async def test_facts_are_those_that_the_front_door_read(tenant: Tenant) -> None:
    """What a live rule decides, message by message, is what a back-test says of the same rule afterwards."""
    conditions = [
        {"human_requested": True},
        {"sentiment": {"at_most": -0.3}},
        {"sentiment": {"at_most": -0.3, "messages": 2, "of_last": 2}},
        {"channel": "whatsapp"},
        {"tag": "VIP"},
        {"not": {"keyword": "hello"}},
    ]
    made = [
        await tenant.post(EVENTS, {**rule(f"{n}", each, mode="shadow", cooldown="PT0S")})
        for n, each in enumerate(conditions)
    ]
    await talk(tenant, "chat-1", "This is terrible!", day=19, channel="whatsapp")  # counts as one of the last two
    await talk(tenant, "chat-1", "I am so angry, this is awful", "hello", "Let me talk to a human!", tags=["vip"])
    await talk(tenant, "chat-2", "hello", "¡Quiero hablar con una persona!", "This is terrible, I hate it")
    for each in made:
        live = [
            decision
            async for decision in tenant.pages(f"{EVENTS}/{each['id']}/decisions")
            if decision["at"] >= DAY["since"]
        ]
        found = await tried(tenant, EVENTS, rule_id=each["id"], **DAY)
        assert live, each
        assert found["would_have"]["acted"] == len(live), each
        assert {hit["message_id"] for hit in found["found"]} <= {decision["message_id"] for decision in live}
        by_message = {decision["message_id"]: decision["evidence"] for decision in live}
        assert all(hit["evidence"] == by_message[hit["message_id"]] for hit in found["found"])


async def test_automatic_replies_and_other_writers_are_left_out(tenant: Tenant) -> None:
    await write(tenant, "I am out of office, no refund until Monday", automatic=True, sent_at="2026-11-20T10:00:00Z")
    await write(tenant, "Would you like a refund?", author="bot", sent_at="2026-11-20T10:01:00Z")
    found = await tried(tenant, EVENTS, draft=rule(), **DAY)
    assert (found["progress"]["messages"], found["would_have"]["cases"]) == (0, 0)


async def test_routing_rule_is_tried_on_the_tickets_there_were(tenant: Tenant) -> None:
    ana = await tenant.member(name="Ana")
    tickets = [await tenant.ticket(title=title) for title in ("A refund", "The app crashes", "Refund and crash")]
    await tenant.post(EVENTS, rule("Open", {"keyword": "crashes"}))
    opened = await write(tenant, "The app crashes, let me talk to a human!", "chat-9")
    draft = {"name": "Bugs", "conditions": {"keyword": ["crash", "crashes"]}, "actions": {"assignee_id": ana["id"]}}

    async def is_recorded() -> bool:
        return (await tenant.call("GET", f"/tickets/{opened['ticket_id']}")).status_code == 200

    await eventually(is_recorded)
    found = await tried(tenant, ROUTING, draft=draft, last="P1D")
    assert (found["kind"], found["progress"]["examined"], found["progress"]["of"]) == ("routing_rule", 4, 4)
    assert {each["ticket_id"] for each in found["found"]} == {tickets[1]["id"], tickets[2]["id"], opened["ticket_id"]}
    assert [(each["name"], each["times"]) for each in found["notified"]] == [("Ana", 3)]
    # What was read in the message that opened a ticket is known.
    human = {**draft, "conditions": {"human_requested": True}}
    (hit,) = (await tried(tenant, ROUTING, draft=human, last="P1D"))["found"]
    assert (hit["ticket_id"], hit["message_id"], hit["external_id"]) == (opened["ticket_id"], opened["id"], "chat-9")


async def test_back_test_is_stopped_and_started_once(tenant: Tenant) -> None:
    document = {"draft": rule(), "last": "P1D"}
    first, again = [await tenant.call("POST", f"{EVENTS}/backtests", document, key="k") for _ in range(2)]
    assert (first.status_code, again.status_code, again.json()) == (202, 202, first.json())
    found = await ended(tenant, first.json())
    stopped = await tenant.post(f"/backtests/{found['id']}/stop")
    assert stopped["status"] == "done"  # it was over


async def test_back_tests_at_once_are_limited_and_a_stopped_one_makes_room(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    await talk(tenant, "chat-1", "refund")
    monkeypatch.setattr("api.backtests.MOST_RUNNING", 1)

    async def nobody(*_: object) -> None:
        """Takes the back-test up."""

    monkeypatch.setattr("api.backtests.Backtests._run", nobody)
    document = {"draft": rule(), "last": "P30D"}
    running = await tenant.post(f"{EVENTS}/backtests", document)
    refused = await tenant.call("POST", f"{EVENTS}/backtests", document)
    assert (refused.status_code, refused.json()["code"]) == (409, "limit_reached")
    stopped = await tenant.post(f"/backtests/{running['id']}/stop")
    assert (stopped["status"], stopped["progress"]["examined"]) == ("stopped", 0)
    await tenant.post(f"{EVENTS}/backtests", document)


@pytest.mark.parametrize(
    ("kind", "document", "code", "at"),
    [
        (EVENTS, {"draft": rule()}, "invalid_request", "body"),
        (EVENTS, {"last": "P1D"}, "invalid_request", "body"),
        (EVENTS, {"draft": rule(), "last": "P1D", "since": "2026-11-20T00:00:00Z"}, "invalid_request", "body"),
        (EVENTS, {"draft": rule(), "since": DAY["until"], "until": DAY["since"]}, "invalid_request", "body"),
        (EVENTS, {"draft": rule(), "last": "PT0S"}, "invalid_request", "body/last"),
        (EVENTS, {"draft": rule(colour="red"), "last": "P1D"}, "invalid_request", "body/draft/colour"),
        (EVENTS, {"draft": rule(conditions={"any": []}), "last": "P1D"}, "invalid_conditions", "conditions/any"),
        (ROUTING, {"draft": rule(cooldown="PT1H"), "last": "P1D"}, "invalid_request", "body/draft/cooldown"),
        (EVENTS, {"rule_id": str(uuid4()), "last": "P1D"}, "not_found", "escalation event"),
        (
            EVENTS,
            {"draft": {**rule(), "actions": {"team_id": str(uuid4())}}, "last": "P1D"},
            "invalid_reference",
            "actions/team_id",
        ),
    ],
)
async def test_back_test_that_makes_no_sense_is_refused(
    tenant: Tenant, kind: str, document: Json, code: str, at: str
) -> None:
    answer = await tenant.call("POST", f"{kind}/backtests", document)
    assert answer.json()["code"] == code, answer.text
    assert at in answer.text
    assert [each async for each in tenant.pages("/backtests")] == []
