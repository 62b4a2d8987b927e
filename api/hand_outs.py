"""What follows when members come, become free or are removed: waiting tickets are given away, or let go."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import RPCError

from activities.signatures import HandOut
from api.dependencies import AppServices, Caller, Principal, Services
from api.problems import Problem
from api.schemas.people import MemberStatus
from db.assignment import hand_out, is_out, lock_rota
from db.models import Member
from domain.assignment import Presence, presence_at
from workflows.hand_out import HandOutWorkflow
from workflows.removal import RemovalWorkflow, StartRemoval


@dataclass(frozen=True)
class HandOuts:
    """Acts within the caller's transaction, and has Temporal finish it: started before the commit, so never lost.

    A transaction that is rolled back after all leaves a workflow that finds nothing to do. Where Temporal does not
    answer, the transaction must fail (``temporal_unavailable``), or a ticket would wait for a member who is there.
    """

    services: Services
    caller: Principal

    async def changed(self, session: AsyncSession, member: Member, was: str) -> None:
        """A member has changed, who ``was`` active, invited or disabled before."""
        if member.status == MemberStatus.DISABLED:
            if was != MemberStatus.DISABLED:
                await self.removed(session, member.id)
        elif can_take(member, datetime.now(UTC)):
            await self.freed(session)

    async def freed(self, session: AsyncSession) -> None:
        """Somebody may have become free: whoever waits for them is told after the caller's commit."""
        rota = await lock_rota(session, self.caller.organization_id)
        cause = uuid4()
        if await hand_out(session, rota, cause, datetime.now(UTC)):
            await self._hand_out(cause)

    async def freed_at(self, moment: datetime) -> None:
        """Somebody will be free by then, whatever happens to this process."""
        await self._hand_out(uuid4(), after=max(timedelta(), moment - datetime.now(UTC)))

    async def removed(self, session: AsyncSession, member_id: UUID) -> None:
        """The member's tickets go to their teams' queues after the caller's commit."""
        await session.flush()
        release_id = uuid4()
        start = StartRemoval(organization_id=self.caller.organization_id, member_id=member_id, release_id=release_id)
        await self._start(RemovalWorkflow.run, start, f"removal-{self.caller.organization_id}-{release_id}")

    async def _hand_out(self, cause: UUID, *, after: timedelta | None = None) -> None:
        request = HandOut(organization_id=self.caller.organization_id, cause=cause)
        name = f"hand-out-{self.caller.organization_id}-{cause}"
        await self._start(HandOutWorkflow.run, request, name, start_delay=after)

    async def _start(self, run: Any, argument: Any, name: str, **options: Any) -> None:
        timeout = self.services.settings.command_timeout
        try:
            # The client's own timeout is for one attempt; while Temporal is away it makes several.
            async with asyncio.timeout(timeout.total_seconds()):
                await self.services.temporal.start_workflow(
                    run,
                    argument,
                    id=name,
                    task_queue=self.services.settings.temporal_task_queue,
                    rpc_timeout=timeout,
                    **options,
                )
        except (RPCError, TimeoutError):
            raise Problem(
                "temporal_unavailable",
                "Nothing was changed: Temporal does not answer, and tickets would not learn of it. Send it again.",
            ) from None


def can_take(member: Member, now: datetime) -> bool:
    """Whether the member is there to be given tickets, as far as they themselves are concerned."""
    there = presence_at(now, member.presence, member.heartbeat_at) is Presence.ONLINE
    return member.status == MemberStatus.ACTIVE and there and not is_out(member, now)


async def _hand_outs(services: AppServices, caller: Caller) -> HandOuts:
    return HandOuts(services, caller)


HandingOut = Annotated[HandOuts, Depends(_hand_outs)]
