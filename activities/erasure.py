"""Forgets a requester: in the workflows of their tickets, in the histories of those, and in Postgres."""

from uuid import UUID

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import (
    ERASE_REQUESTER,
    ERASE_TICKET,
    LIST_TICKETS_TO_ERASE,
    EraseRequester,
    EraseTicket,
    TicketsToErase,
)
from db.engine import Sessions
from db.erasing import erase_conversations, erase_requester, erase_ticket, erasure_done, tickets_of
from domain.commands import Erase
from domain.ids import workflow_id

PAGE = 100
"""Tickets that one look finds."""

_RUNNING = WorkflowExecutionStatus.RUNNING


class Erasing:
    """Does one requester's erasure, step by step; every step is safe to repeat."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal

    @activity.defn(name=LIST_TICKETS_TO_ERASE)
    async def tickets(self, request: EraseRequester) -> TicketsToErase:
        """A page of the requester's tickets."""
        async with self._sessions.begin() as session:
            found = await tickets_of(session, request.organization_id, request.requester_id, request.after, PAGE)
        return TicketsToErase(ids=tuple(found), last=found[-1] if len(found) == PAGE else None)

    @activity.defn(name=ERASE_TICKET)
    async def ticket(self, request: EraseTicket) -> None:
        """Erase one ticket: its workflow first, since that would write its words down again.

        A workflow that runs goes on in another run, which never knew them. Then the rows; then the histories of all
        runs that have ended. Fails, to be tried again, while any of that is still on its way.
        """
        knowing = await self._tell(request)
        async with self._sessions.begin() as session:
            await erase_ticket(session, request.organization_id, request.ticket_id)
        if knowing is None and await self._running(request.ticket_id) is not None:
            raise _again("The ticket was reopened meanwhile.")
        await self._forget_histories(request.ticket_id, knowing)

    @activity.defn(name=ERASE_REQUESTER)
    async def requester(self, request: EraseRequester) -> int:
        """Erase their conversations, and who they are, after all tickets; returns how many messages it were."""
        messages, after = 0, None
        while True:
            async with self._sessions.begin() as session:
                after, erased = await erase_conversations(session, request.organization_id, request.requester_id, after)
            messages += erased
            activity.heartbeat()
            if after is None:
                break
        async with self._sessions.begin() as session:
            await erase_requester(session, request.organization_id, request.requester_id)
            await erasure_done(session, request.erasure_id, request.tickets, messages)
        return messages

    async def _tell(self, request: EraseTicket) -> str | None:
        """Have a running workflow forget; the run that knew, once another has taken its place. ``None``: none runs."""
        handle = self._temporal.get_workflow_handle(workflow_id(request.ticket_id), result_type=str)
        name = f"erase:{request.erasure_id}"
        try:
            knowing: str = await handle.execute_update(
                "erase", Erase(request_id=name, actor=request.actor), id=name, result_type=str
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        if knowing and await self._running(request.ticket_id) == knowing:
            raise _again("The run that knows the words has not ended yet.")
        return knowing

    async def _running(self, ticket_id: UUID) -> str | None:
        """The run that runs, if one does."""
        try:
            found = await self._temporal.get_workflow_handle(workflow_id(ticket_id)).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        return found.run_id if found.status is _RUNNING else None

    async def _forget_histories(self, ticket_id: UUID, knowing: str | None) -> None:
        """Delete every run that has ended, and fail until Temporal knows of none.

        ``knowing`` is named, since the list of runs may be seconds behind.
        """
        query = f"WorkflowId = '{workflow_id(ticket_id)}'"
        listed = [each.run_id async for each in self._temporal.list_workflows(query)]
        running = await self._running(ticket_id)
        ended = {run for run in listed if run != running}
        there = [await self._delete(ticket_id, run) for run in ended | ({knowing} if knowing else set())]
        if ended or any(there):
            raise _again("Histories are being deleted.")

    async def _delete(self, ticket_id: UUID, run: str) -> bool:
        """Whether there was anything to delete; Temporal does it soon after it has said so."""
        request = DeleteWorkflowExecutionRequest(
            namespace=self._temporal.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id(ticket_id), run_id=run),
        )
        try:
            await self._temporal.workflow_service.delete_workflow_execution(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False
        return True


def _again(why: str) -> ApplicationError:
    # It is no failure, so it is neither logged nor counted as one.
    return ApplicationError(why, type="not_erased_yet", category=ApplicationErrorCategory.BENIGN)
