"""What escalation events see of a conversation."""

from typing import Any

import pytest

from tests.api.chat import (
    ANGRY,
    ASKS_FOR_A_PERSON,
    AWAY_FROM_OFFICE,
    CONTENT,
    Chat,
    escalation_event,
    outcomes,
)
from tests.api.tenant import Json, Tenant

TELLS: Json = {"create_ticket": False, "priority": "high"}
"""An action that leaves no ticket behind."""

# Conditions; messages with the minute at which they were sent; which of them match.
CASES: dict[str, tuple[Json, list[Any], list[bool]]] = {
    "keyword": ({"keyword": ["refund"]}, ["A refund!", "Refunded?", "REFUND"], [True, False, True]),
    "human requested": ({"human_requested": True}, [ASKS_FOR_A_PERSON, "Hello"], [True, False]),
    "sentiment": ({"sentiment": {"at_most": -0.4}}, [CONTENT, ANGRY, "Where is it?"], [False, True, False]),
    "sentiment of two of the last three": (
        {"sentiment": {"at_most": -0.4, "messages": 2, "of_last": 3}},
        [ANGRY, "Where is it?", ANGRY, CONTENT, CONTENT, ANGRY],
        [False, False, True, False, False, False],
    ),
    "sentiment looks at what was sent before, not at what came before": (
        {"sentiment": {"at_most": -0.4, "messages": 2, "of_last": 2}},
        [(ANGRY, 9), (ANGRY, 1), (CONTENT, 2), (ANGRY, 10)],
        [False, False, False, True],
    ),
    "tag": ({"tag": ["vip"]}, ["Hello", {"body": "Hello", "tags": ["VIP"]}, "Hello?"], [False, True, True]),
    "channel": ({"channel": ["sms"]}, [{"body": "Hello", "channel": "sms"}, "Hello"], [True, True]),
    "other channel": ({"channel": ["email"]}, [{"body": "Hello", "channel": "sms"}], [False]),
    "all and not": (
        {"all": [{"keyword": ["refund"]}, {"not": {"human_requested": True}}]},
        ["A refund.", f"A refund. {ASKS_FOR_A_PERSON}"],
        [True, False],
    ),
}


@pytest.mark.parametrize("batched", [False, True], ids=["alone", "in one batch"])
@pytest.mark.parametrize(("conditions", "lines", "matching"), CASES.values(), ids=CASES)
async def test_rule_matches(
    tenant: Tenant, conditions: Json, lines: list[Any], matching: list[bool], batched: bool
) -> None:
    await escalation_event(tenant, conditions, actions=TELLS, cooldown="PT0S")
    chat = Chat(tenant)
    rows = []
    for number, line in enumerate(lines):
        body, minute = line if isinstance(line, tuple) else (line, number)
        fields = body if isinstance(body, dict) else {"body": body}
        rows.append(chat.row(minute=minute, **fields))
    if batched:
        report = await tenant.post("/messages/batch", {"messages": rows})
        answers = [row["message"] for row in report["rows"]]
    else:
        answers = []
        for row in rows:
            alone = {name: value for name, value in row.items() if name != "conversation"}
            answers.append((await chat.send(alone)).json())
    assert [bool(answer["decisions"]) for answer in answers] == matching


async def test_business_hours_are_those_of_the_default_calendar_when_the_message_was_sent(tenant: Tenant) -> None:
    for wanted in (True, False):
        await escalation_event(tenant, {"business_hours": wanted}, f"Open {wanted}", actions=TELLS, cooldown="PT0S")
    chat = Chat(tenant)
    assert outcomes(await chat.say(sent_at="2026-11-20T10:00:00Z")) == []  # a Friday; there is no calendar
    hours = [{"day": "friday", "opens": "09:00", "closes": "17:00"}]
    calendar = {"name": "Office", "time_zone": "Europe/Berlin", "hours": hours, "is_default": True}
    await tenant.post("/calendars", calendar)
    await escalation_event(tenant, {"keyword": ["unheard"]}, "Has the rules read again")
    for moment, rule in (
        ("2026-11-20T10:00:00Z", "Open True"),
        ("2026-11-20T16:30:00Z", "Open False"),
        ("2026-11-21T10:00:00Z", "Open False"),
    ):
        assert outcomes(await chat.say(sent_at=moment)) == [(rule, "acted")]


