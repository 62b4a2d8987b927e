import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from api.messages import Messages
from db.engine import make_engine, make_sessions
from db.models import Message
from domain.ids import message_id
from settings import Settings
from tests.api.tenant import Json, Tenant, iso
from tests.support import eventually

WRITES_ON = {  # status before: status after, and the move that the customer's message causes
    "open": ("open", None),
    "in_progress": ("in_progress", None),
    "waiting": ("in_progress", "resume"),
    "resolved": ("open", "reopen"),
    "closed": ("open", "reopen"),
}


async def new_events(tenant: Tenant, ticket: Json) -> list[tuple[str, str | None]]:
    """Kind and move of what happened since ``ticket`` was read."""
    events = await tenant.events(ticket)
    return [(event["kind"], event["about"].get("move")) for event in events if event["version"] > ticket["version"]]


async def passed(moment: str) -> None:
    """Wait until ``moment`` is over."""
    at = datetime.fromisoformat(moment)
    await eventually(lambda: datetime.now(UTC) > at)


@pytest.fixture
async def brief(tenant: Tenant) -> Tenant:
    """An organization that reopens a closed ticket for an instant only."""
    answer = await tenant.call("PATCH", "/organization", {"reopen_window": iso(timedelta(milliseconds=1))})
    assert answer.status_code == 200
    return tenant


@pytest.mark.parametrize("status", WRITES_ON)
async def test_customer_message_moves_its_ticket(tenant: Tenant, status: str) -> None:
    ticket = await tenant.ticket(status)
    answer = await tenant.message(ticket, body="Still wrong.")
    assert answer.status_code == 201
    message = answer.json()
    assert (message["ticket_id"], message["conversation_id"]) == (ticket["id"], ticket["conversation_id"])
    target, move = WRITES_ON[status]
    now = await tenant.reload(ticket)
    assert now["status"] == target
    assert now["unanswered_since"] == message["sent_at"]
    assert await new_events(tenant, ticket) == [
        ("customer_replied", None),
        *([("status_changed", move)] if move else []),
    ]
    if status == "closed":
        assert (now["closed_at"], now["reopen_until"], now["reopened"]) == (None, None, 1)


@pytest.mark.parametrize("status", ["open", "in_progress", "waiting", "resolved"])
async def test_automatic_reply_is_told_and_moves_nothing(tenant: Tenant, status: str) -> None:
    ticket = await tenant.ticket(status)
    assert (await tenant.message(ticket, automatic=True)).status_code == 201
    now = await tenant.reload(ticket)
    assert (now["status"], now["timers"], now["unanswered_since"]) == (status, ticket["timers"], None)
    assert await new_events(tenant, ticket) == [("customer_replied", None)]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("I am out of the office until Monday.", {}),
        ("Thank you for your message.", {"Auto-Submitted": "auto-replied"}),
    ],
)
async def test_automatic_reply_that_nobody_calls_one_is_found_out(
    tenant: Tenant, body: str, headers: dict[str, str]
) -> None:
    ticket = await tenant.ticket("waiting")
    said = await tenant.message(ticket, body=body, headers=headers)
    assert (said.status_code, said.json()["automatic"]) == (201, True)
    now = await tenant.reload(ticket)
    assert (now["status"], now["timers"]) == ("waiting", ticket["timers"])


async def test_automatic_reply_to_a_closed_ticket_is_kept_and_nothing_else(tenant: Tenant) -> None:
    ticket = await tenant.ticket("closed")
    assert (await tenant.message(ticket, body="Away until Monday", automatic=True)).status_code == 201
    assert await tenant.reload(ticket) == ticket
    bodies = [message["body"] async for message in tenant.pages(f"/tickets/{ticket['id']}/messages")]
    assert "Away until Monday" in bodies


async def test_message_after_the_window_goes_to_a_linked_follow_up(brief: Tenant) -> None:
    team = await brief.team()
    old = await brief.ticket("closed", tags=["invoice"], description="Too much.", team_id=team["id"])
    await passed(old["reopen_until"])
    first = (await brief.message(old, body="It happened again.")).json()
    new = await brief.get(f"/tickets/{first['ticket_id']}")
    assert new["id"] != old["id"]
    kept = ("conversation_id", "requester", "title", "description", "tags", "team")
    assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
    assert (new["follow_up_of"], new["status"], new["number"]) == (old["id"], "open", old["number"] + 1)
    assert first["sent_at"] < new["unanswered_since"] == new["created_at"]  # it is made for the message
    assert await brief.reload(old) == old

    second = (await brief.message(old, body="And again.")).json()
    assert second["ticket_id"] == new["id"]
    assert [event["kind"] for event in await brief.events(new)] == ["created", "customer_replied", "customer_replied"]
    assert len([ticket async for ticket in brief.pages("/tickets")]) == 2


