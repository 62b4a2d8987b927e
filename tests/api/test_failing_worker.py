from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.commands import ChangeStatus
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import serving, settings_for, working
from tests.api.tenant import new_tenant
from tests.support import eventually
from workflows.messages import Outcome, StartTicket


@workflow.defn(name="Ticket")
class FailingTicketWorkflow:
    """What a new version of the worker is that cannot go on with tickets of the old one: its tasks fail."""

    @workflow.run
    async def run(self, _: StartTicket) -> None:
        raise RuntimeError("This code cannot go on with the ticket.")

    @workflow.update
    async def change_status(self, _: ChangeStatus) -> Outcome:
        raise RuntimeError("This code cannot go on with the ticket.")


@pytest.fixture
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    return settings_for(new_database(), temporal_server.address, command_timeout="PT3S")


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


async def test_command_whose_task_fails_is_of_unknown_outcome_and_holds_when_sent_again(
    settings: Settings, http: httpx.AsyncClient, temporal_client: Client
) -> None:
    tenant = await new_tenant(http)
    async with working(temporal_client, settings):
        ticket = await tenant.ticket()
    failing = Worker(
        temporal_client,
        task_queue=settings.temporal_task_queue,
        workflows=[FailingTicketWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    move = {"to": "in_progress"}
    async with failing:
        answer = await tenant.call("POST", f"/tickets/{ticket['id']}/status", move, key="the-move")
    assert (answer.status_code, answer.json()["code"]) == (504, "outcome_unknown"), answer.text
    async with working(temporal_client, settings):

        async def holds() -> bool:
            again = await tenant.call("POST", f"/tickets/{ticket['id']}/status", move, key="the-move")
            return again.status_code == 200 and again.json()["status"] == "in_progress"

        await eventually(holds, timeout=20, every=0.5)
