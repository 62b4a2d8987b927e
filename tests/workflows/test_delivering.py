"""Deliveries through Temporal: at once, in order, tried again when they are due, and given up after a day."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import select, update
from temporalio.testing import WorkflowEnvironment

from db.models import Delivery
from domain.ids import deliveries_workflow_id
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.receiver import Does, Receiver, receiver
from tests.support import eventually
from tests.workflows.answers import conversation_on, says
from tests.workflows.office import Office
from workflows.delivering import DeliveringWorkflow, StartDelivering


@pytest.fixture
async def platform() -> AsyncIterator[Receiver]:
    async with receiver() as it:
        yield it


@pytest.fixture(scope="module")
def settings(database_url: str, temporal_server: EmbeddedTemporal) -> Settings:
    """May send to this machine."""
    return Settings(
        database_url=database_url,
        temporal_address=temporal_server.address,
        temporal_task_queue=f"tickets-{uuid4()}",
        worker_sandboxed=True,
        secret_key=SecretStr("0" * 32),
        webhook_private_addresses=True,
        webhook_timeout=timedelta(seconds=1),
    )


async def states(office: Office, delivery_ids: list[UUID]) -> list[str]:
    async with office.sessions() as session:
        mine = select(Delivery.state).where(Delivery.id.in_(delivery_ids)).order_by(Delivery.number)
        return list(await session.scalars(mine))


async def test_answers_go_out_at_once_in_order_and_once(
    office: Office, platform: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.delivery.FIRST_WAIT", timedelta(seconds=0.2))
    await office.open()
    conversation_id = await conversation_on(office, platform)
    platform.will([Does.DROP_AFTER, Does.DROP_BEFORE])
    bodies = [f"Line {number}" for number in range(5)]
    made = await says(office, conversation_id, *bodies[:3])
    made += await says(office, conversation_id, *bodies[3:])

    async def all_sent() -> bool:
        return await states(office, made) == ["sent"] * 5

    await eventually(all_sent, 40)
    assert platform.said() == bodies
    assert len(platform.requests) == 7

    async def over() -> bool:
        handle = office.client.get_workflow_handle(deliveries_workflow_id(conversation_id))
        return (await handle.describe()).close_time is not None

    assert await eventually(over, 20), "nobody waits for a conversation that has nothing to be told"


async def test_what_nobody_takes_for_a_day_has_failed_and_holds_up_no_longer(
    skipping_office: Office, skipping_env: WorkflowEnvironment, platform: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domain.delivery.LONGEST_WAIT", timedelta(hours=3))
    office = await skipping_office.open()
    conversation_id = await conversation_on(office, platform)
    made = await says(office, conversation_id, "Never", "After a day", ring=False)
    platform.will([Does.FAIL] * 1000)

    async def as_time_is_skipped() -> bool:
        """The receiver is well again once the first is given up."""
        if await states(office, made[:1]) == ["failed"]:
            platform.next.clear()
            return True
        return False

    handle = await skipping_env.client.start_workflow(
        DeliveringWorkflow.run,
        StartDelivering(conversation_id=conversation_id),
        id=deliveries_workflow_id(conversation_id),
        task_queue=office.settings.temporal_task_queue,
    )
    await eventually(as_time_is_skipped, 60)
    await handle.result()
    assert await states(office, made) == ["failed", "sent"]
    assert platform.said() == ["After a day"]
    async with office.sessions() as session:
        first = await session.get_one(Delivery, made[0])
    assert (first.reason, first.attempts[-1]["reason"]) == ("The receiver answered 500.",) * 2
    assert 16 < first.tried < 23, "twice as long between two, up to three hours"


async def test_what_came_too_late_to_be_tried_for_long_is_tried_once(office: Office, platform: Receiver) -> None:
    await office.open()
    conversation_id = await conversation_on(office, platform)
    made = await says(office, conversation_id, "Overdue", ring=False)
    async with office.sessions.begin() as session:
        late = datetime.now(UTC) - timedelta(days=3)
        await session.execute(update(Delivery).where(Delivery.id == made[0]).values(try_until=late))
    await office.client.execute_workflow(
        DeliveringWorkflow.run,
        StartDelivering(conversation_id=conversation_id),
        id=deliveries_workflow_id(conversation_id),
        task_queue=office.settings.temporal_task_queue,
    )
    assert (await states(office, made), platform.said()) == (["sent"], ["Overdue"])
