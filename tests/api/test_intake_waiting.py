"""Since when a customer waits, in whatever order messages come in."""

from datetime import datetime
from itertools import permutations

import pytest

from tests.api.chat import AWAY_FROM_OFFICE, Chat, at
from tests.api.tenant import Json, Tenant

SAYS: dict[str, Json] = {
    "customer": {"author": "customer", "body": "Where is my parcel?"},
    "away": {"author": "customer", "body": AWAY_FROM_OFFICE},
    "told away": {"author": "customer", "body": "Back on Monday", "automatic": True},
    "by header": {"author": "customer", "body": "Hi", "headers": {"Auto-Submitted": "auto-replied"}},
    "bot": {"author": "bot", "body": "I am transferring you."},
    "agent": {"author": "agent", "body": "It is on its way."},
}
CASES: dict[str, tuple[list[tuple[str, int]], int | None]] = {  # who wrote at which minute, as it came; waits since
    "the first message counts": ([("customer", 0), ("customer", 5)], 0),
    "an earlier one that comes late counts": ([("customer", 5), ("customer", 0)], 0),
    "an answer ends it": ([("customer", 0), ("agent", 1)], None),
    "the next message begins anew": ([("customer", 0), ("agent", 1), ("customer", 2), ("customer", 3)], 2),
    "late, and answered already": ([("customer", 0), ("agent", 3), ("customer", 2)], None),
    "late, and not answered": ([("agent", 1), ("customer", 5), ("customer", 3)], 3),
    "an answer that comes late leaves what came after it": ([("customer", 0), ("customer", 5), ("agent", 3)], 5),
    "an answer before everything": ([("customer", 5), ("agent", 3)], 5),
    "an older answer changes nothing": ([("customer", 0), ("agent", 4), ("customer", 5), ("agent", 2)], 5),
    "two answers, the later one first": ([("customer", 0), ("customer", 2), ("agent", 5), ("agent", 1)], None),
    "a bot's line is no answer": ([("customer", 0), ("bot", 1)], 0),
    "a bot's line that comes late is none": ([("customer", 5), ("bot", 7), ("bot", 2), ("customer", 6)], 5),
    "an automatic reply waits for nobody": ([("away", 0)], None),
    "one that says so": ([("told away", 0)], None),
    "one whose header says so": ([("by header", 0)], None),
    "an automatic reply that comes late": ([("customer", 5), ("away", 0)], 5),
    "an automatic reply to an answer": ([("customer", 0), ("agent", 1), ("away", 2)], None),
    "a message after an automatic reply": ([("away", 0), ("agent", 1), ("away", 2), ("customer", 3)], 3),
    "nobody wrote": ([("bot", 0)], None),
    "an agent began": ([("agent", 0), ("customer", 1)], 1),
}
cases = pytest.mark.parametrize(("lines", "since"), CASES.values(), ids=CASES)


def same(moment: str | None, minute: int | None) -> bool:
    wanted = datetime.fromisoformat(at(minute)) if minute is not None else None
    return (datetime.fromisoformat(moment) if moment else None) == wanted


@cases
async def test_customer_waits_since_their_first_unanswered_message(
    tenant: Tenant, lines: list[tuple[str, int]], since: int | None
) -> None:
    alone, batched = Chat(tenant), Chat(tenant)
    for who, minute in lines:
        answer = await alone.say(minute=minute, **SAYS[who])
    assert same(answer["waiting_since"], since)
    await tenant.post("/messages/batch", {"messages": [batched.row(minute=at_, **SAYS[who]) for who, at_ in lines]})
    for chat in (alone, batched):
        assert same((await chat.now())["waiting_since"], since)


async def test_order_does_not_matter(tenant: Tenant) -> None:
    lines = [("customer", 0), ("agent", 2), ("customer", 3), ("away", 1), ("customer", 5)]
    chats = [(Chat(tenant), order) for order in permutations(lines)]
    rows = [chat.row(minute=minute, **SAYS[who]) for chat, order in chats for who, minute in order]
    for begin in range(0, len(rows), 200):
        await tenant.post("/messages/batch", {"messages": rows[begin : begin + 200]})
    found = [each async for each in tenant.pages("/conversations", limit=100)]
    assert len(found) == len(chats) == 120
    assert all(same(each["waiting_since"], 3) and same(each["answered_at"], 2) for each in found)
