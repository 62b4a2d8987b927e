"""How workflows have activities done: again and again, since nothing may be dropped for a store's outage."""

from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

Result = TypeVar("Result")

SOON = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10))
"""Where somebody waits: the ceiling decides how soon after an outage all is right again."""

UNHURRIED = RetryPolicy(maximum_interval=timedelta(seconds=30))
"""Where nobody looks on."""

_ATTEMPT = timedelta(seconds=5)
"""Short, since a worker that dies inside an activity is only noticed when this has passed."""


async def call(
    activity: str,
    request: object,
    result: type[Result],
    summary: str,
    *,
    attempt: timedelta = _ATTEMPT,
    retry: RetryPolicy = SOON,
) -> Result:
    """The activity's result, however long that takes; each try may take ``attempt``.

    ``summary`` is what the Temporal UI shows of it.
    """
    answer: Result = await workflow.execute_activity(
        activity,
        request,
        result_type=result,
        start_to_close_timeout=attempt,
        retry_policy=retry,
        summary=summary,
    )
    return answer
