"""Telling an organization's running tickets that its rules have changed."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import TELL_TICKETS, TellTickets, ToldTickets
    from domain.ladders import Frozen
    from workflows.paging import page_by_page


class StartRollout(Frozen):
    """Which organization's tickets to tell, and why; ``after`` and the counts are what earlier runs did."""

    organization_id: UUID
    rollout_id: UUID
    reason: str
    after: UUID | None = None
    examined: int = 0
    told: int = 0


class RolloutProgress(Frozen):
    """Tickets looked at, and those whose deadlines differ and that were told so."""

    examined: int
    told: int


@workflow.defn(name="SlaRollout")
class RolloutWorkflow:
    """Tells every running ticket whose deadlines are others now, page by page, however many there are.

    Query: ``progress``.
    """

    @workflow.init
    def __init__(self, start: StartRollout) -> None:
        self._at = start

    @workflow.run
    async def run(self, _: StartRollout) -> RolloutProgress:
        await page_by_page(self._tell, lambda: self._at)
        return self._progress()

    @workflow.query(description="How many tickets have been looked at and told")
    def progress(self) -> RolloutProgress:
        return self._progress()

    def _progress(self) -> RolloutProgress:
        return RolloutProgress(examined=self._at.examined, told=self._at.told)

    async def _tell(self) -> bool:
        """Tell the next page; whether there is another."""
        told: ToldTickets = await workflow.execute_activity(
            TELL_TICKETS,
            TellTickets(
                organization_id=self._at.organization_id,
                rollout_id=self._at.rollout_id,
                reason=self._at.reason,
                after=self._at.after,
            ),
            result_type=ToldTickets,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary=f"Tell tickets ({self._at.examined} examined so far)",
        )
        self._at = self._at.model_copy(
            update={
                "after": told.last,
                "examined": self._at.examined + told.examined,
                "told": self._at.told + told.told,
            }
        )
        return told.last is not None
