"""What the organization's routing rules give a new ticket."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.decisions import decision_row
from api.dependencies import Services
from db.models import Decision
from domain.rules.evaluation import Facts
from domain.rules.routing import Properties, route
from domain.rules.rule import Decided, RoutingActions, RuleKind


@dataclass(frozen=True)
class NewTicket:
    """What rules see of a ticket that is made by hand: ``text`` is its title and description.

    The rules are at least as new as ``rules_revision``.
    """

    id: UUID
    organization_id: UUID
    conversation_id: UUID
    text: str
    at: datetime
    rules_revision: int
    channel: str
    channel_id: UUID | None = None


async def route_new(
    session: AsyncSession, services: Services, new: NewTicket, given: Properties
) -> tuple[Properties, list[Decided[RoutingActions]]]:
    """What the rules give the ticket beside what it is ``given``; what they decided is kept, once.

    The caller owns the transaction. Safe to repeat.
    """
    book = await services.rule_books.at(session, new.organization_id, new.rules_revision)
    if not len(book.routing):
        return given, []
    reading = await services.reader.read(new.text)
    facts = Facts(
        text=new.text,
        channels=frozenset({new.channel, *([str(new.channel_id)] if new.channel_id else [])}),
        sentiments=(reading.sentiment,),
        human_request=reading.human_request,
        business_hours=book.business_hours(new.at),
    )
    properties, decided = route(book.routing, facts, given, new.at)
    rows = [
        decision_row(RuleKind.ROUTING_RULE, each, new.organization_id, new.id, new.at)
        | {"conversation_id": new.conversation_id}
        for each in decided
    ]
    if rows:
        await session.execute(insert(Decision).values(rows).on_conflict_do_nothing())
    return properties, decided
