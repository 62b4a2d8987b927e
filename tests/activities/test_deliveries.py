"""Deliveries to receivers that behave as receivers do: nothing is said twice, nothing is lost, and each says why."""

import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.connectors.connector import Connector, Outgoing, Sent, Unknown
from activities.connectors.email import EmailConnector
from activities.connectors.webhook import WebhookConnector
from activities.deliveries import Deliveries
from activities.mail_server import MailServer
from activities.signatures import Deliver, Delivered, DeliverNext, NextDelivery
from activities.sweep import Sweep
from db.bell import LeftToTell, left_to_tell
from db.channel_secrets import SIGNING, Seal, keep_secret
from db.deliveries import fetched, message_to_come, notice_to_come
from db.engine import Sessions
from db.erasing import erase_conversations
from db.models import Channel, Conversation, Delivery, Message, Requester
from domain.delivery import ConnectorName, DeliveryKind, DeliveryState
from domain.ids import message_id
from domain.ticket import Ticket
from tests import mailbox, receiver
from tests.certificates import Authority
from tests.mailbox import Mailbox
from tests.receiver import Receiver

SEAL = Seal("0" * 32)
SECRET = "whsec_" + "QUJDRA" * 6 + "QUI="
ANOTHER = "whsec_" + "RUZHSA" * 6 + "RUY="
MINUTE = timedelta(minutes=1)


class Keyless:
    """A medium that is told no key: what it has taken twice it says twice."""

    safe_to_repeat = False

    def __init__(self) -> None:
        self.said: list[str] = []
        self.drops = False

    async def send(self, outgoing: Outgoing) -> Sent:
        assert outgoing.message is not None
        self.said.append(outgoing.message.body)
        if self.drops:
            raise Unknown("The line was cut before the answer.")
        return Sent()


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox.mailbox() as it:
        yield it


@pytest.fixture
async def platform() -> AsyncIterator[Receiver]:
    async with receiver.receiver() as it:
        yield it


@pytest.fixture
def deliveries(sessions: Sessions, box: Mailbox) -> Deliveries:
    server = MailServer("127.0.0.1", box.port, "none", None, None, "Baton <baton@desk.example>", "0" * 32, seconds=0.3)
    connectors: dict[ConnectorName, Connector] = {
        ConnectorName.WEBHOOK: WebhookConnector(private=True, seconds=0.3),
        ConnectorName.EMAIL: EmailConnector(server),
    }
    return Deliveries(sessions, connectors, SEAL)


async def on_channel(sessions: Sessions, ticket: Ticket, kind: str, **settings: Any) -> UUID:
    """Put the ticket's conversation on a new channel, with a secret to sign with."""
    channel_id = uuid4()
    async with sessions.begin() as session:
        session.add(
            Channel(
                id=channel_id,
                organization_id=ticket.organization_id,
                kind=kind,
                name=str(channel_id),
                settings=settings,
                created_at=datetime.now(UTC),
            )
        )
        await session.flush()
        await keep_secret(session, SEAL, ticket.organization_id, channel_id, purpose=SIGNING, plain=SECRET)
        await session.execute(
            update(Conversation)
            .where(Conversation.id == ticket.conversation_id)
            .values(channel=kind, channel_id=channel_id)
        )
    return channel_id


async def says(
    sessions: Sessions, ticket: Ticket, body: str, author: str = "agent", *, external_id: str | None = None, **of: Any
) -> UUID | None:
    """Store a message in the ticket's conversation, and have it delivered unless it is the customer's."""
    known_as = external_id or str(uuid4())
    async with sessions.begin() as session:
        message = Message(
            id=message_id(ticket.conversation_id, known_as),
            organization_id=ticket.organization_id,
            conversation_id=ticket.conversation_id,
            external_id=known_as,
            author_kind=author,
            author_name="Ada",
            body=body,
            sent_at=datetime.now(UTC),
            created_at=datetime.now(UTC),
            **of,
        )
        session.add(message)
        await session.flush()
        return None if author == "customer" else await message_to_come(session, message)


async def row(sessions: Sessions, delivery_id: UUID | None) -> Delivery:
    assert delivery_id is not None
    async with sessions() as session:
        return await session.get_one(Delivery, delivery_id)


async def attempt(deliveries: Deliveries, ticket: Ticket, delivery_id: UUID | None) -> Delivered:
    assert delivery_id is not None
    request = Deliver(organization_id=ticket.organization_id, delivery_id=delivery_id)
    done: Delivered = await ActivityEnvironment().run(deliveries.deliver, request)
    return done


