"""The ticket that goes with an escalation: an open one of the same customer, or one made of the conversation."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update

from api.escalations import EscalationAnswer, Escalations
from api.idempotency import RequestId
from api.opening import title_of
from api.problems import Problem
from api.schemas.escalation import EscalationTicketDocument
from api.tickets import Tickets
from db.models import Conversation, EscalationRow, Message
from db.tickets import RecordedTicket, find_requester
from domain.errors import EscalationOver
from domain.escalation import Escalation
from domain.escalation_commands import AttachTicket
from domain.ids import conversation_ticket_id, ticket_id
from domain.rules.routing import Properties
from domain.ticket import ACTIVE, Ticket
from workflows.messages import Created


@dataclass(frozen=True)
class EscalationTickets:
    """Acts for one caller, through both."""

    escalations: Escalations
    tickets: Tickets

    async def give(
        self, row: EscalationRow, document: EscalationTicketDocument, request: RequestId
    ) -> EscalationAnswer:
        """Have the escalation go with a ticket. Safe to repeat for the request."""
        escalation = Escalation.model_validate(row.state)
        if not escalation.is_live:
            raise EscalationOver(f"The escalation is {escalation.status} already.", current=escalation.status.value)
        if document.ticket_id is not None:
            recorded = await self._open_one(escalation, document.ticket_id)
        else:
            recorded = await self._present(row.conversation_id) or await self._make(row, escalation, document)
        command = AttachTicket(
            **self.escalations.fields(request),
            escalation_id=row.id,
            ticket_id=recorded.ticket.id,
            ticket_number=recorded.ticket.number,
        )
        return await self.escalations.command(row, command, request)

    async def _open_one(self, escalation: Escalation, wanted_id: UUID) -> RecordedTicket:
        found = await self.tickets.recorded(wanted_id)
        if found is None:
            raise Problem("invalid_reference", "ticket_id names no ticket of this organization.", at="ticket_id")
        if found.ticket.requester_id != escalation.requester_id:
            raise Problem("invalid_reference", "ticket_id names a ticket of another customer.", at="ticket_id")
        if found.ticket.status not in ACTIVE:
            raise Problem("ticket_not_active", f"Ticket #{found.ticket.number} is {found.ticket.status}.")
        return found

    async def _present(self, conversation_id: UUID) -> RecordedTicket | None:
        """The conversation's ticket, where it has one that is open: there is no need of another."""
        async with self.escalations.services.reads() as session:
            present = await session.scalar(select(Conversation.ticket_id).where(Conversation.id == conversation_id))
        if present is None:
            return None
        recorded = await self.tickets.find(present)
        return recorded if recorded.ticket.status in ACTIVE else None

    async def _make(
        self, row: EscalationRow, escalation: Escalation, document: EscalationTicketDocument
    ) -> RecordedTicket:
        """A new ticket in the conversation, once for the escalation."""
        session, mine = self.tickets.session, self.escalations.caller.organization_id
        request = RequestId(key=f"escalation:{row.id}", fingerprint="escalation", given=True)
        async with session.begin():
            # Whoever else makes a ticket of the conversation comes before or after.
            conversation = await session.get_one(Conversation, row.conversation_id, with_for_update=True)
            first = await session.scalar(
                select(Message.body)
                .where(Message.conversation_id == row.conversation_id, Message.author_kind == "customer")
                .order_by(Message.sent_at, Message.id)
                .limit(1)
            )
            new_id = (
                conversation_ticket_id(row.conversation_id)
                if conversation.ticket_id is None
                else ticket_id(mine, request.key)
            )
            reserved = await self.tickets.reserve_number(request)
            properties = Properties(
                tags=tuple(conversation.tags),
                priority=document.priority or escalation.priority,
                team_id=escalation.team_id,
                assignee_id=escalation.owner_id,
            )
            fields = await self.tickets.fields(properties, reserved.at)
            ticket = Ticket(
                id=new_id,
                organization_id=mine,
                number=reserved.number,
                title=document.title or title_of(first or ""),
                source=escalation.reasons[0].source,
                channel=escalation.channel,
                requester_id=conversation.requester_id,
                conversation_id=conversation.id,
                **fields,
            )
            await session.execute(
                update(Conversation).where(Conversation.id == conversation.id).values(ticket_id=new_id)
            )
        created = Created(
            actor=self.escalations.caller.actor,
            request_id=request.key,
            fingerprint=request.fingerprint,
            description=first or "",
        )
        async with self.escalations.services.reads() as reading:
            requester = await find_requester(reading, conversation.requester_id)
        with self.escalations.services.read_model.watch(new_id) as watch:
            return (await self.tickets.start(watch, ticket, requester, created)).recorded
