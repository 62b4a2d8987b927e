"""Makes a ticket's read model anew from its workflow: from the batches its history holds, and from its live state."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from activities.signatures import RECORD_TICKET, TicketBatch
from activities.ticket_record import TicketRecord
from domain.ids import workflow_id
from domain.ticket import Ticket
from repair.histories import batches_of
from workflows.handles import ticket_handle
from workflows.ticket import TicketWorkflow


class CannotRebuild(Exception):
    """The record cannot be made of this workflow; the message says why and what helps."""


@dataclass(frozen=True)
class Rebuilt:
    """What was written; ``first_version`` is that of the oldest event Temporal still holds."""

    ticket: Ticket
    events: int
    first_version: int | None


@dataclass(frozen=True)
class Rebuilding:
    """Writes through the read model's one writer, so that a rebuilt row is like any other."""

    temporal: Client
    record: TicketRecord

    async def rebuild(self, ticket_id: UUID) -> Rebuilt:
        """Write row and events as the workflow has them. Safe to repeat, and beside a running ticket.

        Events of runs that Temporal has forgotten stay as they are. Nobody is told anything twice. What the row refers
        to and is gone comes back empty. Raises ``CannotRebuild``.
        """
        handle = ticket_handle(self.temporal, ticket_id)
        live, written = (await handle.query(TicketWorkflow.live)).ticket, None
        while live is not None and live != written:  # it may have gone on meanwhile
            batches = await batches_of(self.temporal, workflow_id(ticket_id), RECORD_TICKET, TicketBatch)
            batches.sort(key=lambda batch: batch.ticket.version)
            try:
                await self.record.restore(live, batches)
            except ApplicationError as error:
                raise CannotRebuild(f"{error.message} Restart it instead.") from error
            except IntegrityError as error:
                raise CannotRebuild(_missing(live, error)) from error
            live, written = (await handle.query(TicketWorkflow.live)).ticket, live
        assert live is not None
        versions = {event.version for batch in batches for event in batch.events}
        return Rebuilt(live, len(versions), min(versions, default=None))


def _missing(ticket: Ticket, error: IntegrityError) -> str:
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if constraint == "uq_tickets_organization_id_number":
        return f"another ticket of its organization has its number, {ticket.number}, by now."
    return f"Postgres refuses its row ({constraint}). Its organization {ticket.organization_id} may be gone."
