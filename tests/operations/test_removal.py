"""An organization that is not wanted any more goes, as docs/operations.md says, without leaving anything that fails."""

import subprocess
from pathlib import Path
from uuid import UUID

import psycopg
from temporalio.client import WorkflowExecutionStatus

from embedded.temporal import temporal_program
from tests.operations.site import Site
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.office import Office


def end_workflows(baton: Site, organization_id: UUID) -> None:
    query = f"ExecutionStatus = 'Running' AND TicketOrganization = '{organization_id}'"
    command: list[str | Path] = [
        temporal_program(),
        "workflow",
        "terminate",
        "--query",
        query,
        "--reason",
        "Removed",
        "--yes",
    ]
    done = subprocess.run(
        [*command, "--address", baton.temporal.address], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_organization_is_removed_from_both_stores_and_others_stay(baton: Site) -> None:
    await baton.office.open()
    other = await Office(baton.office.client, baton.settings, baton.office.sessions).open()
    gone, stays = await baton.office.ticket(assignee="Ana"), await other.ticket(assignee="Ana")
    await gone.customer_writes()
    await gone.settled()

    async def is_listed() -> bool:
        listed = [each async for each in baton.office.client.list_workflows("ExecutionStatus = 'Running'")]
        return len(listed) == 2

    await eventually(is_listed, timeout=10)  # Temporal's list follows a moment later
    end_workflows(baton, baton.office.id)
    await eventually(lambda: _has_ended(gone), timeout=10)
    with psycopg.connect(baton.settings.psycopg_url) as connection:
        connection.execute("DELETE FROM organizations WHERE id = %s", [baton.office.id])

    assert await gone.row() is None
    assert (await baton.repair("compare")).code == 0
    await stays.assign("Ben")
    await other.check()


async def _has_ended(life: Life) -> bool:
    return (await life.handle.describe()).status is WorkflowExecutionStatus.TERMINATED
