"""What Chatwoot's events are to a conversation: who wrote, who the customer is, and what is left alone."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from api.routers.chatwoot import incoming_message
from domain.chatwoot import (
    DELIVERY_ID,
    LONGEST_BODY,
    Author,
    ChatMessage,
    ChatwootEvent,
    Contact,
    Left,
    Received,
    Turn,
    TurnTaken,
    conversation_external_id,
    number_of,
    read_event,
)
from tests.chatwoot_server import ACCOUNT, INBOX, ChatwootServer, Json

CHANNEL = UUID("0b6a2f2e-8f6f-4d2a-9a39-5d7f0c1f4b11")
USER = {"id": 5, "name": "Ana", "email": "Ana@example.com", "type": "user"}
BOT = {"id": 2, "name": "Bot", "type": "agent_bot"}


def event(content: str | None = "Hello?", **fields: Any) -> Json:
    of = fields.pop("of", {})
    return ChatwootServer().event(ChatwootServer().conversation(**of), content, **fields)


def read(document: Json, inbox_id: int | None = INBOX) -> Received | TurnTaken | Left:
    return read_event(ChatwootEvent.model_validate(document), CHANNEL, ACCOUNT, inbox_id)


def message(document: Json) -> ChatMessage:
    found = read(document)
    assert isinstance(found, Received), found
    return found.message


@pytest.mark.parametrize(
    ("fields", "author"),
    [
        ({}, Author.CUSTOMER),
        ({"message_type": 0}, Author.CUSTOMER),  # by number, as some of Chatwoot's documents have it
        ({"message_type": "outgoing", "sender": USER}, Author.AGENT),
        ({"message_type": 1, "sender": USER}, Author.AGENT),
        ({"message_type": "outgoing", "sender": BOT}, Author.BOT),
        ({"message_type": "outgoing", "sender": {"id": 1, "type": "captain_assistant"}}, Author.BOT),
        ({"message_type": "outgoing", "sender": None}, Author.BOT),  # an automation's
        ({"message_type": "outgoing", "sender": USER, "content_attributes": {"automation_rule_id": 3}}, Author.BOT),
        ({"message_type": "outgoing", "sender": USER, "additional_attributes": {"campaign_id": 3}}, Author.BOT),
        ({"message_type": "outgoing", "sender": None, "content_attributes": {"external_echo": True}}, Author.AGENT),
        ({"message_type": "template", "sender": None}, Author.BOT),
    ],
)
def test_who_wrote(fields: Json, author: Author) -> None:
    document = event() | fields
    assert message(document).author is author


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"event": "message_updated"}, "message_updated"),
        ({"event": "conversation_created"}, "conversation_created"),
        ({"event": "conversation_typing_on"}, "conversation_typing_on"),
        ({"event": "conversation_updated"}, "conversation_updated"),
        ({"event": "conversation_status_changed"}, "the status None changes nothing here"),
        ({"event": "webwidget_triggered", "conversation": None}, "webwidget_triggered"),
        ({"private": True, "message_type": "outgoing", "sender": USER}, "private"),
        ({"message_type": "activity"}, "activity"),
        ({"message_type": 2}, "activity"),
        ({"message_type": 9}, "type"),
        ({"content": None}, "content"),
        ({"content": " \x00 "}, "content"),
        ({"id": None}, "no message"),
        ({"conversation": None}, "no message"),
        ({"account": {"id": 2}}, "account"),
        ({"inbox": {"id": 4}}, "inbox"),
    ],
)
def test_what_is_left(fields: Json, why: str) -> None:
    found = read(event() | fields)
    assert isinstance(found, Left)
    assert why in found.why


def test_without_an_inbox_all_are_taken() -> None:
    assert isinstance(read(event() | {"inbox": {"id": 4}}, None), Received)
    without = event() | {"inbox": None}
    without["conversation"]["inbox_id"] = 4
    assert isinstance(read(without), Left)


def test_a_message_in_all_its_parts() -> None:
    found = message(event("Hi\x00!", of={"labels": ["VIP", "vip", "", "x" * 51]}))
    assert found.conversation == f"chatwoot:{CHANNEL}:52"
    assert found.external_id.startswith("chatwoot:1")
    assert (found.body, found.author_name, found.labels) == ("Hi!", "A customer", ("vip",))
    assert found.sent_at == datetime(2026, 11, 20, 16, 30, 0, 123000, UTC)
    assert found.contact is not None
    assert (found.contact.external_id, found.contact.email) == (f"chatwoot:{CHANNEL}:7", "customer@example.com")
    assert (found.automatic, found.agent_email) == (False, None)
    agent = message(event("Hi", message_type="outgoing", sender=USER))
    assert (agent.author_name, agent.agent_email) == ("Ana", "Ana@example.com")
    assert agent.contact == found.contact, "the customer is the conversation's, whoever writes"


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("2026-11-20T16:30:00Z", datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),
        ("2026-11-20 16:30:00 UTC", datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),  # as the documentation has it
        (1795192200, datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),
        ("1795192200", datetime(2026, 11, 20, 16, 30, tzinfo=UTC)),
        ("soon", None),
        (10**12, None),
        (-1, None),
        (True, None),
        ({}, None),
        (None, None),
    ],
)
def test_times(sent: Any, read_as: datetime | None) -> None:
    assert message(event() | {"created_at": sent}).sent_at == read_as


def test_files_are_named_and_long_mails_cut() -> None:
    files = [{"file_type": "image"}, {"file_type": None}, "nonsense"]
    assert message(event(None, attachments=files)).body == "[image, file]"
    assert message(event("Look", attachments=files)).body == "Look\n[image, file]"
    assert len(message(event("a" * 150_000)).body) == LONGEST_BODY


def test_an_automatic_reply_by_email_is_known() -> None:
    def says(value: Any) -> bool:
        return message(event() | {"content_attributes": {"email": value}}).automatic

    assert says({"auto_reply": True})
    assert not any(map(says, ({"auto_reply": False}, {"auto_reply": "true"}, {}, None, "auto_reply")))


@pytest.mark.parametrize("verified", [True, False])
def test_a_customers_own_id_counts_only_where_it_was_verified(verified: bool) -> None:
    contact = {"id": 7, "name": "A", "email": "no address", "identifier": "customer-1"}
    found = message(event(of={"contact": contact, "hmac_verified": verified})).contact
    assert found is not None
    assert found.external_id == ("customer-1" if verified else f"chatwoot:{CHANNEL}:7")
    assert found.email is None


def test_a_delivery_of_ours_is_known_by_what_it_carries() -> None:
    delivery = uuid4()
    found = read(event("Hi", message_type="outgoing", sender=USER, content_attributes={DELIVERY_ID: str(delivery)}))
    assert isinstance(found, Received)
    assert found.delivery_id == delivery
    other = read(event("Hi", content_attributes={DELIVERY_ID: "nonsense"}))
    assert isinstance(other, Received)
    assert other.delivery_id is None


def turn(before: str, to: str, *, bot: bool = False, **fields: Any) -> TurnTaken | str:
    """What a change of status is, or why it is left."""
    installation = ChatwootServer()
    document = installation.status_changed(installation.conversation(status=before), to, bot=bot) | fields
    found = read(document)
    assert not isinstance(found, Received)
    return found.why if isinstance(found, Left) else found


def test_a_bot_hands_over_by_opening_what_was_pending() -> None:
    at = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)
    known_as = conversation_external_id(CHANNEL, 52)
    contact = Contact(f"chatwoot:{CHANNEL}:7", "A customer", "customer@example.com")
    found = turn("pending", "open", updated_at=at.timestamp(), labels=["Baggage"])
    assert found == TurnTaken(known_as, Turn.HANDED_OVER, at, certain=True, contact=contact, labels=("baggage",))
    found = turn("pending", "open", bot=True, updated_at=None, meta=None)
    assert found == TurnTaken(known_as, Turn.HANDED_OVER, None, certain=False)
    for before in ("resolved", "snoozed"):
        assert turn(before, "open") == "no bot had it"


@pytest.mark.parametrize("bot", [True, False])
def test_what_is_resolved_is_known_whoever_says_so(bot: bool) -> None:
    found = turn("open", "resolved", bot=bot)
    assert isinstance(found, TurnTaken)
    assert found.turn is Turn.RESOLVED


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"inbox_id": INBOX + 1}, "it is of another inbox"),
        ({"account": {"id": ACCOUNT + 1}}, "it is of another account"),
        ({"id": None}, "it names no conversation"),
        ({"changed_attributes": [{"status": {"current_value": "pending"}}]}, "the status pending changes nothing here"),
        ({"changed_attributes": [{"status": "open"}, 7], "status": []}, "the status None changes nothing here"),
    ],
)
def test_changes_of_status_that_are_left_say_why(fields: Json, why: str) -> None:
    assert turn("pending", "open", **fields) == why


def test_conversations_are_known_by_channel_and_number() -> None:
    external_id = conversation_external_id(CHANNEL, 52)
    assert number_of(external_id, CHANNEL) == 52
    for other in (None, "", "chat-9", "erased:1", f"chatwoot:{uuid4()}:52", f"chatwoot:{CHANNEL}:x"):
        assert number_of(other, CHANNEL) is None


@pytest.mark.parametrize("fields", [{"event": None}, {"event": "x" * 101}, {"id": "abc"}, {"id": -1}, {"inbox": []}])
def test_what_is_no_event_is_refused(fields: Json) -> None:
    with pytest.raises(ValidationError):
        ChatwootEvent.model_validate(event() | fields)


_scalars = st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats(allow_nan=False) | st.text(max_size=5)
_anything = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
)
_emails = st.sampled_from(["a@b", "a b@c", "@", "a@b\x00", "a\u2028@b", "a@b@c", "a" * 300 + "@b"])
_odd: dict[tuple[str, ...], st.SearchStrategy[Any]] = {
    ("id",): _scalars,
    ("content",): st.text(max_size=30),
    ("created_at",): _anything,
    ("message_type",): st.sampled_from([0, 1, 3, "incoming", "outgoing", "template"]),
    ("private",): _scalars,
    ("content_attributes",): _anything,
    ("additional_attributes",): _anything,
    ("attachments",): _anything | st.just([{"file_type": "image"}]),
    ("sender", "name"): st.text(max_size=120) | _scalars,
    ("sender", "email"): _emails | _scalars,
    ("sender", "type"): st.sampled_from(["contact", "user", "agent_bot"]) | _scalars,
    ("sender",): _anything,
    ("conversation", "labels"): st.lists(st.text(max_size=60), max_size=60) | _anything,
    ("conversation", "meta", "sender", "name"): st.text(max_size=120),
    ("conversation", "meta", "sender", "email"): _emails,
    ("conversation", "meta", "sender", "identifier"): st.text(max_size=220),
    ("conversation", "meta", "hmac_verified"): st.just(True),
    ("conversation", "meta"): _anything,
    ("inbox",): _anything,
}


@st.composite
def odd_events(draw: st.DrawFn) -> Json:
    """As Chatwoot has them, but for some fields."""
    document = event()
    for path in draw(st.lists(st.sampled_from(sorted(_odd)), min_size=1, max_size=4, unique=True)):
        part = document
        for name in path[:-1]:
            part = part[name] if isinstance(part, dict) and name in part else {}
        if isinstance(part, dict):
            part[path[-1]] = draw(_odd[path])
    return document


def test_whatever_comes_is_refused_left_or_a_valid_message() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(document=odd_events())
    def attempt(document: Json) -> None:
        try:
            read = ChatwootEvent.model_validate(document)
        except ValidationError:
            seen["refused"] += 1
            return
        found = read_event(read, CHANNEL, ACCOUNT, INBOX)
        seen[type(found).__name__] += 1
        if isinstance(found, Received):
            incoming_message(found.message, CHANNEL)

    attempt()
    assert min(seen["refused"], seen["Left"]) > 20, seen
    assert seen["Received"] > 100, seen
