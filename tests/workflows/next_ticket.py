"""The ticket's workflow as a later release may have it: it does more, under a patch."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.ticket import Ticket
    from workflows.messages import StartTicket
    from workflows.ticket import TicketWorkflow

MARK = "release"


@workflow.defn(name="Ticket")
class NextTicketWorkflow(TicketWorkflow):
    """Marks each run that the release has seen from its beginning."""

    @workflow.init
    def __init__(self, start: StartTicket) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: StartTicket) -> Ticket:
        if workflow.patched("mark"):
            mark: dict[str, Any] = {MARK: "next"}
            workflow.upsert_memo(mark)
        return await super().run(start)
