"""A process is killed in the middle of an attempt: the next one goes on, and the receiver knows what it has."""

import asyncio
import os
import sys

import pytest

from activities.connectors.webhook import WebhookConnector
from activities.deliveries import Deliveries
from db.engine import Sessions
from domain.delivery import ConnectorName, DeliveryState
from domain.ticket import Ticket
from embedded.schema import CHECKOUT
from tests.activities.test_deliveries import SEAL, attempt, on_channel, row, says
from tests.receiver import Does, receiver
from tests.support import eventually


@pytest.mark.parametrize("does", [Does.TAKE_AND_HANG, Does.HANG], ids=["after it was taken", "before it was taken"])
async def test_what_a_killed_worker_was_sending_is_sent_again_and_taken_once(
    sessions: Sessions, ticket: Ticket, database_url: str, does: Does
) -> None:
    async with receiver() as platform:
        await on_channel(sessions, ticket, "api", reply_url=platform.url)
        delivery_id = await says(sessions, ticket, "Hello")
        platform.will([does])
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.activities.one_attempt", str(ticket.organization_id), str(delivery_id)),
            cwd=CHECKOUT,
            env=os.environ | {"BATON_DATABASE_URL": database_url, "BATON_SECRET_KEY": "0" * 32},
        )
        try:

            async def is_sending() -> bool:
                assert worker.returncode is None
                return len(platform.requests) == 1

            assert await eventually(is_sending, 60)
        finally:
            worker.kill()
            await worker.wait()
        begun = await row(sessions, delivery_id)
        assert (begun.state, [each["outcome"] for each in begun.attempts]) == ("pending", [None])

        another = Deliveries(sessions, {ConnectorName.WEBHOOK: WebhookConnector(private=True, seconds=10)}, SEAL)
        assert (await attempt(another, ticket, delivery_id)).state is DeliveryState.SENT
        assert platform.said() == ["Hello"]
        assert len(platform.requests) == 2
        assert len({got.id for got in platform.requests}) == 1
        assert [each["outcome"] for each in (await row(sessions, delivery_id)).attempts] == [None, "sent"]
