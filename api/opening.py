"""Tickets made of conversations: opened in the transaction that decided on them, started and told after it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.arrivals import Arrival
from api.decisions import because, decision_row, why, why_of
from api.idempotency import RequestId
from api.messages import Messages
from api.problems import STATUS_OF, Problem
from api.rule_book import RuleBook
from api.schemas.intake import Writer
from api.ticket_gateway import Fact
from api.tickets import Tickets
from db.escalations import raise_escalation
from db.models import Conversation, Decision, TicketOpening
from domain.commands import AgentReplied, Command, CustomerReplied, Edit, Escalate
from domain.errors import DomainError
from domain.escalation import Reason
from domain.escalation_commands import Raise
from domain.events import SYSTEM, Actor, ActorKind
from domain.ids import conversation_ticket_id, decision_id, human_request_id
from domain.rules.evaluation import Facts
from domain.rules.routing import Properties, route
from domain.rules.rule import Decided, EscalationActions, Outcome, RuleKind, acting, first
from domain.ticket import MAX_TAGS, MAX_TITLE, Source, Ticket
from workflows.messages import Created, StartTicket


async def act(tickets: Tickets, arrival: Arrival, book: RuleBook, facts: Facts) -> None:
    """Do in the intake's transaction what the decisions on a message ask for: a ticket, and a human."""
    wanted = acting(arrival.decided)
    if arrival.kept.ticket_id is None and any(each.create_ticket for each in wanted):
        await _open(tickets, arrival, wanted, book, facts)
    for each in arrival.decided:
        if each.outcome is Outcome.ACTED:
            await _raise_by_rule(tickets.session, arrival, each)


async def _open(
    tickets: Tickets, arrival: Arrival, wanted: Sequence[EscalationActions], book: RuleBook, facts: Facts
) -> None:
    """Make the conversation's ticket and keep what starts it; nothing runs before the transaction is committed."""
    kept, message, session = arrival.kept, arrival.message, tickets.session
    given = Properties(tags=arrival.tags).with_actions(wanted)
    properties, routed = route(book.routing, facts, given, message.sent_at)
    request = RequestId(key=f"conversation:{kept.id}", fingerprint="conversation", given=True)
    reserved = await tickets.reservations.number(request)
    ticket = Ticket(
        id=conversation_ticket_id(kept.id),
        organization_id=tickets.caller.organization_id,
        number=reserved.number,
        title=title_of(message.body),
        source=Source.RULE,
        channel=kept.channel,
        requester_id=kept.requester_id,
        conversation_id=kept.id,
        **await tickets.reservations.fields(properties, reserved.at),
    )
    created = Created(
        actor=SYSTEM,
        request_id=request.key,
        fingerprint=request.fingerprint,
        description=message.body,
        because=because((*arrival.decided, *routed)),
    )
    start = StartTicket(
        ticket_id=ticket.id, ticket=ticket, created=created, history_limit=tickets.services.settings.history_limit
    )
    session.add(
        TicketOpening(ticket_id=ticket.id, organization_id=ticket.organization_id, start=start.model_dump(mode="json"))
    )
    await session.flush()
    await session.execute(update(Conversation).where(Conversation.id == kept.id).values(ticket_id=ticket.id))
    kept.ticket_id, arrival.opening, arrival.opened = ticket.id, start, True
    if routed:
        rows = [
            decision_row(RuleKind.ROUTING_RULE, each, ticket.organization_id, ticket.id, message.sent_at)
            | {"conversation_id": kept.id}
            for each in routed
        ]
        await session.execute(insert(Decision).values(rows).on_conflict_do_nothing())


async def _raise_by_rule(session: AsyncSession, arrival: Arrival, decided: Decided[EscalationActions]) -> None:
    """Have a human look at the conversation, and those told whom the rule names."""
    rule, actions = decided.rule, decided.rule.actions
    reason = Reason(
        id=decision_id(arrival.message.id, rule.id),
        source=Source.RULE,
        at=datetime.now(UTC),
        priority=actions.priority,
        rule_id=rule.id,
        rule_version=rule.version,
        rule_name=rule.name,
    )
    raising = Raise(
        reason=reason,
        team_id=_team_of(arrival),
        notify_team_ids=actions.notify_team_ids,
        notify_member_ids=actions.notify_member_ids,
        ticket_id=arrival.kept.ticket_id,
    )
    await raise_escalation(session, arrival.organization_id, arrival.kept.id, raising, why=why(decided))