async def test_rule_rests_in_a_conversation_in_which_it_has_acted_and_in_no_other(tenant: Tenant) -> None:
    await escalation_event(tenant, {"keyword": ["refund"]}, "Refund", actions=TELLS, cooldown="PT1H")
    chat, other = Chat(tenant), Chat(tenant)
    found = [outcomes(await chat.say("A refund!", minute=minute)) for minute in (0, 30, 59, 61, 90)]
    assert [each[0][1] for each in found] == ["acted", "cooldown", "cooldown", "acted", "cooldown"]
    assert outcomes(await other.say("A refund!", minute=30)) == [("Refund", "acted")]


@pytest.mark.parametrize(
    "line",
    [
        {"body": f"{AWAY_FROM_OFFICE} {ASKS_FOR_A_PERSON}"},
        {"body": ASKS_FOR_A_PERSON, "automatic": True},
        {"body": ASKS_FOR_A_PERSON, "headers": {"auto-submitted": "auto-replied"}},
        {"body": ASKS_FOR_A_PERSON, "author": "bot"},
        {"body": ASKS_FOR_A_PERSON, "author": "agent"},
    ],
    ids=["by pattern", "by its sender's word", "by header", "bot", "agent"],
)
async def test_what_no_customer_wrote_calls_for_nobody(tenant: Tenant, line: Json) -> None:
    await escalation_event(tenant, {"human_requested": True})
    await escalation_event(tenant, {"not": {"keyword": ["unheard"]}}, "Everything")
    chat = Chat(tenant)
    answer = await chat.say(**line)
    assert (answer["decisions"], answer["ticket_id"]) == ([], None)
    assert answer["automatic"] == (line.get("author") is None)


async def test_automatic_reply_is_no_message_of_the_last_few(tenant: Tenant) -> None:
    conditions = {"sentiment": {"at_most": -0.4, "messages": 2, "of_last": 2}}
    await escalation_event(tenant, conditions, "Angry", actions=TELLS)
    chat = Chat(tenant)
    found = [
        outcomes(await chat.say(body, minute=number)) for number, body in enumerate((ANGRY, AWAY_FROM_OFFICE, ANGRY))
    ]
    assert found == [[], [], [("Angry", "acted")]]


async def test_rule_in_shadow_records_and_does_nothing(tenant: Tenant) -> None:
    member = await tenant.member()
    actions = {"notify_member_ids": [member["id"]]}
    await escalation_event(tenant, {"human_requested": True}, "Shadow", mode="shadow", actions=actions)
    chat = Chat(tenant)
    answers = [await chat.say(ASKS_FOR_A_PERSON, minute=minute) for minute in (0, 1)]
    assert [outcomes(each) for each in answers] == [[("Shadow", "shadow")], [("Shadow", "cooldown")]]
    assert (await chat.now())["ticket_id"] is None
    assert (await tenant.get("/notifications"))["items"] == []
    decisions = await tenant.get(f"{chat.path}/decisions")
    assert [(each["outcome"], each["ticket_id"]) for each in decisions] == [("cooldown", None), ("shadow", None)]


async def test_message_is_judged_by_the_rules_as_they_are_when_it_comes(tenant: Tenant) -> None:
    chat = Chat(tenant)
    assert outcomes(await chat.say("A refund!")) == []
    made = await escalation_event(tenant, {"keyword": ["refund"]}, "Refund", actions=TELLS, cooldown="PT0S")
    answer = chat.document("A refund!")
    first = (await chat.send(answer)).json()
    assert outcomes(first) == [("Refund", "acted")]
    await tenant.call("DELETE", f"/escalation-events/{made['id']}")
    assert outcomes(await chat.say("A refund!")) == []
    assert (await chat.send(answer)).json() == first, "what was decided stays decided"
