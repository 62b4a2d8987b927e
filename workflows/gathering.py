"""Gathering what a member is told into mails that come at the right time."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import FOLD_MAIL, PLAN_MAIL, FoldedMail, MailPlan, MemberMail, SendMail
    from domain.ids import mail_workflow_id
    from domain.ladders import Frozen
    from workflows.calling import UNHURRIED, call

MAILS_A_RUN = 100
"""Rounds in one run's history."""

_ATTEMPT = timedelta(seconds=30)


class StartGathering(Frozen):
    """Whose mails."""

    member_id: UUID


@workflow.defn(name="MailsOfMember")
class GatheringWorkflow:
    """Lives while a member has something to be told by mail: waits for more of it, and over their quiet hours.

    Signal: ``told``.
    """

    @workflow.init
    def __init__(self, start: StartGathering) -> None:
        self._member_id = start.member_id
        self._told = False

    @workflow.run
    async def run(self, start: StartGathering) -> None:
        for _ in range(MAILS_A_RUN):
            self._told = False
            plan = await self._plan()
            if plan.due_at is not None:
                await self._rest_until_due(plan)
                if not self._told:
                    await self._mail()
            elif not self._told:
                return
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(start)

    @workflow.signal
    def told(self) -> None:
        """There is something new, which may be more urgent than what is waited for."""
        self._told = True

    async def _plan(self) -> MailPlan:
        return await call(
            PLAN_MAIL, self._now(), MailPlan, "When is the next mail due?", attempt=_ATTEMPT, retry=UNHURRIED
        )

    async def _rest_until_due(self, plan: MailPlan) -> None:
        assert plan.due_at is not None
        left = plan.due_at - workflow.now()
        if left > timedelta():
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: self._told, timeout=left, timeout_summary=f"Mail at {plan.due_at:%d %B, %H:%M:%S} UTC"
                )

    async def _mail(self) -> None:
        summary = "Make one mail of what there is to tell"
        folded = await call(FOLD_MAIL, self._now(), FoldedMail, summary, attempt=_ATTEMPT, retry=UNHURRIED)
        if folded.mail_id is None:
            return
        # Somebody may have found it lying about and sent it already.
        with suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                "Mail",
                SendMail(mail_id=folded.mail_id),
                id=mail_workflow_id(folded.mail_id),
                parent_close_policy=ParentClosePolicy.ABANDON,
            )

    def _now(self) -> MemberMail:
        return MemberMail(member_id=self._member_id, now=workflow.now())
