"""The ticket that goes with an escalation: an open one of the same customer, or one made of the conversation."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert

from api.decisions import because
from api.escalations import EscalationAnswer, Escalations
from api.idempotency import RequestId
from api.opening import title_of
from api.problems import Problem
from api.routing import NewTicket, route_new
from api.schemas.escalation import EscalationTicketDocument
from api.tickets import Tickets
from db.models import Conversation, EscalationRow, Message, TicketOpening
from db.tickets import RecordedTicket, find_requester
from domain.errors import EscalationOver
from domain.escalation import Escalation
from domain.escalation_commands import AttachTicket
from domain.ids import conversation_ticket_id, ticket_id
from domain.rules.routing import Properties
from domain.ticket import ACTIVE, Ticket
from workflows.messages import Created, StartTicket

_RACES = 3
"""Tries: of several that make a ticket of one conversation in the same instant, one does."""


@dataclass(frozen=True)
class EscalationTickets:
    """Acts for one caller, through both."""

    escalations: Escalations
    tickets: Tickets

    async def give(
        self, row: EscalationRow, document: EscalationTicketDocument, request: RequestId
    ) -> EscalationAnswer:
        """Have the escalation go with a ticket. Safe to repeat for the request."""
        if (known := await self.escalations.known(row.conversation_id, request)) is not None:
            return known
        escalation = Escalation.model_validate(row.state)
        if not escalation.is_live:
            raise EscalationOver(f"The escalation is {escalation.status} already.", current=escalation.status.value)
        if document.ticket_id is not None:
            recorded = await self._open_one(escalation, document.ticket_id)
        else:
            recorded = await self._of_conversation(row, escalation, document)
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

    async def _of_conversation(
        self, row: EscalationRow, escalation: Escalation, document: EscalationTicketDocument
    ) -> RecordedTicket:
        """The conversation's ticket, where it has one that is open: there is no need of another; else a new one."""
        of = select(Conversation.ticket_id).where(Conversation.id == row.conversation_id)
        for _ in range(_RACES):
            async with self.escalations.services.reads() as session:
                present_id = (await session.execute(of)).scalar_one()
            if present_id is not None:
                recorded = await self.tickets.find(present_id)
                if recorded.ticket.status in ACTIVE:
                    return recorded
            new = await self._decide(row, escalation, document, present_id)
            if new is not None:
                return await self._start(new)
        raise Problem("outcome_unknown", "Others make tickets of this conversation. Send the request again.")

    async def _decide(
        self, row: EscalationRow, escalation: Escalation, document: EscalationTicketDocument, earlier: UUID | None
    ) -> StartTicket | None:
        """What starts a new ticket in the conversation after its ``earlier`` one; ``None`` where that is another now.

        It is kept until the ticket runs. Safe to repeat.
        """
        session, services = self.tickets.session, self.escalations.services
        mine = self.escalations.caller.organization_id
        async with session.begin():
            # Whoever else makes a ticket of the conversation comes before or after.
            conversation = await session.get_one(Conversation, row.conversation_id, with_for_update=True)
            first = await session.scalar(
                select(Message.body)
                .where(Message.conversation_id == row.conversation_id, Message.author_kind == "customer")
                .order_by(Message.sent_at, Message.id)
                .limit(1)
            )
            if conversation.ticket_id != earlier:
                return None
            request = RequestId(key=f"escalation:{row.id}:{earlier or ''}", fingerprint="escalation", given=True)
            new_id = ticket_id(mine, request.key) if earlier else conversation_ticket_id(row.conversation_id)
            reserved = await self.tickets.reservations.number(request)
            asked = any(reason.priority for reason in escalation.reasons)
            given = Properties(
                tags=tuple(conversation.tags),
                priority=document.priority or (escalation.priority if asked else None),
                team_id=escalation.team_id,
                assignee_id=escalation.owner_id,
            )
            title = document.title or title_of(first or "")
            new = NewTicket(
                id=new_id,
                organization_id=mine,
                conversation_id=conversation.id,
                text=f"{title}\n{first or ''}",
                at=reserved.at,
                rules_revision=reserved.rules_revision,
                channel=conversation.channel,
                channel_id=conversation.channel_id,
            )
            properties, decided = await route_new(session, services, new, given)
            fields = await self.tickets.reservations.fields(properties, reserved.at)
            ticket = Ticket(
                id=new_id,
                organization_id=mine,
                number=reserved.number,
                title=title,
                source=escalation.reasons[0].source,
                channel=escalation.channel,
                requester_id=conversation.requester_id,
                conversation_id=conversation.id,
                **fields,
            )
            created = Created(
                actor=self.escalations.caller.actor,
                request_id=request.key,
                fingerprint=request.fingerprint,
                description=first or "",
                because=because(decided),
            )
            start = StartTicket(
                ticket_id=new_id, ticket=ticket, created=created, history_limit=services.settings.history_limit
            )
            opening = insert(TicketOpening).values(
                ticket_id=new_id, organization_id=mine, start=start.model_dump(mode="json")
            )
            await session.execute(opening.on_conflict_do_nothing())
            await session.execute(
                update(Conversation).where(Conversation.id == conversation.id).values(ticket_id=new_id)
            )
        return start

    async def _start(self, start: StartTicket) -> RecordedTicket:
        """Start what was decided on; a sweep does so for whoever does not get here."""
        assert start.ticket is not None
        assert start.created is not None
        async with self.escalations.services.reads() as session:
            requester = await find_requester(session, start.ticket.requester_id)
        with self.escalations.services.read_model.watch(start.ticket_id) as watch:
            started = await self.tickets.start(watch, start.ticket, requester, start.created)
        async with self.tickets.session.begin():
            await self.tickets.session.execute(delete(TicketOpening).where(TicketOpening.ticket_id == start.ticket_id))
        return started.recorded
