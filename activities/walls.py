"""Each activity works for one organization, and sees no other's rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from db.walls import within


class OneOrganization(Interceptor):
    """Lets an activity work for the organization its request names, as ``organization_id`` or by its ticket.

    One whose request names none sees nobody's rows, unless it says for itself for whom it works.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's signature
        organization_id = organization_of(input.args)
        if organization_id is None:
            return await super().execute_activity(input)
        with within(organization_id):
            return await super().execute_activity(input)


def organization_of(arguments: Sequence[Any]) -> UUID | None:
    """Whom an activity's request is for; ``None`` where it does not say."""
    request = arguments[0] if arguments else None
    found = getattr(request, "organization_id", None) or getattr(
        getattr(request, "ticket", None), "organization_id", None
    )
    return found if isinstance(found, UUID) else None
