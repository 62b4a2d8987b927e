"""Erasing a requester's words from Postgres: rows stay, so that statistics do, and what was written in them goes.

What goes and what stays of each table is in ``ERASED`` and ``KEPT``, which a test holds against the tables there are.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Erasure, Export, ExportPage, Requester, TicketRow
from domain.ticket import ERASED_TITLE

_OF_TICKETS = {
    "tickets": """
        UPDATE tickets SET title = CAST(:title AS text), description = '',
            state = jsonb_set(state, '{title}', to_jsonb(CAST(:title AS text)))
        WHERE id = ANY(:tickets)""",
    # Reasons are people's own words, but for those the system gives.
    "ticket_events": """
        UPDATE ticket_events SET
            actor_name = CASE WHEN actor_kind = 'customer' THEN NULL ELSE actor_name END,
            reason = CASE WHEN actor_kind = 'system' THEN reason END,
            changes = changes - 'title', about = about - 'because',
            answer = CASE WHEN answer IS NOT NULL
                THEN jsonb_set(answer, '{title}', to_jsonb(CAST(:title AS text))) END
        WHERE ticket_id = ANY(:tickets)""",
    "notes": "UPDATE notes SET body = '' WHERE ticket_id = ANY(:tickets)",
    "ticket_openings": """
        UPDATE ticket_openings SET start = jsonb_set(jsonb_set(start, '{ticket,title}',
            to_jsonb(CAST(:title AS text))), '{created,description}', '""', false)
        WHERE ticket_id = ANY(:tickets)""",
}
_OF_BOTH = {
    "decisions": """
        UPDATE decisions SET evidence = '[]'
        WHERE ticket_id = ANY(:tickets) OR conversation_id = ANY(:conversations)""",
    "notifications": """
        UPDATE notifications SET why = '' WHERE organization_id = :organization
            AND (ticket_id = ANY(:tickets) OR conversation_id = ANY(:conversations))""",
    # A mail is about tickets by their titles.
    "mails": """
        UPDATE mails SET subject = '', text = '', html = NULL WHERE id IN (
            SELECT mail_id FROM notifications WHERE organization_id = :organization
                AND (ticket_id = ANY(:tickets) OR conversation_id = ANY(:conversations)))""",
    "live_events": "DELETE FROM live_events WHERE ticket_id = ANY(:tickets)",
    "backtests": """
        UPDATE backtests SET result = '{}' WHERE organization_id = :organization
            AND result::text LIKE ANY(:mentions)""",
    # A request that is sent again after this is refused or answered with less, and takes no second effect.
    "idempotent_requests": """
        UPDATE idempotent_requests SET answer = '{}' WHERE organization_id = :organization
            AND answer::text LIKE ANY(:mentions)""",
}
_OF_CONVERSATIONS = {
    # What a receiver answered may repeat the words it was sent.
    "deliveries": """
        UPDATE deliveries SET reason = NULL, provider_id = NULL, about = '{}', attempts = coalesce(
            (SELECT jsonb_agg(attempt - 'reason') FROM jsonb_array_elements(attempts) AS attempt), '[]')
        WHERE conversation_id = ANY(:conversations)""",
    # The ids of messages are the channel's, and may hold an address; the system's own stay unique by theirs.
    "messages": """
        UPDATE messages SET body = '', erased = true,
            external_id = CASE WHEN author_kind = 'system' THEN external_id ELSE id::text END,
            author_name = CASE WHEN author_kind = 'customer' THEN NULL ELSE author_name END,
            reading = reading - '{human_pattern,human_span}'::text[]
        WHERE conversation_id = ANY(:conversations) AND NOT erased""",
    # Why names what matched, notes are people's own words.
    "escalation_reasons": """
        UPDATE escalation_reasons SET why = NULL, note = NULL WHERE conversation_id = ANY(:conversations)""",
    "escalation_notes": """
        UPDATE escalation_notes SET body = '' WHERE escalation_id IN (
            SELECT id FROM escalations WHERE conversation_id = ANY(:conversations))""",
    "conversations": """
        UPDATE conversations SET external_id = 'erased:' || id WHERE id = ANY(:conversations)""",
}

ERASED = frozenset({*_OF_TICKETS, *_OF_BOTH, *_OF_CONVERSATIONS, "requesters"})
"""Tables whose rows lose a requester's words."""