async def raise_by_request(session: AsyncSession, arrival: Arrival) -> None:
    """Have a human look at the conversation, since the customer asks for one; in the intake's transaction."""
    reason = Reason(id=human_request_id(arrival.message.id), source=Source.ASSISTANT, at=datetime.now(UTC))
    raising = Raise(reason=reason, team_id=_team_of(arrival), ticket_id=arrival.kept.ticket_id)
    await raise_escalation(session, arrival.organization_id, arrival.kept.id, raising)


def _team_of(arrival: Arrival) -> UUID | None:
    """Whose queue the conversation goes to: the new ticket's team, else the first that an acting rule names."""
    ticket = arrival.opening.ticket if arrival.opening else None
    if ticket and ticket.team_id:
        return ticket.team_id
    wanted = acting(arrival.decided)
    return first(each.team_id for each in wanted) or next(
        (team for each in wanted for team in each.notify_team_ids), None
    )


def decisions_on(arrival: Arrival) -> list[dict[str, Any]]:
    """The rows of what escalation events decided on a message."""
    conversation = {"conversation_id": arrival.kept.id}
    rows = []
    for each in arrival.decided:
        row = decision_row(
            RuleKind.ESCALATION_EVENT, each, arrival.organization_id, arrival.message.id, arrival.message.sent_at
        )
        rows.append(
            row | conversation | {"ticket_id": arrival.kept.ticket_id if each.outcome is Outcome.ACTED else None}
        )
    return rows


def title_of(body: str) -> str:
    """The first line of what the customer wrote."""
    line = next((stripped for line in body.splitlines() if (stripped := line.strip())), "Conversation")
    return line if len(line) <= MAX_TITLE else f"{line[: MAX_TITLE - 1].rstrip()}…"


# After the commit


async def tell_about(messages: Messages, arrival: Arrival) -> None:
    """Start the message's ticket if that is still to be done, and tell it of the message. Safe to repeat."""
    ticket_id, author = arrival.ticket_id, arrival.message.author_kind
    if ticket_id is None or author not in (Writer.CUSTOMER, Writer.AGENT):
        return
    tickets, fact = messages.tickets, _fact(messages, arrival)
    if arrival.opening is not None:
        started = await tickets.gateway.open(arrival.opening, fact)
        async with tickets.session.begin():
            await tickets.session.execute(delete(TicketOpening).where(TicketOpening.ticket_id == ticket_id))
        if started:
            return
    takes_it = await messages.tell_ticket(ticket_id, arrival.message.id, fact, fresh=arrival.fresh)
    if takes_it is not None and not arrival.opened:
        await _raise(tickets, takes_it, arrival)


async def _raise(tickets: Tickets, ticket_id: UUID, arrival: Arrival) -> None:
    """Have a ticket that was there before follow the rules that matched: a higher priority, more tags."""
    acted = [each for each in arrival.decisions if each.outcome == Outcome.ACTED]
    wanted = Properties().with_actions(EscalationActions.model_validate(each.actions) for each in acted)
    if wanted.priority is None and not wanted.tags:
        return
    ticket = (await tickets.find(ticket_id)).ticket
    known_as = acted[0].id
    if wanted.priority is not None and wanted.priority.rank > ticket.priority.rank:
        request = RequestId(key=f"escalate:{known_as}", fingerprint="decision", given=True)
        command = Escalate(
            request_id=request.key, fingerprint="decision", reason=why_of(acted[0]), priority=wanted.priority
        )
        await _submit(tickets, ticket_id, command, request)
    tags = tuple(dict.fromkeys((*ticket.tags, *wanted.tags)))[:MAX_TAGS]
    if tags != ticket.tags:
        request = RequestId(key=f"tags:{known_as}", fingerprint="decision", given=True)
        await _submit(tickets, ticket_id, Edit(request_id=request.key, fingerprint="decision", tags=tags), request)


async def _submit(tickets: Tickets, ticket_id: UUID, command: Command, request: RequestId) -> None:
    """Hand it on; a ticket that refuses it, or that somebody has closed in this moment, stays as it is."""
    try:
        await tickets.submit(ticket_id, command, request)
    except (DomainError, Problem) as refusal:
        if STATUS_OF[refusal.code] != HTTPStatus.CONFLICT:
            raise


def _fact(messages: Messages, arrival: Arrival) -> Fact:
    message = arrival.message
    if message.author_kind == Writer.CUSTOMER:
        actor = Actor(kind=ActorKind.CUSTOMER, id=arrival.kept.requester_id, name=message.author_name)
        return CustomerReplied(message_id=message.id, at=message.sent_at, actor=actor, automatic=message.automatic)
    return AgentReplied(message_id=message.id, at=message.sent_at, actor=messages.tickets.caller.actor)
