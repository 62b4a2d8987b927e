"""Each activity works for one organization, and sees no other's rows."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.signatures import (
    CHANGE_TICKETS,
    FOLD_MAIL,
    FORWARD_FACT,
    GIVE_MAIL_UP,
    LOAD_TICKET,
    NEXT_DELIVERY,
    PLAN_MAIL,
    SEND_MAIL,
    SWEEP,
    TRY_RULE,
)
from db.walls import every_organization, within

_A_MAIL = "a mail may be to somebody who is of no organization"
_BY_ID = "all it is told is an id, which nobody can guess"

OF_EVERY_ORGANIZATION = {
    LOAD_TICKET: "a reopened ticket's run knows its id alone",
    FORWARD_FACT: _BY_ID,
    CHANGE_TICKETS: _BY_ID,
    TRY_RULE: _BY_ID,
    PLAN_MAIL: _BY_ID,
    FOLD_MAIL: _BY_ID,
    NEXT_DELIVERY: _BY_ID,
    SEND_MAIL: _A_MAIL,
    GIVE_MAIL_UP: _A_MAIL,
    SWEEP: "it looks for what is lying about anywhere",
}
"""Activities that look past the wall, and why."""


class OneOrganization(Interceptor):
    """Lets an activity work for the organization its request names, as ``organization_id`` or by its ticket.

    One whose request names none sees nobody's rows, except for those in ``OF_EVERY_ORGANIZATION``.
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's signature
        organization_id = organization_of(input.args)
        if organization_id is not None:
            with within(organization_id):
                return await super().execute_activity(input)
        if activity.info().activity_type in OF_EVERY_ORGANIZATION:
            with every_organization():
                return await super().execute_activity(input)
        return await super().execute_activity(input)


def organization_of(arguments: Sequence[Any]) -> UUID | None:
    """Whom an activity's request is for; ``None`` where it does not say."""
    request = arguments[0] if arguments else None
    found = getattr(request, "organization_id", None) or getattr(
        getattr(request, "ticket", None), "organization_id", None
    )
    return found if isinstance(found, UUID) else None
