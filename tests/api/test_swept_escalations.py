"""Between the stores: an API that cannot reach Temporal commits, and dies before it could."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update
from temporalio.client import Client

from db.engine import make_engine, make_sessions
from db.models import EscalationReasonRow, TicketOpening
from embedded.ports import LOOPBACK, free_port
from settings import Settings
from tests.api.chat import ASKS_FOR_A_PERSON, Chat, escalation_event
from tests.api.escalations import ASKED, TELLS, live, queue
from tests.api.running import serving, sweep
from tests.support import eventually


async def test_a_reason_whose_signal_got_lost_is_swept_into_the_queue(
    chat: Chat, settings: Settings, temporal_client: Client
) -> None:
    await chat.say()
    await escalation_event(chat.tenant, ASKED, actions=TELLS)
    async with serving(_cut_off(settings)) as client:
        cut_off = Chat(replace(chat.tenant, client=client), chat.external_id)
        answer = await cut_off.tenant.post(f"{chat.path}/escalations", {"reason": "It needs a human."}, key="once")
        assert (answer["escalation"], answer["line"]) == (None, "Somebody will be with you soon.")
        assert (await cut_off.send(chat.document(ASKS_FOR_A_PERSON))).status_code == 201
    assert await queue(chat.tenant) == []
    await _age(settings, EscalationReasonRow)
    await sweep(temporal_client, settings)
    escalation = await live(chat)

    async def all_three() -> bool:
        return len((await chat.tenant.get(f"/escalations/{escalation['id']}"))["reasons"]) == 3

    assert await eventually(all_three)
    again = await chat.tenant.post(f"{chat.path}/escalations", {"reason": "It needs a human."}, key="once")
    assert (again["escalation"]["id"], len(again["escalation"]["reasons"])) == (escalation["id"], 3)


async def test_a_ticket_whose_start_got_lost_is_swept_into_life(
    chat: Chat, settings: Settings, temporal_client: Client
) -> None:
    await escalation_event(chat.tenant, ASKED)
    async with serving(_cut_off(settings)) as client:
        cut_off = Chat(replace(chat.tenant, client=client), chat.external_id)
        assert (await cut_off.send(chat.document(ASKS_FOR_A_PERSON))).status_code == 503
    assert [each async for each in chat.tenant.pages("/tickets")] == []
    await _age(settings, TicketOpening)
    await sweep(temporal_client, settings)
    ticket = await chat.ticket()

    async def told() -> bool:
        return [each["kind"] for each in await chat.tenant.events(ticket)] == ["created", "customer_replied"]

    assert await eventually(told)


def _cut_off(settings: Settings) -> Settings:
    """Without Temporal, so that nothing of what it is told is ever shown."""
    short = timedelta(seconds=1)
    return settings.model_copy(
        update={"temporal_address": f"{LOOPBACK}:{free_port()}", "command_timeout": short, "read_model_wait": short}
    )


async def _age(settings: Settings, table: type[Any]) -> None:
    """Let what is written have been written two minutes ago."""
    engine = make_engine(settings)
    try:
        async with make_sessions(engine).begin() as session:
            await session.execute(update(table).values(created_at=datetime.now(UTC) - timedelta(minutes=2)))
    finally:
        await engine.dispose()
