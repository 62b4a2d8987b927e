"""One change asked of many tickets, page by page, until all have been asked or somebody stops it."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import CHANGE_TICKETS, ChangedTickets, ChangeTickets
    from domain.ladders import Frozen
    from workflows.paging import page_by_page


class StartBulkChange(Frozen):
    """Which bulk change to carry out; what it is and how far it has come is on record."""

    bulk_change_id: UUID
    examined: int = 0


@workflow.defn(name="BulkChange")
class BulkChangeWorkflow:
    """Has one page of tickets after another changed; each ticket acts on the change once, however often it is tried."""

    @workflow.init
    def __init__(self, start: StartBulkChange) -> None:
        self._at = start

    @workflow.run
    async def run(self, _: StartBulkChange) -> int:
        await page_by_page(self._change, lambda: self._at)
        return self._at.examined

    async def _change(self) -> bool:
        """Have the next page changed; whether there is another."""
        page: ChangedTickets = await workflow.execute_activity(
            CHANGE_TICKETS,
            ChangeTickets(bulk_change_id=self._at.bulk_change_id, examined=self._at.examined),
            result_type=ChangedTickets,
            start_to_close_timeout=timedelta(seconds=120),
            heartbeat_timeout=timedelta(seconds=20),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary=f"Change tickets ({self._at.examined} examined so far)",
        )
        self._at = self._at.model_copy(update={"examined": page.examined})
        return not page.over
