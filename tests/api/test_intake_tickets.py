"""Rules make one ticket of a conversation, which is told of what comes after."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from tests.api.chat import ASKS_FOR_A_PERSON, AWAY_FROM_OFFICE, Chat, at, escalation_event, outcomes
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually

ASKED = {"human_requested": True}


@pytest.fixture
async def chat(tenant: Tenant) -> Chat:
    """A conversation of an organization that makes a ticket where a person is asked for."""
    await escalation_event(tenant, ASKED, "Asks for a person", actions={"priority": "high", "tags": ["person"]})
    return Chat(tenant)


async def story(chat: Chat, ticket: Json) -> list[str]:
    return [event["kind"] for event in await chat.tenant.events(ticket)]


async def tells(chat: Chat, ticket: Json, *kinds: str) -> None:
    """Wait until the ticket's story is this."""

    async def told() -> bool:
        assert await story(chat, ticket) == list(kinds)
        return True

    await eventually(told)


async def test_ticket_is_made_with_what_the_customer_wrote_and_says_why(chat: Chat) -> None:
    await chat.say("Hello?", minute=0, channel="whatsapp", requester={"external_id": "customer-1", "name": "A"})
    body = f"\n  {ASKS_FOR_A_PERSON}  \nMy order is 1093."
    answer = await chat.say(body, minute=1, tags=["vip"])
    assert outcomes(answer) == [("Asks for a person", "acted")]
    ticket = await chat.ticket()
    assert ticket["id"] == answer["ticket_id"]
    assert {name: ticket[name] for name in ("title", "description", "priority", "tags", "source", "channel")} == {
        "title": ASKS_FOR_A_PERSON,
        "description": body,
        "priority": "high",
        "tags": ["vip", "person"],
        "source": "rule",
        "channel": "whatsapp",
    }
    assert (ticket["requester"]["external_id"], ticket["requester"]["name"]) == ("customer-1", "A")
    await tells(chat, ticket, "created", "customer_replied")
    created = (await chat.tenant.events(ticket))[0]
    [because] = created["about"]["because"]
    assert (because["rule"], because["version"]) == ("Asks for a person", 1)
    assert because["matched"][0].startswith("human_requested: ")
    [decision] = await chat.tenant.get(f"/tickets/{ticket['id']}/decisions")
    assert decision == (await chat.tenant.get(f"{chat.path}/decisions"))[0]
    assert (decision["message_id"], decision["outcome"], decision["rule_version"]) == (answer["id"], "acted", 1)
    [begin, end] = decision["evidence"][0]["span"]
    assert "human" in body[begin:end]
    messages = [each async for each in chat.tenant.pages(f"/tickets/{ticket['id']}/messages")]
    assert [(each["body"], each["ticket_id"]) for each in messages] == [("Hello?", None), (body, ticket["id"])]


async def test_routing_rules_have_their_part_in_it(chat: Chat) -> None:
    team = await chat.tenant.team()
    rule = {"name": "Refunds", "conditions": {"keyword": ["refund"]}, "actions": {"team_id": team["id"]}}
    await chat.tenant.post("/routing-rules", rule)
    await chat.say(f"{ASKS_FOR_A_PERSON} It is about my refund.")
    ticket = await chat.ticket()
    assert ticket["team"] == {"id": team["id"], "name": team["name"]}
    decisions = await chat.tenant.get(f"/tickets/{ticket['id']}/decisions")
    assert {(each["kind"], each["rule_name"]) for each in decisions} == {
        ("escalation_event", "Asks for a person"),
        ("routing_rule", "Refunds"),
    }
    because = (await chat.tenant.events(ticket))[0]["about"]["because"]
    assert [each["rule"] for each in because] == ["Asks for a person", "Refunds"]


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "in one batch"])
async def test_ten_messages_at_once_make_one_ticket(chat: Chat, batched: bool) -> None:
    if batched:
        rows = [chat.row(ASKS_FOR_A_PERSON, minute=number) for number in range(10)]
        report = await chat.tenant.post("/messages/batch", {"messages": rows})
        answers = [row["message"] for row in report["rows"]]
        assert report["stored"] == 10
    else:
        answers = await asyncio.gather(*(chat.say(ASKS_FOR_A_PERSON, minute=number) for number in range(10)))
    assert len({answer["ticket_id"] for answer in answers}) == 1
    assert Counter(outcomes(answer)[0][1] for answer in answers) == {"acted": 1, "cooldown": 9}
    ticket = await chat.ticket()
    await tells(chat, ticket, "created", *["customer_replied"] * 10)
    assert len([each async for each in chat.tenant.pages("/tickets")]) == 1


