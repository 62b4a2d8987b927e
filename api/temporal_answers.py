"""Every way in which Temporal can fail, as what a client can act on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import RPCError, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCStatusCode

from api.problems import STATUS_OF, Problem

_UNKNOWN = {
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    # The workflow task that carried the command failed: its worker may have been killed, or run code that cannot go on.
    RPCStatusCode.FAILED_PRECONDITION,
}
_AWAY = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.ABORTED, RPCStatusCode.INTERNAL}
_SAME_KEY = "Send the request again with the same Idempotency-Key: it takes effect once."


class RunEnded(Exception):
    """The workflow does not run: what it was of is over, or it is missing."""


@asynccontextmanager
async def temporal_answers(timeout: timedelta) -> AsyncIterator[None]:
    """Turn what Temporal raises into what a client can act on; bounds every call's time."""
    try:
        async with asyncio.timeout(timeout.total_seconds() + 0.5):
            yield
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        if isinstance(cause, ApplicationError) and cause.type in STATUS_OF:
            context = cause.details[0] if cause.details else {}
            raise Problem(cause.type, cause.message, **context) from None
        if isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow":
            raise RunEnded from None
        raise
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError):
        raise unknown() from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise RunEnded from None
        if error.status in _UNKNOWN:
            raise unknown() from None
        if error.status in _AWAY:
            raise away() from None
        raise


def away() -> Problem:
    """Temporal cannot be reached; nothing has happened that sending again would double."""
    return Problem("temporal_unavailable", f"Temporal does not answer. {_SAME_KEY}")


def unknown() -> Problem:
    """Temporal was reached, and did not say what came of it."""
    return Problem("outcome_unknown", f"Temporal did not answer in time; the command may or may not hold. {_SAME_KEY}")
