"""One change asked of many tickets, page by page, until all have been asked or somebody stops it."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import CHANGE_TICKETS, ChangedTickets, ChangeTickets
    from domain.ladders import Frozen

CHANGED_A_RUN = 500
"""Pages of tickets in one run's history."""


class StartBulkChange(Frozen):
    """Which bulk change to carry out; what it is and how far it has come is on record."""

    bulk_change_id: UUID
    examined: int = 0


@workflow.defn(name="BulkChange")
class BulkChangeWorkflow:
    """Has one page of tickets after another changed; each ticket acts on the change once, however often it is tried."""

    @workflow.run
    async def run(self, start: StartBulkChange) -> int:
        examined = start.examined
        pages = 0
        while True:
            if pages == CHANGED_A_RUN:
                workflow.continue_as_new(StartBulkChange(bulk_change_id=start.bulk_change_id, examined=examined))
            pages += 1
            page: ChangedTickets = await workflow.execute_activity(
                CHANGE_TICKETS,
                ChangeTickets(bulk_change_id=start.bulk_change_id, examined=examined),
                result_type=ChangedTickets,
                start_to_close_timeout=timedelta(seconds=120),
                heartbeat_timeout=timedelta(seconds=20),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
                summary=f"Change tickets ({examined} examined so far)",
            )
            examined = page.examined
            if page.over:
                return examined
