import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.api.chat import ASKS_FOR_A_PERSON, Chat, escalation_event
from tests.api.escalations import ASKED, TELLS, becomes, live, queue, raised
from tests.api.tenant import Json, Tenant
from tests.support import eventually

# Raising


async def test_a_flows_node_puts_the_conversation_into_the_queue_and_gets_a_line_for_the_customer(chat: Chat) -> None:
    await chat.say("A refund, please.")
    node = {"source": "flow", "flow_id": "refunds", "node_id": "to-human", "reason": "Wants a refund.", "note": "1093"}
    answer = await chat.tenant.post(f"{chat.path}/escalations", {**node, "priority": "high"})
    assert (answer["position"], answer["line"]) == (1, "You are next. Somebody will be with you soon.")
    escalation = answer["escalation"]
    assert (escalation["status"], escalation["priority"]) == ("queued", "high")
    [reason] = escalation["reasons"]
    assert (reason["source"], reason["flow_id"], reason["node_id"]) == ("flow", "refunds", "to-human")
    assert (reason["words"], reason["note"]) == ("Wants a refund.", "1093")
    notice = escalation["next_notice"]
    assert (notice["targets"], notice["step"]) == (["team"], 1)
    assert escalation["waiting_since"] == (await chat.now())["waiting_since"]


async def test_asking_again_for_the_same_reason_is_answered_the_same(chat: Chat) -> None:
    await chat.say()
    path = f"{chat.path}/escalations"
    answers = [await chat.tenant.post(path, {"reason": "Once."}, key="once") for _ in range(2)]
    assert answers[0]["escalation"]["id"] == answers[1]["escalation"]["id"]
    assert len(answers[1]["escalation"]["reasons"]) == 1
    other = await chat.tenant.post(path, {"reason": "Another."})
    assert [each["words"] for each in other["escalation"]["reasons"]] == ["Once.", "Another."]
    reused = await chat.tenant.call("POST", path, {"reason": "Other."}, key="once")
    assert reused.json()["code"] == "idempotency_key_reused"