async def test_messages_from_before_a_ticket_are_none_of_its_business(chat: Chat) -> None:
    before = chat.row("Hello?", minute=0)
    rows = [before, chat.row(ASKS_FOR_A_PERSON, minute=1), chat.row("I am waiting.", minute=2)]
    for statuses in (["stored"] * 3, ["known"] * 3):
        report = await chat.tenant.post("/messages/batch", {"messages": rows})
        assert [row["status"] for row in report["rows"]] == statuses
        ticket = await chat.ticket()
        await tells(chat, ticket, "created", "customer_replied", "customer_replied")
    await chat.tenant.post(f"/tickets/{ticket['id']}/status", {"to": "waiting"})
    await chat.tenant.post("/messages/batch", {"messages": rows})
    assert (await chat.tenant.reload(ticket))["status"] == "waiting"
    assert [each["ticket_id"] async for each in chat.tenant.pages(f"{chat.path}/messages")] == [
        None,
        ticket["id"],
        ticket["id"],
    ]


@pytest.mark.parametrize(
    ("line", "status", "kinds"),
    [
        ({"body": "It is 1093."}, "in_progress", ["customer_replied", "status_changed"]),
        ({"body": AWAY_FROM_OFFICE}, "waiting", ["customer_replied"]),
        ({"body": "Hi", "headers": {"Auto-Submitted": "auto-replied"}}, "waiting", ["customer_replied"]),
        ({"body": "I am still here.", "author": "bot"}, "waiting", []),
    ],
    ids=["customer", "automatic reply", "automatic by header", "bot"],
)
async def test_ticket_that_waits_is_told(chat: Chat, line: Json, status: str, kinds: list[str]) -> None:
    await chat.say(ASKS_FOR_A_PERSON)
    ticket = await chat.ticket()
    await chat.tenant.post(f"/tickets/{ticket['id']}/status", {"to": "waiting"})
    document = chat.document(**line)
    for expected in (201, 200):
        assert (await chat.send(document)).status_code == expected
        await tells(chat, ticket, "created", "customer_replied", "status_changed", *kinds)
    assert (await chat.tenant.reload(ticket))["status"] == status


async def test_agents_line_is_a_persons_answer(chat: Chat) -> None:
    agent = await chat.tenant.member()
    await chat.say(ASKS_FOR_A_PERSON, minute=0)
    ticket = await chat.ticket()
    assert ticket["unanswered_since"] is not None
    acting = Chat(chat.tenant.acting_for(agent), chat.external_id)
    await acting.send({"external_id": "answer", "author": "agent", "body": "What can I do?", "sent_at": at(2)})
    await tells(chat, ticket, "created", "customer_replied", "agent_replied", "status_changed")
    now = await chat.tenant.reload(ticket)
    assert now["status"] == "in_progress"
    assert (now["unanswered_since"], (await chat.now())["waiting_since"]) == (None, None)
    said = [each async for each in chat.tenant.pages(f"{chat.path}/messages")]
    assert (said[-1]["author_id"], said[-1]["author_name"]) == (agent["id"], agent["name"])


