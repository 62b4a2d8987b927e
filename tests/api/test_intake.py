"""Messages come in through the front door, each once."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy.exc import DataError, IntegrityError

import api.keeping
from api.reservations import Reservations
from db.conversations import NewMessage, keep_messages
from tests.api.chat import AWAY_FROM_OFFICE, Chat, at
from tests.api.tenant import Json, Tenant

BODIES = {
    "one letter": "a",
    "the longest": "x" * 20_000,
    "the longest of emoji": "\N{ROCKET}" * 20_000,
    "family": "\N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL} \N{WAVING HAND SIGN}\U0001f3fd",
    "Arabic": "\u0623\u0631\u064a\u062f \u0627\u0644\u062a\u062d\u062f\u062b \u0645\u0639 \u0634\u062e\u0635",
    "marks of direction": "\u202eabc\u202c \u200f(1093)",
    "combining": "Z\u0351\u036b\u0343\u036a\u0302a\u0301\u0301\u0301 e\u0301",
    "Chinese": "\u6211\u60f3\u9000\u6b3e",
    "Hindi": "\u092e\u0941\u091d\u0947 \u092e\u0926\u0926 \u091a\u093e\u0939\u093f\u090f",
    "spaces and lines": "  \n\t\r\n ",
    "control characters": "\x01\x1b[31m\x7f",
    "markup": "<script>alert('\"')</script> {{x}} %s \\",
}
RACE = IntegrityError("", {}, UniqueViolation())
"""What Postgres says to one of two that make the same thing, where they meet in another index than that of the ids."""

JSON = {"Content-Type": "application/json"}
REFUSED = {
    "nothing": "",
    "a character too many": "x" * 20_001,
    "NUL": "a\x00b",
    "half a character": "a\ud800b",  # as JSON may escape it
}


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], None]:
    """Has the next call of a function lose a race."""

    def lose(owner: object, name: str) -> None:
        function = getattr(owner, name)

        async def once(*given: Any) -> Any:
            monkeypatch.setattr(owner, name, function)
            raise RACE

        monkeypatch.setattr(owner, name, once)

    return lose


async def test_who_makes_the_same_conversation_in_the_same_instant_is_answered_too(
    tenant: Tenant, race: Callable[[object, str], None]
) -> None:
    race(api.keeping, "keep_conversations")
    chat = Chat(tenant)
    await chat.say("Hello?")
    assert await chat.said() == ["Hello?"]


async def test_who_makes_the_same_requester_in_the_same_instant_is_answered_too(
    tenant: Tenant, race: Callable[[object, str], None]
) -> None:
    race(Reservations, "_ticket")
    ticket = await tenant.ticket(requester={"external_id": "customer-77"})
    assert [each["id"] async for each in tenant.pages("/tickets")] == [ticket["id"]]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_any_text_is_kept_as_it_is(tenant: Tenant, body: str) -> None:
    chat = Chat(tenant)
    await chat.say(body)
    assert await chat.said() == [body]


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_kept_is_refused_alone_and_in_a_batch(tenant: Tenant, body: str) -> None:
    chat = Chat(tenant)
    refusal = await tenant.call("POST", f"{chat.path}/messages", content=json.dumps(chat.document(body)), headers=JSON)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_request")
    assert [error["at"] for error in refusal.json()["errors"]] == ["body/body"]
    batch = {"messages": [chat.row(body), chat.row("Hello?")]}
    report = (await tenant.call("POST", "/messages/batch", content=json.dumps(batch), headers=JSON)).json()
    assert [row["status"] for row in report["rows"]] == ["refused", "stored"]
    assert await chat.said() == ["Hello?"]


async def test_message_sent_again_is_answered_as_before(tenant: Tenant) -> None:
    chat = Chat(tenant)
    document = chat.document(AWAY_FROM_OFFICE)
    first = await chat.send(document)
    assert (first.status_code, first.headers.get("Idempotency-Replayed")) == (201, None)
    changed = {**document, "body": "Something else", "sent_at": at(0), "author": "agent", "author_name": "B"}
    for other in (document, changed):
        again = await chat.send(other)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
        assert again.json() == first.json()
    assert await chat.said() == [AWAY_FROM_OFFICE]


async def test_message_counts_once_in_a_batch_and_from_many_senders_at_once(tenant: Tenant) -> None:
    chat = Chat(tenant)
    row = chat.row("Hello?")
    alone = {name: value for name, value in row.items() if name != "conversation"}
    report = await tenant.post("/messages/batch", {"messages": [row, {**row, "body": "Hello again?"}]})
    assert [each["status"] for each in report["rows"]] == ["stored", "known"]
    assert report["rows"][0]["message"] == report["rows"][1]["message"]

    again = Chat(tenant)
    answers = await asyncio.gather(
        *(again.send(alone) for _ in range(10)),
        *(
            tenant.call("POST", "/messages/batch", {"messages": [{**row, "conversation": again.external_id}] * 3})
            for _ in range(5)
        ),
    )
    found = Counter[str]()
    for answer in answers:
        said = answer.json()
        rows = said["rows"] if "rows" in said else [{"status": {201: "stored", 200: "known"}[answer.status_code]}]
        found.update(each["status"] for each in rows)
    assert found == {"stored": 1, "known": 24}
    assert (await chat.said(), await again.said()) == (["Hello?"], ["Hello?"])


async def test_those_at_the_door_at_once_are_kept_together_and_one_that_cannot_be_holds_up_no_other(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, broken = list[int](), "what nobody has foreseen"

    async def once_in_a_while(session: Any, organization_id: Any, wanted: Sequence[NewMessage], *, told: bool) -> Any:
        sizes.append(len(wanted))
        if any(each.body == broken for each in wanted):
            raise DataError("", {}, ValueError())
        return await keep_messages(session, organization_id, wanted, told=told)

    monkeypatch.setattr(api.keeping, "keep_messages", once_in_a_while)
    chats = [Chat(tenant) for _ in range(12)]
    answers = await asyncio.gather(
        *(chat.send(chat.document(broken if number == 5 else f"I am {number}.")) for number, chat in enumerate(chats))
    )
    assert [answer.status_code for answer in answers] == [500 if number == 5 else 201 for number in range(12)]
    assert max(sizes) > 1
    for number, chat in enumerate(chats):
        assert number == 5 or await chat.said() == [f"I am {number}."]


async def test_batches_that_meet_in_the_same_conversations_do_not_stand_in_each_others_way(tenant: Tenant) -> None:
    chats = [Chat(tenant) for _ in range(20)]
    batches = [[chat.row(f"Line {number}") for chat in chats] for number in range(6)]
    for number, batch in enumerate(batches):
        batch.sort(key=lambda row: row["conversation"], reverse=number % 2 == 0)
    answers = await asyncio.gather(*(tenant.post("/messages/batch", {"messages": batch}) for batch in batches))
    assert [answer["stored"] for answer in answers] == [20] * 6
    assert {len(await chat.said()) for chat in chats} == {6}


async def test_batch_reports_each_row_and_a_bad_one_holds_up_no_other(tenant: Tenant) -> None:
    chat = Chat(tenant)
    known = chat.row("First")
    await tenant.post("/messages/batch", {"messages": [known]})
    bad: list[Json] = [
        {**chat.row(), "author": "robot"},
        {name: value for name, value in chat.row().items() if name != "conversation"},
        {**chat.row(), "misspelt": 1},
        {**chat.row(), "sent_at": "yesterday"},
        {**chat.row(), "channel_id": chat_id()},
        {},
    ]
    report = await tenant.post("/messages/batch", {"messages": [chat.row("Second"), *bad, known, chat.row("Third")]})
    assert (report["stored"], report["known"], report["untold"], report["refused"]) == (2, 1, 0, len(bad))
    assert [row["row"] for row in report["rows"]] == list(range(len(bad) + 3))
    for row in report["rows"][1 : len(bad) + 1]:
        assert row["status"] == "refused"
        assert row["message"] is None
        assert row["problem"]["code"] in ("invalid_request", "invalid_reference")
    assert [error["at"] for error in report["rows"][1]["problem"]["errors"]] == ["author"]
    assert await chat.said() == ["First", "Second", "Third"]


def chat_id() -> str:
    """An id that names nothing."""
    return "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("rows", [0, 201])
async def test_batch_has_a_size(tenant: Tenant, rows: int) -> None:
    chat = Chat(tenant)
    refusal = await tenant.call("POST", "/messages/batch", {"messages": [chat.row() for _ in range(rows)]})
    assert (refusal.status_code, refusal.json()["code"]) == (422, "invalid_request")


async def test_what_was_read_in_a_message_is_answered(tenant: Tenant) -> None:
    chat = Chat(tenant)
    answer = await chat.say("Please let me talk to a human. This is terrible!")
    reading = answer["reading"]
    request = reading["human_request"]
    assert (request["requested"], request["decided_by"], reading["automatic"]) == (True, "builtin", None)
    assert reading["sentiment"] < -0.3
    begin, end = request["span"]
    assert "human" in "Please let me talk to a human. This is terrible!"[begin:end]
    bot = await chat.say("I am a human", author="bot")
    assert (bot["reading"], bot["decisions"], bot["handled_by"]) == (None, [], "bot")


async def test_clock_of_a_sender_that_is_far_ahead_counts_for_nothing(tenant: Tenant) -> None:
    chat = Chat(tenant)
    answer = await chat.say("I will look", sent_at="2031-01-01T00:00:00Z", author="agent")
    assert answer["sent_at"] < "2031"
    assert (await chat.say("Thank you, and then?"))["waiting_since"] is not None
