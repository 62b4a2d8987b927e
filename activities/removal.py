"""Lets go of what a removed member had."""

import asyncio

from sqlalchemy import select
from temporalio import activity
from temporalio.client import Client

from activities.desk import signal, signal_workflow
from activities.signatures import RELEASE_TICKETS, ReleasedTickets, ReleaseTickets
from db.engine import Sessions
from db.models import EscalationRow, Member, TicketRow
from domain.commands import Assign
from domain.escalation import EscalationStatus
from domain.escalation_commands import Released
from domain.ids import escalation_workflow_id
from domain.lifecycle import REMOVED
from domain.ticket import ACTIVE

PAGE = 100
"""Tickets an activity tells: a page takes a second at most."""


class Removal:
    """Tells a removed member's tickets and conversations to go back to their teams' queues."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal

    @activity.defn(name=RELEASE_TICKETS)
    async def release(self, request: ReleaseTickets) -> ReleasedTickets:
        """Tell a page of tickets; nothing happens where the member is not removed (any more).

        Safe to repeat: a ticket acts on each release once, and only while the member has it. What was given to the
        member in the same moment, and is recorded later, is released by its own record.
        """
        async with self._sessions.begin() as session:
            # Waits for the transaction that removes the member.
            member = await session.get(Member, request.member_id, with_for_update={"read": True})
            if member is None or member.organization_id != request.organization_id or member.status != "disabled":
                return ReleasedTickets(told=0, last=None)
            theirs = select(TicketRow.id).where(
                TicketRow.organization_id == request.organization_id,
                TicketRow.assignee_id == request.member_id,
                TicketRow.status.in_(ACTIVE),
            )
            if request.after is not None:
                theirs = theirs.where(TicketRow.id > request.after)
            ids = list(await session.scalars(theirs.order_by(TicketRow.id).limit(PAGE)))
        command = Assign(
            request_id=f"release:{request.release_id}",
            fingerprint="release",
            fields=frozenset({"assignee"}),
            released_from=request.member_id,
            reason=REMOVED,
        )
        if request.after is None:
            await self._release_conversations(request)
        submitted = {"command": command}  # what the workflow takes for a ``Submitted``
        told = await asyncio.gather(*(signal(self._temporal, ticket_id, "submit", submitted) for ticket_id in ids))
        return ReleasedTickets(told=sum(told), last=ids[-1] if len(ids) == PAGE else None)

    async def _release_conversations(self, request: ReleaseTickets) -> None:
        """Tell the escalations of conversations the member has. Safe to repeat, as for tickets."""
        async with self._sessions.begin() as session:
            theirs = await session.scalars(
                select(EscalationRow.conversation_id).where(
                    EscalationRow.organization_id == request.organization_id,
                    EscalationRow.owner_id == request.member_id,
                    EscalationRow.status == EscalationStatus.CLAIMED,
                )
            )
            conversations = list(theirs)
        fact = Released(member_id=request.member_id, request_id=f"release:{request.release_id}")
        await asyncio.gather(
            *(signal_workflow(self._temporal, escalation_workflow_id(each), "released", fact) for each in conversations)
        )