async def test_ticket_that_is_there_follows_the_rules_that_match_later(chat: Chat) -> None:
    await chat.say(ASKS_FOR_A_PERSON)
    ticket = await chat.ticket()
    await escalation_event(
        chat.tenant, {"keyword": ["lawyer"]}, "Threat", actions={"priority": "urgent", "tags": ["legal"]}
    )
    answer = await chat.say("You will hear from my lawyer.")
    assert outcomes(answer) == [("Threat", "acted")]

    async def followed() -> Any:
        now = await chat.tenant.reload(ticket)
        assert (now["priority"], now["tags"]) == ("urgent", ["person", "legal"])
        return now

    await eventually(followed)
    escalated = next(event for event in await chat.tenant.events(ticket) if event["kind"] == "escalated")
    assert escalated["reason"] == "Threat (keyword: lawyer)"
    decisions = await chat.tenant.get(f"/tickets/{ticket['id']}/decisions")
    assert {each["rule_name"] for each in decisions} == {"Asks for a person", "Threat"}


async def test_closed_ticket_is_reopened_and_after_the_window_followed_up(http: httpx.AsyncClient) -> None:
    tenant = await new_tenant(http, reopen_window="PT0.001S")
    await escalation_event(tenant, ASKED)
    chat = Chat(tenant)
    await chat.say(ASKS_FOR_A_PERSON)
    old = await chat.ticket()
    for step in ("resolved", "closed"):
        await tenant.post(f"/tickets/{old['id']}/status", {"to": step})
    bounced = await chat.say(AWAY_FROM_OFFICE)
    assert (bounced["ticket_id"], (await tenant.reload(old))["status"]) == (old["id"], "closed")
    line = chat.document("It happened again.")
    for _ in range(2):
        await chat.send(line)
        new = await chat.ticket()
        assert new["follow_up_of"] == old["id"]
        await tells(chat, new, "created", "customer_replied")
    assert len([each async for each in tenant.pages("/tickets")]) == 2


async def test_rule_that_only_notifies_makes_no_ticket_and_tells_each_member_once(tenant: Tenant) -> None:
    member, other = await tenant.member(), await tenant.member()
    team = await tenant.team(member_ids=[member["id"]])
    actions = {
        "create_ticket": False,
        "notify_team_ids": [team["id"]],
        "notify_member_ids": [member["id"], other["id"]],
    }
    await escalation_event(tenant, ASKED, "Tell", actions=actions)
    chat = Chat(tenant)
    document = chat.document(ASKS_FOR_A_PERSON)
    for _ in range(2):
        assert (await chat.send(document)).json()["ticket_id"] is None
    for each in (member, other):
        told = await eventually(lambda each=each: told_of(tenant, each))  # type: ignore[misc]
        assert told["kind"] == "escalation_raised"
        assert told["why"].startswith("Tell (human_requested: ")


async def told_of(tenant: Tenant, member: Json) -> Json:
    """The one thing the member was told."""
    [told] = (await tenant.get("/notifications", member_id=member["id"]))["items"] or [{}]
    found: Json = told
    return found


async def test_history_is_kept_and_read_and_nothing_is_done_about_it(chat: Chat) -> None:
    rows = [chat.row(ASKS_FOR_A_PERSON, minute=0), chat.row("Done, bye.", minute=1, author="agent")]
    report = await chat.tenant.post("/messages/batch", {"messages": rows, "history": True})
    assert report["stored"] == 2
    asked = report["rows"][0]["message"]
    assert asked["reading"]["human_request"]["requested"]
    assert (asked["decisions"], asked["ticket_id"], (await chat.now())["waiting_since"]) == ([], None, None)
    await chat.say(ASKS_FOR_A_PERSON, minute=9)
    ticket = await chat.ticket()
    again = await chat.tenant.post("/messages/batch", {"messages": rows})
    assert again["known"] == 2
    more = chat.row("And one more of the old ones.", minute=0.5)
    await chat.tenant.post("/messages/batch", {"messages": [more], "history": True})
    await chat.tenant.post("/messages/batch", {"messages": [more]})
    await tells(chat, ticket, "created", "customer_replied")


async def test_longest_message_makes_a_ticket(chat: Chat) -> None:
    body = ASKS_FOR_A_PERSON.ljust(20_000, "\N{ROCKET}")
    await chat.say(body)
    ticket = await chat.ticket()
    assert ticket["description"] == body
    assert ticket["title"].startswith(ASKS_FOR_A_PERSON)
