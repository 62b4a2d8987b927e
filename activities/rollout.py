"""Tells running tickets that rules have changed."""

from datetime import UTC, datetime

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import TELL_TICKETS, TellTickets, ToldTickets
from db.engine import Sessions
from db.sla import load_sla_book
from db.tickets import running_tickets
from domain.commands import PolicyChanged
from domain.ids import workflow_id
from domain.ticket import Ticket

PAGE = 200
"""Tickets an activity looks at: a page takes seconds at most."""


class Rollout:
    """Compares each ticket's deadlines with what the rules say now, and signals those that differ."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal

    @activity.defn(name=TELL_TICKETS)
    async def tell(self, request: TellTickets) -> ToldTickets:
        """Tell a page of tickets. Safe to repeat: a ticket acts on each rollout once."""
        async with self._sessions.begin() as session:
            book = await load_sla_book(session, request.organization_id)
            tickets = await running_tickets(session, request.organization_id, request.after, PAGE)
        now = datetime.now(UTC)
        concerned = [ticket for ticket in tickets if book.changes(ticket, now)]
        fact = PolicyChanged(request_id=f"rollout:{request.rollout_id}", reason=request.reason)
        for ticket in concerned:
            await self._signal(ticket, fact)
        last = tickets[-1].id if len(tickets) == PAGE else None
        return ToldTickets(examined=len(tickets), told=len(concerned), last=last)

    async def _signal(self, ticket: Ticket, fact: PolicyChanged) -> None:
        try:
            await self._temporal.get_workflow_handle(workflow_id(ticket.id)).signal("policy_changed", fact)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:  # closed since it was read: nothing is due any more
                raise
