from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from domain.commands import ChangeStatus
from domain.ids import workflow_id
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
    return settings_for(new_database(), temporal_server.address, command_timeout="PT1S")


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client


async def test_command_on_a_ticket_whose_tasks_fail_is_of_unknown_outcome_and_no_defect_of_the_api(
    settings: Settings, http: httpx.AsyncClient, temporal_client: Client
) -> None:
    tenant = await new_tenant(http)
    async with working(temporal_client, settings):
        ticket = await tenant.ticket()
    # In a run whose tasks time out soon: from the second failure on a worker lets them, which by default takes 10 s.
    id_ = UUID(ticket["id"])
    workflow_of_ticket = await temporal_client.start_workflow(
        FailingTicketWorkflow.run,
        StartTicket(ticket_id=id_),
        id=workflow_id(id_),
        task_queue=settings.temporal_task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
        task_timeout=timedelta(seconds=1),
    )
    failing = Worker(
        temporal_client,
        task_queue=settings.temporal_task_queue,
        workflows=[FailingTicketWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )

    async def attempts() -> int:
        return (await workflow_of_ticket.describe()).raw_description.pending_workflow_task.attempt

    async def move() -> tuple[int, str]:
        answer = await tenant.call("POST", f"/tickets/{ticket['id']}/status", {"to": "in_progress"}, key="the-move")
        return answer.status_code, answer.json()["code"]

    async with failing:
        waited = await move()  # while Temporal tries the task again
        # From the third attempt on it turns commands away at once, in other words.
        await eventually(lambda: _reaches(3, attempts), timeout=40, every=0.2)
        turned_away = await move()
    assert (waited, turned_away) == ((504, "outcome_unknown"), (504, "outcome_unknown"))


async def _reaches(wanted: int, attempts: Callable[[], Awaitable[int]]) -> bool:
    return await attempts() >= wanted
