"""Letting go of what a removed member had."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.signatures import RELEASE_TICKETS, ReleasedTickets, ReleaseTickets
    from domain.ladders import Frozen
    from workflows.calling import call
    from workflows.paging import page_by_page


class StartRemoval(Frozen):
    """Whose tickets are released; ``after`` and ``told`` are what earlier runs did."""

    organization_id: UUID
    member_id: UUID
    release_id: UUID
    after: UUID | None = None
    told: int = 0


@workflow.defn(name="MemberRemoval")
class RemovalWorkflow:
    """Releases a removed member's tickets to their teams' queues, page by page, however many there are.

    Started in the transaction that removes the member, before its commit. Ends with the number of tickets told.
    """

    @workflow.init
    def __init__(self, start: StartRemoval) -> None:
        self._at = start

    @workflow.run
    async def run(self, _: StartRemoval) -> int:
        await page_by_page(self._release, lambda: self._at)
        return self._at.told

    async def _release(self) -> bool:
        """Release the next page; whether there is another."""
        released = await call(
            RELEASE_TICKETS,
            ReleaseTickets(
                organization_id=self._at.organization_id,
                member_id=self._at.member_id,
                release_id=self._at.release_id,
                after=self._at.after,
            ),
            ReleasedTickets,
            f"Release tickets ({self._at.told} so far)",
            attempt=timedelta(seconds=60),
        )
        self._at = self._at.model_copy(update={"after": released.last, "told": self._at.told + released.told})
        return released.last is not None