KEPT: Mapping[str, str] = MappingProxyType(
    {
        "organizations": "settings",
        "api_keys": "of programs",
        "members": "of members",
        "teams": "settings",
        "team_members": "of members",
        "channels": "settings",
        "channel_secrets": "secrets of settings",
        "message_templates": "settings",
        "rules": "settings",
        "rule_versions": "settings",
        "calendars": "settings",
        "sla_policies": "settings",
        "sla_policy_versions": "settings",
        "reminder_ladders": "settings",
        "escalation_ladders": "settings",
        "notification_settings": "settings of members",
        "accounts": "of members",
        "identities": "of members",
        "account_sessions": "of members",
        "invitations": "of members",
        "password_resets": "of members",
        "attempts": "counts",
        "audit_log": "acts of administration",
        "rotas": "counts",
        "queued_tickets": "times",
        "untold_messages": "times",
        "escalations": "ids and times, and names of members",
        "escalation_changes": "ids and times, and names of members and rules",
        "ticket_facts": "times, and names of tags and teams",
        "ticket_watchers": "of members",
        "ticket_presences": "of members",
        "ticket_links": "ids",
        "ticket_merges": "ids",
        "bulk_changes": "ids, and what members asked for",
        "erasures": "says that it was done, and of nobody what was",
        "exports": "counts",
        "export_pages": "copies, which go before their time when somebody is erased",
    }
)
"""Tables that hold nothing of a requester, each with what it holds instead."""

CONVERSATIONS_A_PAGE = 50


async def tickets_of(
    session: AsyncSession, organization_id: UUID, requester_id: UUID, after: UUID | None, limit: int
) -> Sequence[UUID]:
    """Ids of the requester's tickets in their order, those behind ``after``."""
    statement = (
        select(TicketRow.id)
        .where(TicketRow.organization_id == organization_id, TicketRow.requester_id == requester_id)
        .order_by(TicketRow.id)
        .limit(limit)
    )
    return list(await session.scalars(statement if after is None else statement.where(TicketRow.id > after)))


async def erase_ticket(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> None:
    """Erase the words on a ticket; the caller owns the transaction. Safe to repeat."""
    values = _values(organization_id, [ticket_id], [])
    for statement in (_OF_TICKETS | _OF_BOTH).values():
        await _run(session, statement, values)


async def erase_conversations(
    session: AsyncSession, organization_id: UUID, requester_id: UUID, after: UUID | None
) -> tuple[UUID | None, int]:
    """Erase a page of the requester's conversations: the last of them if there are more, and how many messages.

    The caller owns the transaction. Safe to repeat: a message counts the first time.
    """
    found = await session.scalars(
        text(
            "SELECT id FROM conversations WHERE organization_id = :organization AND requester_id = :requester"
            " AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit"
        ),
        {"organization": organization_id, "requester": requester_id, "after": after, "limit": CONVERSATIONS_A_PAGE},
    )
    conversations = list(found)
    if not conversations:
        return None, 0
    values = _values(organization_id, [], conversations)
    messages = await _run(session, _OF_CONVERSATIONS["messages"], values)
    others = {name: statement for name, statement in _OF_CONVERSATIONS.items() if name != "messages"}
    for statement in (_OF_BOTH | others).values():
        await _run(session, statement, values)
    return conversations[-1] if len(conversations) == CONVERSATIONS_A_PAGE else None, messages


async def erase_requester(session: AsyncSession, organization_id: UUID, requester_id: UUID) -> None:
    """Erase name, address and the caller's own name for them. Exports, which are copies, are given up."""
    await session.execute(
        update(Requester)
        .where(Requester.id == requester_id, Requester.organization_id == organization_id)
        .values(external_id=None, name=None, email=None, language=None, erased_at=func.now())
    )
    await session.execute(
        update(Export)
        .where(Export.organization_id == organization_id, Export.status != "expired")
        .values(status="expired")
    )
    await session.execute(delete(ExportPage).where(ExportPage.organization_id == organization_id))


async def erasure_done(session: AsyncSession, erasure_id: UUID, tickets: int, messages: int) -> None:
    """Write down that it is done and how much it was; the first time counts."""
    await session.execute(
        update(Erasure)
        .where(Erasure.id == erasure_id, Erasure.status != "done")
        .values(status="done", tickets=tickets, messages=messages, finished_at=func.now())
    )


def _values(organization_id: UUID, tickets: Sequence[UUID], conversations: Sequence[UUID]) -> dict[str, Any]:
    return {
        "title": ERASED_TITLE,
        "organization": organization_id,
        "tickets": list(tickets),
        "conversations": list(conversations),
        "mentions": [f"%{each}%" for each in (*tickets, *conversations)],
    }


async def _run(session: AsyncSession, statement: str, values: Mapping[str, Any]) -> int:
    """How many rows it changed."""
    clause = text(statement)
    result = await session.execute(clause, {name: values[name] for name in clause._bindparams})
    return int(result.rowcount)  # type: ignore[attr-defined]