async def following(deliveries: Deliveries, ticket: Ticket) -> UUID | None:
    request = DeliverNext(conversation_id=ticket.conversation_id)
    found: NextDelivery = await ActivityEnvironment().run(deliveries.next, request)
    return found.deliver.delivery_id if found.deliver else None


async def test_a_message_is_delivered_once_signed_and_with_all_that_belongs_to_it(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "whatsapp", reply_url=platform.url)
    delivery_id = await says(sessions, ticket, "Your money is on its way.")
    for _ in range(2):
        assert await attempt(deliveries, ticket, delivery_id) == Delivered(state=DeliveryState.SENT)
    [got] = platform.requests
    assert Webhook(SECRET).verify(got.body, got.headers) == got.document
    assert got.headers["host"] == f"127.0.0.1:{platform.port}"
    data = got.document["data"]
    assert (got.document["type"], data["message"]["body"]) == ("message.created", "Your money is on its way.")
    assert (data["message"]["author"], data["channel"]["kind"]) == ("agent", "whatsapp")
    kept = await row(sessions, delivery_id)
    assert (kept.state, kept.tried, kept.reason, kept.provider_id) == ("sent", 1, None, "their-1")
    assert [each["outcome"] for each in kept.attempts] == ["sent"]


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ([receiver.Does.FAIL, receiver.Does.FAIL], "answered 500"),
        ([receiver.Does.HANG], "has not answered in time"),
        ([receiver.Does.DROP_BEFORE], "broke off"),
        ([receiver.Does.DROP_AFTER], "broke off"),
        ([receiver.Does.PUT_OFF], "answered 429"),
    ],
    ids=["fails", "times out", "line dropped before", "line dropped after", "puts off"],
)
async def test_a_webhook_that_was_not_taken_is_sent_again_and_known_by_its_id(
    deliveries: Deliveries,
    sessions: Sessions,
    ticket: Ticket,
    platform: Receiver,
    *,
    does: Sequence[receiver.Does],
    why: str,
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=platform.url)
    delivery_id = await says(sessions, ticket, "Hello")
    platform.will(does)
    for number in range(1, len(does) + 1):
        with pytest.raises(ApplicationError) as caught:
            await attempt(deliveries, ticket, delivery_id)
        assert (caught.value.type, caught.value.non_retryable) == ("not_delivered", False)
        kept = await row(sessions, delivery_id)
        assert (kept.state, kept.tried) == ("pending", number)
        assert why in str(kept.reason)
        assert kept.due_at > datetime.now(UTC) + timedelta(seconds=3)
    asked_for = caught.value.next_retry_delay
    assert asked_for == (timedelta(hours=1) if does == [receiver.Does.PUT_OFF] else timedelta(seconds=5) * len(does))
    assert (await attempt(deliveries, ticket, delivery_id)).state is DeliveryState.SENT
    assert platform.said() == ["Hello"], "the receiver knows a repetition by its id"
    assert len({got.body for got in platform.requests}) == 1
    outcomes = [each["outcome"] for each in (await row(sessions, delivery_id)).attempts]
    assert outcomes == ["try_again"] * len(does) + ["sent"]


@pytest.mark.parametrize("does", [receiver.Does.REFUSE, receiver.Does.REDIRECT])
async def test_a_refused_webhook_has_failed_and_says_why(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver, does: receiver.Does
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=platform.url)
    delivery_id = await says(sessions, ticket, "Hello")
    platform.will([does])
    for _ in range(2):
        assert (await attempt(deliveries, ticket, delivery_id)).state is DeliveryState.FAILED
    assert (len(platform.requests), platform.taken) == (1, {})
    assert "answered" in str((await row(sessions, delivery_id)).reason)


