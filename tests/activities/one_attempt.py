"""``python -m tests.activities.one_attempt``: a worker's attempt at one delivery, in a process that can be killed."""

import asyncio
import sys
from uuid import UUID

from temporalio.testing import ActivityEnvironment

from activities.connectors.webhook import WebhookConnector
from activities.deliveries import Deliveries
from activities.signatures import Deliver
from db.channel_secrets import Seal
from db.engine import make_engine, make_sessions
from domain.delivery import ConnectorName
from settings import read_settings


async def attempt(organization_id: UUID, delivery_id: UUID) -> None:
    settings = read_settings()
    connector = WebhookConnector(private=True, seconds=60)
    seal = Seal(settings.secret_key.get_secret_value())
    deliveries = Deliveries(make_sessions(make_engine(settings)), {ConnectorName.WEBHOOK: connector}, seal)
    request = Deliver(organization_id=organization_id, delivery_id=delivery_id)
    await ActivityEnvironment().run(deliveries.deliver, request)


if __name__ == "__main__":
    asyncio.run(attempt(UUID(sys.argv[1]), UUID(sys.argv[2])))
