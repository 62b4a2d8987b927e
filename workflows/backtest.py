"""Trying a rule on what customers wrote."""

from datetime import timedelta
from uuid import UUID

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.signatures import TRY_RULE, TriedRule, TryRule
    from domain.ladders import Frozen

TRIED_A_RUN = 500
"""Pages in one run's history."""


class StartBacktest(Frozen):
    """Which back-test to run; ``tried`` is what earlier runs did."""

    backtest_id: UUID
    tried: TriedRule = TriedRule()


@workflow.defn(name="Backtest")
class BacktestWorkflow:
    """Tries a rule page by page until everything in its range has been looked at.

    What is tried and what is found is in Postgres, where it is also stopped: the next page then says that it is over.
    Query: ``progress``.
    """

    @workflow.init
    def __init__(self, start: StartBacktest) -> None:
        self._start = start
        self._tried = start.tried

    @workflow.run
    async def run(self, _: StartBacktest) -> TriedRule:
        pages = 0
        while not self._tried.over:
            if pages == TRIED_A_RUN:
                workflow.continue_as_new(self._start.model_copy(update={"tried": self._tried}))
            pages += 1
            self._tried = await workflow.execute_activity(
                TRY_RULE,
                TryRule(backtest_id=self._start.backtest_id, pages=self._tried.pages),
                result_type=TriedRule,
                start_to_close_timeout=timedelta(minutes=10),
                # A page tells of itself after each few hundred messages; a worker that died is noticed by its silence.
                heartbeat_timeout=timedelta(seconds=30),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
                summary=f"Try the rule ({self._tried.examined} of {self._tried.cases or 'all'} examined so far)",
            )
        return self._tried

    @workflow.query(description="How much has been looked at")
    def progress(self) -> TriedRule:
        return self._tried