async def test_while_a_secret_is_changed_both_are_signed_with(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    channel_id = await on_channel(sessions, ticket, "api", reply_url=platform.url)
    for others_until, verifies in ((datetime.now(UTC) + MINUTE, [SECRET, ANOTHER]), (None, [ANOTHER])):
        async with sessions.begin() as session:
            await keep_secret(
                session,
                SEAL,
                ticket.organization_id,
                channel_id,
                purpose=SIGNING,
                plain=ANOTHER,
                others_until=others_until,
            )
        await attempt(deliveries, ticket, await says(sessions, ticket, "Hello"))
        got = platform.requests[-1]
        for secret in verifies:
            Webhook(secret).verify(got.body, got.headers)
        assert len(got.headers["webhook-signature"].split()) == len(verifies)


async def test_nothing_goes_unsigned_or_with_a_secret_of_another_key(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=platform.url)
    delivery_id = await says(sessions, ticket, "Hello")
    stranger = Deliveries(sessions, {ConnectorName.WEBHOOK: WebhookConnector(private=True)}, Seal("1" * 32))
    with pytest.raises(ApplicationError, match="make a new one"):
        await attempt(stranger, ticket, delivery_id)
    assert platform.requests == []


async def test_private_addresses_are_refused_unless_they_are_allowed(
    sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=f"http://localhost:{platform.port}/")
    delivery_id = await says(sessions, ticket, "Hello")
    guarded = Deliveries(sessions, {ConnectorName.WEBHOOK: WebhookConnector()}, SEAL)
    outcome = await attempt(guarded, ticket, delivery_id)
    assert outcome.state is DeliveryState.FAILED
    assert "private network" in str(outcome.reason)
    assert platform.requests == []


@pytest.mark.parametrize(("name", "believed"), [("localhost", True), ("other.example", False)])
async def test_the_certificate_has_to_have_the_name_and_not_the_address(
    sessions: Sessions, ticket: Ticket, tmp_path: Path, name: str, *, believed: bool
) -> None:
    authority = Authority(tmp_path / "authority")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*authority.issue(name))
    connector = WebhookConnector(private=True, tls=ssl.create_default_context(cafile=authority.file))
    deliveries = Deliveries(sessions, {ConnectorName.WEBHOOK: connector}, SEAL)
    async with receiver.receiver(serving) as platform:
        await on_channel(sessions, ticket, "api", reply_url=f"https://localhost:{platform.port}/answers")
        delivery_id = await says(sessions, ticket, "Hello")
        if believed:
            assert (await attempt(deliveries, ticket, delivery_id)).state is DeliveryState.SENT
            assert platform.said() == ["Hello"]
        else:
            with pytest.raises(ApplicationError, match="cannot be reached"):
                await attempt(deliveries, ticket, delivery_id)
            assert platform.requests == []


@pytest.mark.parametrize(
    ("does", "why", "taken"),
    [
        ([mailbox.Does.GREYLIST, mailbox.Does.GREYLIST], "answered 451 4.7.1 Come again later", 1),
        ([mailbox.Does.HANG], "does not answer: SMTPReadTimeoutError", 1),
        ([mailbox.Does.DROP_BEFORE], "does not answer: SMTPServerDisconnected", 1),
        # It has it, and we cannot know. The second has the same Message-ID, by which the receiver tells.
        ([mailbox.Does.DROP_AFTER], "does not answer: SMTPServerDisconnected", 2),
    ],
    ids=["greylisted", "times out", "line dropped before", "line dropped after"],
)
async def test_a_mail_that_was_not_taken_is_offered_again_under_its_id(
    deliveries: Deliveries,
    sessions: Sessions,
    ticket: Ticket,
    box: Mailbox,
    *,
    does: Sequence[mailbox.Does],
    why: str,
    taken: int,
) -> None:
    await by_email(sessions, ticket)
    delivery_id = await says(sessions, ticket, "Hello")
    box.will(does)
    for _ in does:
        with pytest.raises(ApplicationError, match="mail server"):
            await attempt(deliveries, ticket, delivery_id)
        assert why in str((await row(sessions, delivery_id)).reason)
    assert (await attempt(deliveries, ticket, delivery_id)).state is DeliveryState.SENT
    assert len(box.mails) == taken
    assert len({mail["Message-ID"] for mail in box.mails}) == 1


async def by_email(sessions: Sessions, ticket: Ticket) -> None:
    await on_channel(sessions, ticket, "email", from_address="help@desk.example", from_name="The Desk")
    async with sessions.begin() as session:
        await session.execute(
            update(Requester)
            .where(Requester.id == ticket.requester_id)
            .values(email="customer@example.com", name="A Customer")
        )


