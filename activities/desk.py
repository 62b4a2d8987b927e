"""Hands out tickets: keeps the queues, and tells tickets who was chosen for them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.signatures import HAND_OUT, HandOut, TicketBatch
from db.assignment import (
    Settled,
    hand_out,
    is_gone,
    is_queued,
    lock_rota,
    mark_told,
    settle,
    takes_turns,
    untold,
)
from db.engine import Sessions
from db.together import Together
from domain.assignment import LOADING, Offer
from domain.events import TicketEvent
from domain.ids import workflow_id
from domain.ticket import ACTIVE

_QUEUEING = frozenset({"status", "assignee_id", "team_id", "priority"})
"""Fields whose change can move a ticket in a queue, or free a place."""

_LOST = timedelta(seconds=30)
"""After so long whoever made an offer and has not told the ticket is taken for dead."""

_AT_ONCE = 16
"""Signals on their way to Temporal at one time."""

_TOGETHER = 50
"""Tickets settled in one transaction, which takes some hundredths of a second then."""


class Desk:
    """Called after each record of a ticket, and by itself when a member becomes free."""

    def __init__(self, sessions: Sessions, temporal: Client) -> None:
        self._sessions = sessions
        self._temporal = temporal
        self._settling = Together[UUID, UUID, Settled](_TOGETHER)

    async def settle(self, batch: TicketBatch) -> Settled:
        """Have the queues follow what was recorded of a ticket, give a place it has freed to the next, and tell that.

        Safe to repeat: an activity that was killed after its commit tells again what it had not told. Tickets that
        come while others are settled go together, in one transaction: the rota is held by one of them at a time.
        """
        if not await self._concerns_queues(batch):
            return Settled()
        organization_id = batch.ticket.organization_id
        if activity.in_activity() and activity.info().attempt > 1:
            await self._tell(organization_id, None, datetime.now(UTC))
        return await self._settling.add(organization_id, batch.ticket.id, partial(self._settle, organization_id))

    async def _settle(self, organization_id: UUID, ticket_ids: Sequence[UUID]) -> list[Settled]:
        now = datetime.now(UTC)
        async with self._sessions.begin() as session:
            rota = await lock_rota(session, organization_id)
            settled, offers = await settle(session, rota, ticket_ids, now)
        await self._tell_of(offers)
        return [settled[each] for each in ticket_ids]

    @activity.defn(name=HAND_OUT)
    async def hand_out(self, request: HandOut) -> int:
        """Give away all that can be given; the number of tickets told. Safe to repeat.

        Waits for the transaction that has asked for it, which holds the rota until its commit.
        """
        told = 0
        while True:
            async with self._sessions.begin() as session:
                rota = await lock_rota(session, request.organization_id)
                offers = await hand_out(session, rota, request.cause, datetime.now(UTC))
            told += await self._tell(request.organization_id, request.cause, datetime.now(UTC) - _LOST)
            if not offers:
                return told

    async def _concerns_queues(self, batch: TicketBatch) -> bool:
        """Whether what happened can have moved something; most events cannot, and cost nothing."""
        ticket = batch.ticket
        changed = any(event.changes.keys() & _QUEUEING or event.version == 1 for event in batch.events)
        if not changed and ticket.team_id is None:
            return False
        freed = set[UUID]()
        for event in batch.events:
            freed |= _lost_by(event, ticket.assignee_id)
        async with self._sessions.begin() as session:
            if ticket.team_id is not None:
                return changed or await is_queued(session, ticket.id)
            if any("team_id" in event.changes for event in batch.events) or await takes_turns(session, freed):
                return True
            owner = ticket.assignee_id if ticket.status in ACTIVE else None
            return owner is not None and await is_gone(session, owner)

    async def _tell(self, organization_id: UUID, cause: UUID | None, before: datetime) -> int:
        """Tell tickets of offers made by ``cause`` or ``before`` that nobody has told them; how many there were."""
        async with self._sessions.begin() as session:
            offers = await untold(session, organization_id, cause, before)
        await self._tell_of(offers)
        return len(offers)

    async def _tell_of(self, offers: Sequence[Offer]) -> None:
        """Signal the workflows of the tickets; may be repeated."""
        if not offers:
            return
        turns = asyncio.Semaphore(_AT_ONCE)

        async def tell(offer: Offer) -> None:
            async with turns:
                await signal(self._temporal, offer.ticket_id, "offered", offer)

        await asyncio.gather(*(tell(offer) for offer in offers))
        async with self._sessions.begin() as session:
            await mark_told(session, offers, datetime.now(UTC))


async def signal(temporal: Client, ticket_id: UUID, name: str, argument: object) -> bool:
    """Tell a ticket's workflow something; false for one that has ended, which has recorded that it is closed."""
    return await signal_workflow(temporal, workflow_id(ticket_id), name, argument)


async def signal_workflow(temporal: Client, known_as: str, name: str, argument: object) -> bool:
    """Tell a workflow something; false for one that has ended."""
    try:
        await temporal.get_workflow_handle(known_as).signal(name, argument)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


def _lost_by(event: TicketEvent, assignee_id: UUID | None) -> set[UUID]:
    """Who may have one ticket less since the event."""
    freed = set[UUID]()
    if (change := event.changes.get("assignee_id")) and isinstance(change.before, str):
        freed.add(UUID(change.before))
    if (change := event.changes.get("status")) and change.before in LOADING and change.after not in LOADING:
        freed |= {assignee_id} if assignee_id else set()
    return freed