async def test_follow_ups_make_a_chain_that_a_message_is_handed_along(brief: Tenant) -> None:
    ticket = await brief.ticket("closed")
    chain = [ticket["id"]]
    for _ in range(2):
        await passed(ticket["reopen_until"])
        # Always on the first one: a channel knows the ticket it began with.
        message = (await brief.message({"id": chain[0]}, body=f"Message {len(chain)}")).json()
        ticket = await brief.get(f"/tickets/{message['ticket_id']}")
        assert ticket["follow_up_of"] == chain[-1]
        chain.append(ticket["id"])
        for step in ("resolved", "closed"):
            ticket = await brief.post(f"/tickets/{ticket['id']}/status", {"to": step})
    assert len(set(chain)) == 3


async def test_messages_at_once_after_the_window_share_one_follow_up(brief: Tenant) -> None:
    old = await brief.ticket("closed")
    await passed(old["reopen_until"])
    answers = await asyncio.gather(*(brief.message(old, body=f"Message {number}") for number in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    [new_id] = {answer.json()["ticket_id"] for answer in answers}
    kinds = Counter(event["kind"] for event in await brief.events({"id": new_id}))
    assert kinds == {"created": 1, "customer_replied": 5}


async def test_message_sent_again_as_its_ticket_is_reopened_leaves_no_follow_up(
    brief: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try finds the ticket closed too long ago; the second one, which overtakes it, finds it open."""
    store, tries, overtaken = Messages._store, list[Any](), asyncio.Event()

    async def stored_late(*asked: Any) -> Any:
        tries.append(asked)
        if len(tries) == 1:
            await overtaken.wait()
        return await store(*asked)

    monkeypatch.setattr(Messages, "_store", stored_late)
    old = await brief.ticket("closed")
    await passed(old["reopen_until"])
    first = asyncio.create_task(brief.message(old, external_id="once"))
    await eventually(lambda: tries)
    await brief.post(f"/tickets/{old['id']}/status", {"to": "open"})
    second = await brief.message(old, external_id="once")
    overtaken.set()
    answers = [second, await first]
    assert [(answer.status_code, answer.json()["ticket_id"]) for answer in answers] == [
        (201, old["id"]),
        (200, old["id"]),
    ]
    assert [ticket["id"] async for ticket in brief.pages("/tickets")] == [old["id"]]
    assert [event["kind"] for event in await brief.events(old)].count("customer_replied") == 1


async def test_message_counts_once_for_its_external_id(tenant: Tenant) -> None:
    ticket = await tenant.ticket("waiting")
    first, *others = [await tenant.message(ticket, external_id="whatsapp-1") for _ in range(3)]
    assert first.status_code == 201
    for other in others:
        assert (other.status_code, other.headers["Idempotency-Replayed"]) == (200, "true")
        assert other.json() == first.json()
    assert await new_events(tenant, ticket) == [("customer_replied", None), ("status_changed", "resume")]


async def test_ten_equal_messages_at_once_are_one(tenant: Tenant) -> None:
    ticket = await tenant.ticket("waiting")
    answers = await asyncio.gather(*(tenant.message(ticket, external_id="whatsapp-1") for _ in range(10)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 9}
    assert len({answer.text for answer in answers}) == 1
    assert await new_events(tenant, ticket) == [("customer_replied", None), ("status_changed", "resume")]


async def test_message_that_was_stored_but_never_told_is_told_when_sent_again(
    tenant: Tenant, settings: Settings
) -> None:
    ticket = await tenant.ticket("waiting")
    conversation_id = ticket["conversation_id"]
    engine = make_engine(settings)
    async with make_sessions(engine).begin() as session:
        session.add(
            Message(
                id=message_id(UUID(conversation_id), "lost"),
                organization_id=tenant.id,
                conversation_id=conversation_id,
                ticket_id=ticket["id"],
                external_id="lost",
                author_kind="customer",
                body="Any news?",
                sent_at=datetime.now(UTC),
            )
        )
    await engine.dispose()
    assert await new_events(tenant, ticket) == []

    for _ in range(2):
        assert (await tenant.message(ticket, external_id="lost")).status_code == 200
        assert await new_events(tenant, ticket) == [("customer_replied", None), ("status_changed", "resume")]


async def test_agents_answer_starts_an_open_ticket_and_is_refused_on_a_closed_one(tenant: Tenant) -> None:
    agent = await tenant.member()
    ticket = await tenant.ticket(assignee_id=agent["id"])
    await tenant.message(ticket)
    reply = await tenant.acting_for(agent).message(ticket, author="agent", body="We look into it.")
    assert (reply.status_code, reply.json()["author_id"]) == (201, agent["id"])
    now = await tenant.reload(ticket)
    assert (now["status"], now["unanswered_since"]) == ("in_progress", None)

    closed = await tenant.ticket("closed")
    refusal = await tenant.message(closed, author="agent", body="One more thing.")
    assert (refusal.status_code, refusal.json()["code"]) == (409, "ticket_closed")
    assert refusal.json()["legal"] == ["open", "in_progress"]
    assert await tenant.reload(closed) == closed


async def test_conversation_reads_in_the_order_it_was_held(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    said = [f"Line {number} \N{ROCKET} \u0646\u0639\u0645" for number in range(5)]
    for body in said:
        await tenant.message(ticket, body=body)
    pages = tenant.pages(f"/tickets/{ticket['id']}/messages", limit=2)
    assert [message["body"] async for message in pages] == said