async def test_an_answer_by_email_stands_in_the_customers_thread(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, box: Mailbox
) -> None:
    await by_email(sessions, ticket)
    await says(sessions, ticket, "Where is it?", "customer", external_id="<first@customer.example>")
    first = await says(sessions, ticket, "On its way.")
    assert (await attempt(deliveries, ticket, first)).state is DeliveryState.SENT
    await says(sessions, ticket, "I am away.", "customer", external_id="<away@customer.example>", automatic=True)
    await says(sessions, ticket, "And now?", "customer", external_id="<second@customer.example>")
    reminder = await says(sessions, ticket, "Please answer.", "system")
    assert (await attempt(deliveries, ticket, reminder)).state is DeliveryState.SENT
    answer, reminding = box.mails
    assert (answer["From"], answer["To"]) == ("The Desk <help@desk.example>", "A Customer <customer@example.com>")
    assert answer["In-Reply-To"] == answer["References"] == "<first@customer.example>"
    assert answer["Auto-Submitted"] is None, "a person wrote it"
    assert reminding["In-Reply-To"] == "<second@customer.example>"
    assert reminding["References"].split() == [
        "<first@customer.example>",
        answer["Message-ID"],
        "<second@customer.example>",
    ]
    assert (reminding["Auto-Submitted"], reminding["X-Auto-Response-Suppress"]) == ("auto-generated", "All")
    assert reminding.get_content().split() == ["Please", "answer."]


@pytest.mark.parametrize("does", [mailbox.Does.REFUSE, mailbox.Does.REFUSE_CONTENT])
async def test_a_refused_mail_has_failed_and_says_why(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, box: Mailbox, does: mailbox.Does
) -> None:
    await by_email(sessions, ticket)
    delivery_id = await says(sessions, ticket, "Hello")
    box.will([does])
    for _ in range(2):
        outcome = await attempt(deliveries, ticket, delivery_id)
        assert outcome.state is DeliveryState.FAILED
        assert "The mail server answered 55" in str(outcome.reason)
    assert (box.offered, box.mails) == (1, [])


async def test_names_cannot_add_headers(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, box: Mailbox
) -> None:
    await by_email(sessions, ticket)
    async with sessions.begin() as session:
        named = update(Requester).where(Requester.id == ticket.requester_id)
        await session.execute(named.values(name="Sam\r\nBcc: all@example.com"))
    assert (await attempt(deliveries, ticket, await says(sessions, ticket, "Hello"))).state is DeliveryState.SENT
    [mail] = box.mails
    assert mail["Bcc"] is None
    assert mail["To"] == '"Sam Bcc: all@example.com" <customer@example.com>'


async def test_a_machine_is_not_answered_by_another_and_a_person_may(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, box: Mailbox
) -> None:
    await by_email(sessions, ticket)
    await says(sessions, ticket, "I am away.", "customer", external_id="<away@customer.example>", automatic=True)
    by_itself = await says(sessions, ticket, "Resolved.", "system")
    outcome = await attempt(deliveries, ticket, by_itself)
    assert (outcome.state, box.mails) == (DeliveryState.SUPPRESSED, [])
    assert "machine" in str(outcome.reason)
    assert (await attempt(deliveries, ticket, await says(sessions, ticket, "Hello"))).state is DeliveryState.SENT
    assert box.mails[0]["In-Reply-To"] is None


async def test_without_an_address_nobody_is_written_to(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket
) -> None:
    await on_channel(sessions, ticket, "email", from_address="help@desk.example")
    outcome = await attempt(deliveries, ticket, await says(sessions, ticket, "Hello"))
    assert outcome == Delivered(state=DeliveryState.SUPPRESSED, reason="The customer's address is not known.")


@pytest.mark.parametrize("ends", ["with the line", "with the process"])
async def test_what_may_have_arrived_where_there_is_no_key_is_not_said_again(
    sessions: Sessions, ticket: Ticket, ends: str
) -> None:
    medium = Keyless()
    deliveries = Deliveries(sessions, {ConnectorName.WEBHOOK: medium}, SEAL)
    await on_channel(sessions, ticket, "sms", reply_url="https://sms.example")
    delivery_id = await says(sessions, ticket, "Hello")
    if ends == "with the line":
        medium.drops = True
        assert (await attempt(deliveries, ticket, delivery_id)).state is DeliveryState.UNCERTAIN
    else:
        began = await deliveries._begin(delivery_id or uuid4())
        assert not isinstance(began, Delivered)
        await began.connector.send(began.outgoing)
    for _ in range(2):
        assert (await attempt(deliveries, ticket, delivery_id)).state is DeliveryState.UNCERTAIN
    assert medium.said == ["Hello"]
    assert (await row(sessions, delivery_id)).reason


