"""The way out to Chatwoot, against a server that answers as its documentation says: said once, whatever fails."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.connectors.chatwoot import BOT_TOKEN as BOT_TOKEN_PURPOSE
from activities.connectors.chatwoot import TOKEN, ChatwootConnector
from activities.connectors.connector import (
    ChannelToUse,
    Customer,
    NotDelivered,
    Outgoing,
    OutgoingMessage,
    Refused,
    Suppressed,
    TicketInBrief,
    TryAgain,
)
from domain.chatwoot import DELIVERY_ID, conversation_external_id
from domain.delivery import DeliveryKind
from embedded.ports import LOOPBACK
from tests.chatwoot_server import (
    ACCOUNT,
    BOT_TOKEN,
    USER_TOKEN,
    ChatwootServer,
    Failure,
    chatwoot_server,
)

CHANNEL = UUID("0b6a2f2e-8f6f-4d2a-9a39-5d7f0c1f4b11")


@pytest.fixture
async def installation() -> AsyncIterator[ChatwootServer]:
    async with chatwoot_server() as server:
        server.conversation()
        yield server


@pytest.fixture
def connector() -> ChatwootConnector:
    return ChatwootConnector(private=True, seconds=5)


def outgoing(installation: ChatwootServer, kind: DeliveryKind = DeliveryKind.MESSAGE, **fields: Any) -> Outgoing:
    """A delivery to conversation 52."""
    delivery_id, now = uuid4(), datetime.now(UTC)
    secrets = fields.pop("secrets", {TOKEN: (USER_TOKEN,)})
    settings = {"connector": "chatwoot", "base_url": f"{installation.url}/", "account_id": ACCOUNT}
    values: dict[str, Any] = {
        "id": delivery_id,
        "organization_id": uuid4(),
        "key": f"key-{delivery_id}",
        "kind": kind,
        "created_at": now,
        "channel": ChannelToUse(CHANNEL, "webchat", "Chatwoot", settings, secrets),
        "conversation_id": uuid4(),
        "conversation_external_id": conversation_external_id(CHANNEL, 52),
        "customer": Customer(None, None, None),
        "message": OutgoingMessage(uuid4(), "reply-1", "agent", "Ana", "I am here.", now)
        if kind is DeliveryKind.MESSAGE
        else None,
        "about": {},
    }
    return Outgoing(**values | fields)


async def test_a_reply_is_said_and_carries_its_delivery(
    installation: ChatwootServer, connector: ChatwootConnector
) -> None:
    delivery = outgoing(installation)
    sent = await connector.send(delivery)
    [message] = installation.conversations[52].messages
    assert sent.provider_id == str(message["id"])
    assert (message["content"], message["private"]) == ("I am here.", False)
    assert message["content_attributes"] == {DELIVERY_ID: str(delivery.id)}
    assert message["source_id"] is None, "Chatwoot would not pass it on to the customer's channel"
    assert installation.requests[-1][2]["message_type"] == "outgoing"


async def test_another_address_is_asked_where_one_cannot_be_connected_to(
    installation: ChatwootServer, connector: ChatwootConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def two(*_: object, **__: object) -> list[str]:
        return ["127.0.0.2", LOOPBACK]  # nobody listens at the first

    monkeypatch.setattr("activities.connectors.chatwoot.addresses_of", two)
    await connector.send(outgoing(installation))
    assert installation.said() == ["I am here."]


async def test_taking_over_and_handing_back_is_a_note_and_the_status(
    installation: ChatwootServer, connector: ChatwootConnector
) -> None:
    about = {"member_name": "Ana", "reason": "Asked for a person"}
    ticket = TicketInBrief(uuid4(), 17, "The invoice is wrong")
    over = outgoing(installation, DeliveryKind.HANDED_OVER, about=about, ticket=ticket)
    for _ in range(2):
        await connector.send(over)
    conversation = installation.conversations[52]
    assert (conversation.status, installation.said()) == ("open", [])
    assert installation.said(private=True) == [
        "Ana has the conversation in Baton. Ticket #17. Reason: Asked for a person"
    ]
    await connector.send(outgoing(installation, DeliveryKind.HANDED_BACK))
    assert (conversation.status, installation.said(private=True)[-1]) == (
        "pending",
        "A person gave the conversation back to the bot.",
    )


async def test_status_is_changed_as_the_bot_where_its_token_is_there(
    installation: ChatwootServer, connector: ChatwootConnector
) -> None:
    secrets = {TOKEN: (USER_TOKEN,), BOT_TOKEN_PURPOSE: (BOT_TOKEN,)}
    await connector.send(outgoing(installation, DeliveryKind.HANDED_OVER, secrets=secrets))
    used = {path.rpartition("/")[2]: token for _, path, _, token in installation.requests}
    assert used == {"messages": USER_TOKEN, "toggle_status": BOT_TOKEN}


@pytest.mark.parametrize(
    ("failure", "after"),
    [
        (Failure.ERROR, None),
        (Failure.BUSY, timedelta(seconds=7)),
        (Failure.FLOODED, timedelta(minutes=1)),
        (Failure.HANGS_UP, timedelta(seconds=30)),
        (Failure.HANGS_UP_AFTER, timedelta(seconds=30)),
        (Failure.NOT_JSON, None),
    ],
)
async def test_what_fails_once_is_said_once(
    installation: ChatwootServer, connector: ChatwootConnector, failure: Failure, after: timedelta | None
) -> None:
    delivery = outgoing(installation)
    installation.failures.extend([None, failure])  # the first request looks whether it is there, the second says it
    with pytest.raises(TryAgain) as refusal:
        await connector.send(delivery)
    assert refusal.value.after == after
    assert "I am here" not in str(refusal.value)
    sent = await connector.send(delivery)
    assert installation.said() == ["I am here."]
    assert sent.provider_id == str(installation.conversations[52].messages[0]["id"])


@pytest.mark.parametrize("failure", [Failure.ERROR, Failure.BUSY, Failure.HANGS_UP, Failure.NOT_JSON])
async def test_nothing_is_said_before_it_is_known_that_it_was_not(
    installation: ChatwootServer, connector: ChatwootConnector, failure: Failure
) -> None:
    installation.failures.append(failure)
    with pytest.raises(TryAgain):
        await connector.send(outgoing(installation))
    assert installation.said() == []


async def test_what_an_attempt_left_is_found_behind_many_later_messages(
    installation: ChatwootServer, connector: ChatwootConnector
) -> None:
    delivery = outgoing(installation)
    first = await connector.send(delivery)
    for _ in range(50):
        await connector.send(outgoing(installation))
    assert await connector.send(delivery) == first
    assert len(installation.said()) == 51
    later = outgoing(installation, created_at=datetime.now(UTC) + timedelta(hours=1))
    requests = len(installation.requests)
    await connector.send(later)
    assert len(installation.requests) == requests + 2, "older pages are not read"


@pytest.mark.parametrize(
    ("fields", "why", "ends"),
    [
        ({"secrets": {}}, "has no access token", TryAgain),  # somebody may bring one within the day
        ({"secrets": {TOKEN: ("of nobody",)}}, "401", TryAgain),
        ({"secrets": {TOKEN: (BOT_TOKEN,)}}, "has to be a user's", TryAgain),
        ({"conversation_external_id": conversation_external_id(CHANNEL, 53)}, "404", Refused),
    ],
)
async def test_what_is_not_taken_says_why_and_whether_for_good(
    installation: ChatwootServer,
    connector: ChatwootConnector,
    fields: dict[str, Any],
    why: str,
    ends: type[NotDelivered],
) -> None:
    with pytest.raises(ends, match=why) as refusal:
        await connector.send(outgoing(installation, **fields))
    assert not any(token in str(refusal.value) for token in (USER_TOKEN, BOT_TOKEN, "of nobody"))
    assert installation.said() == []


@pytest.mark.parametrize("external_id", [None, "chat-9", "erased:1", conversation_external_id(UUID(int=7), 52)])
async def test_a_conversation_that_is_not_chatwoots_is_not_written_to(
    installation: ChatwootServer, connector: ChatwootConnector, external_id: str | None
) -> None:
    with pytest.raises(Suppressed):
        await connector.send(outgoing(installation, conversation_external_id=external_id))
    assert installation.requests == []


async def test_an_installation_that_is_away_is_tried_again(connector: ChatwootConnector) -> None:
    gone = ChatwootServer(port=1)
    with pytest.raises(NotDelivered) as refusal:
        await connector.send(outgoing(gone))
    assert isinstance(refusal.value, TryAgain)
    assert "ConnectError" in str(refusal.value)


async def test_an_installation_of_a_private_network_is_not_asked(installation: ChatwootServer) -> None:
    with pytest.raises(Refused, match="private network"):
        await ChatwootConnector().send(outgoing(installation))
    assert installation.requests == []