async def test_a_flow_must_name_itself(chat: Chat) -> None:
    await chat.say()
    answer = await chat.tenant.call("POST", f"{chat.path}/escalations", {"source": "flow", "reason": "Why not"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_a_customer_who_asks_for_a_human_is_queued_and_the_team_of_the_rule_is_told_once(chat: Chat) -> None:
    tenant = chat.tenant
    member = await tenant.member()
    team = await tenant.team(member_ids=[member["id"]])
    for name in ("First", "Second"):
        actions = {"create_ticket": True, "notify_team_ids": [team["id"]], "notify_member_ids": [member["id"]]}
        await escalation_event(tenant, ASKED, name, actions=actions)
    asked = await chat.say(ASKS_FOR_A_PERSON)
    escalation = await live(chat)
    escalation = await becomes(tenant, escalation, ticket={"id": asked["ticket_id"], "status": "open", "number": 1})

    async def all_there() -> Json:
        found: Json = await tenant.get(f"/escalations/{escalation['id']}")
        assert sorted(each["source"] for each in found["reasons"]) == ["assistant", "rule", "rule"]
        return found

    escalation = await eventually(all_there)
    assert {each["rule_name"] for each in escalation["reasons"]} == {None, "First", "Second"}
    assert (escalation["team"]["id"], escalation["ticket"]["id"]) == (team["id"], asked["ticket_id"])
    told = (await tenant.get("/notifications", member_id=member["id"]))["items"]
    assert [each["kind"] for each in told] == ["escalation_raised"]
    [of_ticket] = [each async for each in tenant.pages(f"/tickets/{asked['ticket_id']}/escalations")]
    assert of_ticket["id"] == escalation["id"]


async def test_an_organization_can_leave_the_queue_to_its_rules(chat: Chat) -> None:
    changed = await chat.tenant.call("PATCH", "/organization", {"escalate_human_requests": False})
    assert changed.json()["escalate_human_requests"] is False
    await chat.say(ASKS_FOR_A_PERSON)
    await escalation_event(chat.tenant, {"keyword": ["refund"]}, actions=TELLS)
    await chat.say("A refund!")
    assert [each["source"] for each in (await live(chat))["reasons"]] == ["rule"]


async def test_messages_a_takeover_and_two_rules_in_one_instant_are_one_escalation_and_one_ticket(chat: Chat) -> None:
    tenant = chat.tenant
    member, other = await tenant.member(), await tenant.member()
    team = await tenant.team(member_ids=[member["id"], other["id"]])
    for name, create in (("First", True), ("Second", True)):
        actions = {"create_ticket": create, "notify_team_ids": [team["id"]]}
        await escalation_event(tenant, ASKED, name, actions=actions, cooldown="PT0S")
    await chat.say("Hello")
    messages = [chat.document(ASKS_FOR_A_PERSON) for _ in range(10)]
    takeover = tenant.acting_for(member).call("POST", f"{chat.path}/takeover", {})
    answers = await asyncio.gather(*(chat.send(each) for each in messages), takeover)
    assert {answer.status_code for answer in answers} == {201, 200}
    acted = [each for answer in answers[:10] for each in answer.json()["decisions"] if each["outcome"] == "acted"]
    assert {each["rule"] for each in acted} == {"First", "Second"}
    expected = Counter(assistant=10, rule=len(acted))

    async def all_there() -> Json:
        found = await queue(tenant, status=["queued", "claimed", "resolved", "dismissed"])
        assert len(found) == 1
        # A message that comes in after a later one may find its rules resting.
        assert Counter(each["source"] for each in found[0]["reasons"]) in (expected, expected + Counter(takeover=1))
        return found[0]

    escalation = await eventually(all_there, 15)
    assert (escalation["status"], escalation["owner"]["id"]) == ("claimed", member["id"])
    assert len([each async for each in tenant.pages("/tickets")]) == 1
    for each in (member, other):
        told = (await tenant.get("/notifications", member_id=each["id"]))["items"]
        assert [notice["kind"] for notice in told] == ["escalation_raised"]


# The queue


async def test_the_queue_is_by_priority_and_then_by_how_long_the_customer_waits(tenant: Tenant) -> None:
    now = datetime.now(UTC)
    expected = []
    for priority, minutes in (("normal", 5), ("urgent", 1), ("normal", 30), ("urgent", 10)):
        chat = Chat(tenant)
        await chat.say("Hello", sent_at=(now - timedelta(minutes=minutes)).isoformat())
        escalation = await raised(chat, priority=priority, quiet=True)
        expected.append((priority != "urgent", -minutes, escalation["id"]))
    ids = [each[2] for each in sorted(expected)]
    listed = await queue(tenant, limit=3)
    assert [each["id"] for each in listed] == ids
    assert [each["position"] for each in listed] == [1, 2, 3, 4]
    member = await tenant.member()
    await tenant.acting_for(member).post(f"/escalations/{ids[0]}/claim", {})
    assert [each["id"] for each in await queue(tenant)] == ids[1:]
    assert [each["id"] for each in await queue(tenant, status="claimed", owner_id=member["id"])] == ids[:1]
    assert (await tenant.call("GET", "/escalations", params={"cursor": "nonsense"})).status_code == 400


async def test_a_team_has_a_queue_of_its_own(tenant: Tenant) -> None:
    team = await tenant.team()
    await raised(Chat(tenant))
    mine = await raised(Chat(tenant), team_id=team["id"])
    assert mine["position"] == 1
    assert [each["id"] for each in await queue(tenant, team_id=team["id"])] == [mine["id"]]


async def test_a_team_says_who_watches_its_queue_and_how_long_an_owner_may_be_silent(tenant: Tenant) -> None:
    steps = [{"wait": "PT2M", "actions": [{"kind": "notify", "targets": ["supervisors"]}]}]
    ladder = await tenant.post("/escalation-ladders", {"name": "Quick", "steps": steps})
    team = await tenant.team(queue_ladder_id=ladder["id"], silence_limit="PT5M")
    assert (team["queue_ladder_id"], team["silence_limit"]) == (ladder["id"], "PT5M")
    refused = await tenant.call("POST", "/teams", {"name": "Other", "queue_ladder_id": str(uuid4())})
    assert refused.json()["code"] == "invalid_reference"
    chat = Chat(tenant)
    escalation = await raised(chat, team_id=team["id"])
    notice = escalation["next_notice"]
    assert notice["targets"] == ["supervisors"]
    assert _minutes(escalation["raised_at"], notice["at"]) == 2
    member = tenant.acting_for(await tenant.member())
    claimed = await member.post(f"/escalations/{escalation['id']}/claim", {})
    assert _minutes(claimed["claimed_at"], claimed["returns_at"]) == 5


def _minutes(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)) / timedelta(minutes=1)


async def test_a_bots_line_does_not_end_the_waiting_and_an_agents_does(chat: Chat) -> None:
    escalation = await raised(chat)
    since = escalation["waiting_since"]
    assert since is not None
    await chat.say("I am transferring you to a colleague.", author="bot")
    assert (await chat.now())["waiting_since"] == since
    assert (await chat.tenant.get(f"/escalations/{escalation['id']}"))["waiting_since"] == since
    await chat.say("How can I help?", author="agent")
    await becomes(chat.tenant, escalation, waiting_since=None)


# Its end, and its ticket


async def test_an_ended_escalation_takes_no_commands_and_another_can_be_raised(chat: Chat) -> None:
    tenant = chat.tenant
    member = tenant.acting_for(await tenant.member())
    escalation = await raised(chat)
    dismissed = await member.post(f"/escalations/{escalation['id']}/dismiss", {"note": "A thank-you."})
    assert (dismissed["status"], dismissed["legal_statuses"], dismissed["notes"]) == ("dismissed", [], ["A thank-you."])
    for command in ("claim", "resolve", "dismiss", "ticket"):
        answer = await member.call("POST", f"/escalations/{escalation['id']}/{command}", {})
        assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (409, "escalation_over", 409)
    again = await raised(chat)
    assert again["id"] != escalation["id"]
    late = await member.call("POST", f"/escalations/{escalation['id']}/claim", {})
    assert late.json()["code"] == "escalation_over"
    assert (await tenant.get(f"/escalations/{again['id']}"))["status"] == "queued"


async def test_a_ticket_is_made_of_an_escalation_and_resolving_one_offers_the_other(chat: Chat) -> None:
    tenant = chat.tenant
    member = tenant.acting_for(await tenant.member())
    escalation = await raised(chat, priority="high")
    path = f"/escalations/{escalation['id']}/ticket"
    ticket_id = (await member.post(path, {}))["ticket"]["id"]
    assert (await member.post(path, {}))["ticket"]["id"] == ticket_id  # a second press makes no second one
    ticket = await tenant.get(f"/tickets/{ticket_id}")
    assert (ticket["title"], ticket["priority"], ticket["source"]) == ("Where is my bag?", "high", "api")
    assert ticket["conversation_id"] == escalation["conversation_id"]
    resolved = await member.post(f"/escalations/{escalation['id']}/resolve", {})
    [offer] = resolved["offers"]
    assert (offer["action"], offer["path"]) == ("resolve_ticket", f"/tickets/{ticket_id}/status")
    await tenant.call(offer["method"], offer["path"], offer["document"])
    assert (await tenant.get(f"/escalations/{escalation['id']}"))["offers"] == []


async def test_an_open_ticket_of_the_same_customer_can_be_attached_and_no_other(chat: Chat) -> None:
    tenant = chat.tenant
    known = {"external_id": "customer-1"}
    await chat.say("Hello", requester=known)
    escalation = await raised(chat, quiet=True)
    mine, theirs = await tenant.ticket(requester=known), await tenant.ticket()
    over = await tenant.ticket("resolved", requester=known)
    path = f"/escalations/{escalation['id']}/ticket"
    for ticket_id, code in (
        (theirs["id"], "invalid_reference"),
        (over["id"], "ticket_not_active"),
        (str(uuid4()), "invalid_reference"),
    ):
        assert (await tenant.call("POST", path, {"ticket_id": ticket_id})).json()["code"] == code
    attached = await tenant.post(path, {"ticket_id": mine["id"]})
    assert attached["ticket"] == {"id": mine["id"], "number": mine["number"], "status": "open"}
    await tenant.post(f"/tickets/{mine['id']}/status", {"to": "resolved"})
    [offer] = (await tenant.get(f"/escalations/{escalation['id']}"))["offers"]
    assert offer["action"] == "resolve_escalation"


async def test_what_is_dismissed_counts_against_the_version_of_its_rule(tenant: Tenant) -> None:
    member = tenant.acting_for(await tenant.member(role="supervisor"))
    await tenant.call("PATCH", "/organization", {"escalate_human_requests": False})
    rule = await escalation_event(tenant, {"keyword": ["refund"]}, "Refund", actions=TELLS)
    for number, command in enumerate(("dismiss", "resolve", "dismiss", "claim")):
        if number == 2:
            document = {"name": "Refund", "conditions": {"keyword": ["money"]}, "actions": TELLS}
            assert (await tenant.call("PUT", f"/escalation-events/{rule['id']}", document)).status_code == 200
        chat = Chat(tenant)
        await chat.say("A refund!" if number < 2 else "My money!")

        async def found(known_as: str = chat.external_id) -> Json:
            mine = [each for each in await queue(tenant) if each["conversation_external_id"] == known_as]
            assert len(mine) == 1
            return mine[0]

        escalation = await eventually(found)
        await member.post(f"/escalations/{escalation['id']}/{command}", {})
    report = await member.get("/analytics/dismissals")
    counted = [
        [row[name] for name in ("name", "version", "escalations", "ended", "dismissed")] for row in report["rows"]
    ]
    assert sorted(counted) == [["Refund", 1, 2, 2, 1], ["Refund", 2, 2, 1, 1]]
    [listed] = await tenant.get("/escalation-events")
    named = ("version", "escalations", "ended", "dismissed")
    assert [[each[name] for name in named] for each in listed["counts"]["dismissals"]] == [[2, 2, 1, 1], [1, 2, 2, 1]]
    assert (report["group_by"], report["total"]["escalations"], report["total"]["share"]) == ("rule", 4, 0.6667)
    waited = await member.get("/analytics/queue", group_by="source")
    [row] = waited["rows"]
    assert (row["key"], row["escalations"], row["measured"], row["dismissed"]) == ("rule", 4, 1, 2)
    assert 0 <= row["median"] < 60
