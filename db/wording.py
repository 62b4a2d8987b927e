"""The words of a message from the system to a customer, as the organization wants them and the customer reads them."""

from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Message, MessageTemplate, Organization, Requester
from domain.errors import InvalidTemplate
from domain.events import CustomerMessageKind
from domain.message_template import Values, render_template
from domain.ticket import Ticket
from domain.wording import BUILT_IN, DEFAULT_LANGUAGE, choose_words, is_said

log = structlog.get_logger(__name__)


async def worded(session: AsyncSession, ticket: Ticket, kind: CustomerMessageKind) -> str | None:
    """What the customer is told; ``None`` where the organization does not have this said. Changes nothing."""
    organization = await session.get_one(Organization, ticket.organization_id)
    if not is_said(kind, organization.customer_messages):
        return None
    requester = await session.get_one(Requester, ticket.requester_id)
    own = await own_words(session, ticket.organization_id, kind)
    theirs = requester.language or await _written_in(session, ticket.conversation_id)
    body, language, is_own = choose_words(kind, own, theirs, organization.language)
    values: Values = {
        "ticket": {"number": ticket.number, "title": ticket.title},
        "customer": {"name": requester.name or ""},
        "agent": {"name": ticket.assignee_name or ""},
        "organization": {"name": organization.name},
    }
    try:
        return render_template(body, values)
    except InvalidTemplate as error:
        # It was checked when it was saved: a newer version knows less, or a name is longer than was thought.
        log.warning("template_not_rendered", kind=kind.value, language=language, own=is_own, error=str(error))
        return render_template(BUILT_IN[DEFAULT_LANGUAGE][kind], values)


async def own_words(session: AsyncSession, organization_id: UUID, kind: CustomerMessageKind) -> dict[str, str]:
    """The organization's templates of a kind by language."""
    found = await session.execute(
        select(MessageTemplate.language, MessageTemplate.body).where(
            MessageTemplate.organization_id == organization_id, MessageTemplate.kind == kind
        )
    )
    return {row.language: row.body for row in found}


async def _written_in(session: AsyncSession, conversation_id: UUID) -> str | None:
    """The language in which the customer last asked for a person: the only one that is read with certainty."""
    language = Message.reading["human_language"].astext
    return await session.scalar(
        select(language)
        .where(Message.conversation_id == conversation_id, language.is_not(None), ~Message.erased)
        .order_by(Message.sent_at.desc())
        .limit(1)
    )