async def test_deliveries_of_a_conversation_go_in_order_and_each_is_given_up_after_its_time(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=platform.url)
    first, second = [await says(sessions, ticket, body) for body in ("One", "Two")]
    assert await following(deliveries, ticket) == first
    platform.will([receiver.Does.FAIL])
    with pytest.raises(ApplicationError):
        await attempt(deliveries, ticket, first)
    assert await following(deliveries, ticket) == first, "the second waits for the first"
    request = Deliver(organization_id=ticket.organization_id, delivery_id=first or uuid4())
    for _ in range(2):
        given_up = await ActivityEnvironment().run(deliveries.give_up, request)
        assert given_up == Delivered(state=DeliveryState.FAILED, reason="The receiver answered 500.")
    assert (await attempt(deliveries, ticket, first)).state is DeliveryState.FAILED
    assert await following(deliveries, ticket) == second


async def test_what_has_no_way_out_is_not_written_down(sessions: Sessions, ticket: Ticket) -> None:
    assert await says(sessions, ticket, "Hello") is None
    await on_channel(sessions, ticket, "whatsapp")
    assert await says(sessions, ticket, "Hello") is None
    async with sessions() as session:
        ours = select(Delivery).where(Delivery.conversation_id == ticket.conversation_id)
        assert (await session.scalars(ours)).all() == []


async def test_a_platform_is_told_who_has_a_conversation(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "webchat", reply_url=platform.url)
    about = {"member_name": "Ada", "reason": "The customer asked for a person."}
    async with sessions.begin() as session:
        for _ in range(2):
            told = await notice_to_come(
                session,
                ticket.organization_id,
                ticket.conversation_id,
                DeliveryKind.HANDED_OVER,
                key="takeover:1",
                about=about,
            )
        assert left_to_tell(session).conversation_ids == {ticket.conversation_id}
    assert (await attempt(deliveries, ticket, told)).state is DeliveryState.SENT
    [got] = platform.taken.values()
    assert (got.document["type"], got.document["data"]["about"]) == ("conversation.handed_over", about)


async def test_what_a_web_chat_fetches_waits_for_its_reader(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket
) -> None:
    await on_channel(sessions, ticket, "webchat")
    delivery_id = await says(sessions, ticket, "Hello")
    kept = await row(sessions, delivery_id)
    assert (kept.state, kept.connector) == ("pending", "webchat")
    assert await following(deliveries, ticket) is None, "nothing is sent there"
    assert kept.message_id is not None
    for fresh in (1, 0):
        async with sessions.begin() as session:
            assert await fetched(session, ticket.conversation_id, [kept.message_id]) == fresh
    kept = await row(sessions, delivery_id)
    assert (kept.state, kept.tried, [each["outcome"] for each in kept.attempts]) == ("sent", 1, ["sent"])


async def test_what_was_committed_and_never_signalled_is_found(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=platform.url)
    first, second = [await says(sessions, ticket, body) for body in ("One", "Two")]

    async def swept() -> bool:
        rung: list[LeftToTell] = []

        async def bell(waiting: LeftToTell) -> None:
            rung.append(waiting)

        sweep = Sweep(sessions, bell, mails=False, gather=MINUTE, keep_backtests=MINUTE)
        await ActivityEnvironment().run(sweep.sweep)
        return any(ticket.conversation_id in waiting.conversation_ids for waiting in rung)

    async def due(delivery_id: UUID | None, at: datetime) -> None:
        async with sessions.begin() as session:
            await session.execute(update(Delivery).where(Delivery.id == delivery_id).values(due_at=at))

    assert not await swept(), "its signal may be on the way"
    await due(second, datetime.now(UTC) - 5 * MINUTE)
    assert not await swept(), "it waits for the one before it"
    await due(first, datetime.now(UTC) - 5 * MINUTE)
    assert await swept()
    for delivery_id in (first, second):
        await attempt(deliveries, ticket, delivery_id)
    assert not await swept()


async def test_erased_words_are_not_sent_and_receivers_words_go(
    deliveries: Deliveries, sessions: Sessions, ticket: Ticket, platform: Receiver
) -> None:
    await on_channel(sessions, ticket, "api", reply_url=platform.url)
    sent, waiting = [await says(sessions, ticket, body) for body in ("One", "Two")]
    platform.will([receiver.Does.REFUSE])
    await attempt(deliveries, ticket, sent)
    async with sessions.begin() as session:
        await erase_conversations(session, ticket.organization_id, ticket.requester_id, None)
    kept = await row(sessions, sent)
    assert (kept.state, kept.reason, [sorted(each) for each in kept.attempts]) == ("failed", None, [["at", "outcome"]])
    outcome = await attempt(deliveries, ticket, waiting)
    assert (outcome.state, len(platform.requests)) == (DeliveryState.SUPPRESSED, 1)
