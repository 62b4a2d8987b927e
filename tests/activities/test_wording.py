"""What the system says to customers is worded as they and the organization want it, and delivered once."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from activities.ticket_record import TicketRecord
from db.bell import LeftToTell
from db.engine import Sessions
from db.models import Delivery, Message, MessageTemplate, Organization, Requester
from domain import lifecycle
from domain.events import SYSTEM, ActorKind
from domain.story import Story
from domain.ticket import Status, Ticket
from tests.activities.test_deliveries import on_channel
from tests.activities.test_ticket_record import batch, created, written
from tests.unit.tickets import LATER, to


async def settle(sessions: Sessions, ticket: Ticket, requester: dict[str, Any], **organization: Any) -> None:
    async with sessions.begin() as session:
        if requester:
            await session.execute(update(Requester).where(Requester.id == ticket.requester_id).values(**requester))
        if organization:
            await session.execute(
                update(Organization).where(Organization.id == ticket.organization_id).values(**organization)
            )


async def word(sessions: Sessions, ticket: Ticket, kind: str, language: str, body: str) -> None:
    async with sessions.begin() as session:
        session.add(
            MessageTemplate(id=uuid4(), organization_id=ticket.organization_id, kind=kind, language=language, body=body)
        )


async def resolved(sessions: Sessions, ticket: Ticket, **others: Any) -> list[str]:
    """Resolve the ticket; what the customer is told."""
    opened = created(ticket)
    story = lifecycle.decide(opened.ticket, to(Status.RESOLVED), LATER)
    await written(TicketRecord(sessions, **others), batch(opened, story))
    async with sessions() as session:
        said = select(Message.body).where(Message.ticket_id == ticket.id, Message.author_kind == "system")
        return list(await session.scalars(said))


@pytest.mark.parametrize(
    ("language", "organization", "own", "said"),
    [
        (None, "en", {}, "We have marked “Refund for order 1001” (#1) as resolved."),
        (None, "es-mx", {}, "Hemos marcado “Refund for order 1001” (#1) como resuelto."),
        ("pt-br", "es", {}, "Marcamos “Refund for order 1001” (#1) como resolvido."),
        ("es", "en", {"es": "Listo: {{ ticket.title }}, {{ agent.name }}."}, "Listo: Refund for order 1001, Ada."),
        ("fi", "en", {"en": "Done, {{ organization.name }}."}, "Done, Org."),
    ],
)
async def test_words_are_the_organizations_in_the_customers_language(
    sessions: Sessions,
    ticket: Ticket,
    *,
    language: str | None,
    organization: str,
    own: dict[str, str],
    said: str,
) -> None:
    await settle(sessions, ticket, {"language": language}, language=organization)
    for each, body in own.items():
        await word(sessions, ticket, "resolved", each, body)
    [body] = await resolved(sessions, ticket)
    assert body.startswith(said)


async def test_the_language_in_which_a_person_was_asked_for_is_the_customers(
    sessions: Sessions, ticket: Ticket
) -> None:
    async with sessions.begin() as session:
        session.add(
            Message(
                id=uuid4(),
                organization_id=ticket.organization_id,
                conversation_id=ticket.conversation_id,
                external_id="m-1",
                author_kind="customer",
                body="Quiero hablar con una persona",
                reading={"human_language": "es"},
                sent_at=datetime.now(UTC),
            )
        )
    [body] = await resolved(sessions, ticket)
    assert body.startswith("Hemos marcado")


async def test_a_kind_that_is_turned_off_is_not_said(sessions: Sessions, ticket: Ticket) -> None:
    await settle(sessions, ticket, {}, customer_messages={"resolved": False})
    assert await resolved(sessions, ticket) == []


async def test_words_that_cannot_be_rendered_give_way_to_the_built_in_ones(sessions: Sessions, ticket: Ticket) -> None:
    await word(sessions, ticket, "resolved", "en", "{{ nobody.knows }}")
    [body] = await resolved(sessions, ticket)
    assert body.startswith("We have marked")


async def test_closing_by_itself_and_reopening_are_said_where_that_is_wanted(
    sessions: Sessions, ticket: Ticket
) -> None:
    await settle(sessions, ticket, {}, customer_messages={"resolved": False, "closed": True, "reopened": True})
    opened = created(ticket)
    done = lifecycle.decide(opened.ticket, to(Status.RESOLVED), LATER)
    by_itself = Story(done.ticket, LATER, SYSTEM)
    lifecycle.move(by_itself, Status.CLOSED, "Three days have passed.")
    again = lifecycle.decide(by_itself.ticket, to(Status.OPEN), LATER)
    by_hand = lifecycle.decide(
        lifecycle.decide(again.ticket, to(Status.RESOLVED), LATER).ticket, to(Status.CLOSED), LATER
    )
    assert by_hand.events[0].actor.kind is not ActorKind.SYSTEM
    assert by_hand.events[0].customer_messages == (), "who closes it by hand has said what there is to say"
    await written(TicketRecord(sessions), batch(opened, done, by_itself, again))
    async with sessions() as session:
        said = select(Message.external_id).where(Message.ticket_id == ticket.id).order_by(Message.created_at)
        keys = {key.partition(f"{ticket.id}:")[2] for key in await session.scalars(said)}
    assert keys == {"closed:0", "reopened:1"}


async def test_what_is_said_is_delivered_once_however_often_it_is_recorded(sessions: Sessions, ticket: Ticket) -> None:
    await on_channel(sessions, ticket, "whatsapp", reply_url="https://platform.example.com")
    rung: list[LeftToTell] = []

    async def bell(waiting: LeftToTell) -> None:
        rung.append(waiting)

    await asyncio.gather(*(resolved(sessions, ticket, bell=bell) for _ in range(3)))
    async with sessions() as session:
        mine = select(Delivery).where(Delivery.conversation_id == ticket.conversation_id)
        [delivery] = await session.scalars(mine)
    assert (delivery.state, delivery.kind, delivery.connector) == ("pending", "message", "webhook")
    assert [waiting.conversation_ids for waiting in rung if waiting.conversation_ids] == [{ticket.conversation_id}]


async def test_a_repair_writes_what_was_said_and_does_not_say_it_again(sessions: Sessions, ticket: Ticket) -> None:
    await on_channel(sessions, ticket, "whatsapp", reply_url="https://platform.example.com")
    opened = created(ticket)
    story = lifecycle.decide(opened.ticket, to(Status.RESOLVED), LATER)
    await TicketRecord(sessions).restore(story.ticket, [batch(opened, story)])
    async with sessions() as session:
        assert await session.scalar(select(Message.id).where(Message.ticket_id == ticket.id)) is not None
        mine = select(Delivery.id).where(Delivery.conversation_id == ticket.conversation_id)
        assert (await session.scalars(mine)).all() == []
