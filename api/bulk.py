"""Bulk changes: chosen, tried or begun, read and stopped."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import select
from temporalio.client import RPCError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from api.dependencies import find_member, find_team
from api.idempotency import RequestId
from api.own import find_own
from api.problems import Problem, not_found
from api.schemas.bulk import AssignmentChange, BulkDocument, BulkView, RefusedView, StatusChange, TagsChange
from api.schemas.bulk import Change as Wanted
from api.tickets import Tickets
from db.models import BulkChange as BulkChangeRow
from db.models import TicketRow
from db.tickets import TicketFilter, list_tickets
from domain.bulk import MAX_TICKETS, AssignAll, BulkChange, MoveAll, PrioritizeAll, TagAll, command_for, would_change
from domain.errors import DomainError
from domain.ticket import Ticket
from workflows.bulk import BulkChangeWorkflow, StartBulkChange

PAGE = 200
"""Tickets a dry run reads at a time, between which other requests have their turn."""

LISTED = 200


@dataclass(frozen=True)
class BulkChanges:
    """Acts for one caller, through ``tickets``."""

    tickets: Tickets

    async def prepare(self, document: BulkDocument) -> tuple[list[UUID], BulkChange]:
        """The tickets meant, in the order of their ids, and the change with the names of whom it names."""
        return await self._chosen(document), await self._change(document.change)

    async def dry_run(self, ids: Sequence[UUID], change: BulkChange) -> BulkView:
        """What the change would come to if all tickets stayed as they are now."""
        caller, now = self.tickets.caller, datetime.now(UTC)
        counts: Counter[str] = Counter()
        refusals: Counter[str] = Counter()
        refused: list[RefusedView] = []
        for begin in range(0, len(ids), PAGE):
            page = ids[begin : begin + PAGE]
            for ticket_id, ticket in (await self._read(page)).items():
                try:
                    if ticket is None:
                        raise not_found("ticket")
                    command = command_for(ticket, change, f"dry-run:{ticket_id}", caller.actor)
                    counts["changed" if would_change(ticket, command, now) else "unchanged"] += 1
                except (DomainError, Problem) as refusal:
                    refusals[refusal.code] += 1
                    number = ticket.number if ticket else None
                    refused.append(
                        RefusedView(ticket_id=ticket_id, number=number, code=refusal.code, reason=str(refusal))
                    )
            await asyncio.sleep(0)
        return BulkView(
            id=None,
            dry_run=True,
            status="done",
            change=change.model_dump(mode="json"),
            tickets=len(ids),
            examined=len(ids),
            changed=counts["changed"],
            unchanged=counts["unchanged"],
            refused=refusals.total(),
            refusals=dict(refusals),
            first_refused=refused[:LISTED],
            created_at=None,
            finished_at=None,
        )

    async def keep(self, ids: Sequence[UUID], change: BulkChange, request: RequestId) -> BulkView:
        """Write the bulk change down, for its workflow to carry out. The caller owns the transaction."""
        caller = self.tickets.caller
        row = BulkChangeRow(
            id=self.id_of(request),
            organization_id=caller.organization_id,
            actor=caller.actor.model_dump(mode="json"),
            change=change.model_dump(mode="json"),
            ticket_ids=list(ids),
            status="running",
            examined=0,
            changed=0,
            unchanged=0,
            refusals={},
            refused=[],
            created_at=datetime.now(UTC),
        )
        self.tickets.session.add(row)
        await self.tickets.session.flush()
        return _view(row)

    def id_of(self, request: RequestId) -> UUID:
        """The bulk change that a request begins, however often it is sent."""
        return uuid5(self.tickets.caller.organization_id, f"bulk:{request.key}")

    async def start(self, request: RequestId) -> None:
        """Have a bulk change that is written down carried out; once for a request."""
        services = self.tickets.services
        timeout = services.settings.command_timeout
        bulk_change_id = self.id_of(request)
        try:
            # The client's own timeout is for one attempt; while Temporal is away it makes several.
            async with asyncio.timeout(timeout.total_seconds()):
                await services.temporal.start_workflow(
                    BulkChangeWorkflow.run,
                    StartBulkChange(bulk_change_id=bulk_change_id),
                    id=f"bulk-change-{bulk_change_id}",
                    task_queue=services.settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    rpc_timeout=timeout,
                )
        except WorkflowAlreadyStartedError:
            pass
        except (RPCError, TimeoutError):
            raise Problem(
                "temporal_unavailable",
                "The bulk change is written down, but could not be begun: Temporal does not answer. "
                "Send the request again with the same Idempotency-Key.",
            ) from None

    async def read(self, bulk_change_id: UUID) -> BulkView:
        """How far a bulk change has come, or ``not_found``."""
        mine = select(BulkChangeRow).where(
            BulkChangeRow.id == bulk_change_id, BulkChangeRow.organization_id == self.tickets.caller.organization_id
        )
        async with self.tickets.services.reads() as session:
            row = await session.scalar(mine)
        if row is None:
            raise not_found("bulk change")
        return _view(row)

    async def stop(self, bulk_change_id: UUID) -> BulkView:
        """Have it end after the page it is at. The caller owns the transaction; one that is over stays as it is."""
        tickets = self.tickets
        row = await find_own(tickets.session, tickets.caller, BulkChangeRow, bulk_change_id, "bulk change", lock=True)
        if row.status == "running":
            row.status = "stopping"
        return _view(row)

    async def _chosen(self, document: BulkDocument) -> list[UUID]:
        if document.ticket_ids is not None:
            return sorted(set(document.ticket_ids))
        wanted = document.filter
        assert wanted is not None
        found = TicketFilter(
            statuses=wanted.status,
            priorities=wanted.priority,
            channels=wanted.channel,
            team_ids=wanted.team_id,
            assignee_ids=wanted.assignee_id,
            unassigned=wanted.unassigned,
            breached=wanted.breached,
            due_before=wanted.due_before,
            tags=[each.strip().casefold() for each in wanted.tag],
            text=wanted.q,
        )
        listed = list_tickets(self.tickets.caller.organization_id, found).with_only_columns(TicketRow.id)
        async with self.tickets.services.reads() as session:
            ids = list(await session.scalars(listed.order_by(TicketRow.id).limit(MAX_TICKETS + 1)))
        if len(ids) > MAX_TICKETS:
            raise Problem("invalid_request", f"More than {MAX_TICKETS} tickets match; narrow the filter.", at="filter")
        return ids

    async def _change(self, wanted: Wanted) -> BulkChange:
        if isinstance(wanted, StatusChange):
            return MoveAll(**wanted.model_dump(exclude={"kind"}))
        if isinstance(wanted, TagsChange):
            if not wanted.add and not wanted.remove:
                raise Problem("invalid_request", "Send tags to add, to remove, or both.")
            return TagAll(add=tuple(wanted.add), remove=tuple(wanted.remove))
        if not isinstance(wanted, AssignmentChange):
            return PrioritizeAll(priority=wanted.priority)
        named = wanted.model_fields_set & {"team_id", "assignee_id"}
        if not named:
            raise Problem("invalid_request", "Send team_id, assignee_id or both; null empties it.")
        member = None
        async with self.tickets.services.reads() as session:
            team = await find_team(session, self.tickets.caller, wanted.team_id)
            if wanted.assignee_id:
                organization_id = self.tickets.caller.organization_id
                member = await find_member(session, organization_id, wanted.assignee_id, "assignee_id")
        return AssignAll(
            fields=frozenset("team" if name == "team_id" else "assignee" for name in named),
            team_id=team.id if team else None,
            team_name=team.name if team else None,
            assignee_id=member.id if member else None,
            assignee_name=member.name if member else None,
            reason=wanted.reason,
        )

    async def _read(self, ids: Sequence[UUID]) -> dict[UUID, Ticket | None]:
        row: Any = TicketRow
        mine = (row.id.in_(ids), row.organization_id == self.tickets.caller.organization_id)
        async with self.tickets.services.reads() as session:
            states = {each.id: each.state for each in await session.execute(select(row.id, row.state).where(*mine))}
        return {each: Ticket.model_validate(states[each]) if each in states else None for each in ids}


def _view(row: BulkChangeRow) -> BulkView:
    return BulkView(
        id=row.id,
        dry_run=False,
        status=row.status,
        change=row.change,
        tickets=len(row.ticket_ids),
        examined=row.examined,
        changed=row.changed,
        unchanged=row.unchanged,
        refused=sum(row.refusals.values()),
        refusals=row.refusals,
        first_refused=[RefusedView.model_validate(each) for each in row.refused],
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
