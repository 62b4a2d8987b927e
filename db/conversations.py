"""Writing conversations and their messages, many at once and each one once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import left_to_tell
from domain.escalation_commands import Spoken

MAX_BACK = 20
"""Scores of earlier messages that rules may look back on (``domain.rules.conditions.MAX_MESSAGES``)."""


@dataclass(frozen=True)
class Customer:
    """Whose conversation it is; ``named`` is false where nothing is known of them but that they write.

    Nobody else is known as ``nobody_id`` in this conversation, named or not.
    """

    id: UUID
    external_id: str | None
    name: str | None
    email: str | None
    named: bool
    nobody_id: UUID
    language: str | None = None


UNNAMED_CHANNEL = "api"
"""The kind of channel of a conversation whose messages have not said where it is."""

MOST_TAGS = 100
"""Tags of a conversation."""


@dataclass(frozen=True)
class NewConversation:
    """A conversation as a message names it.

    Where it exists already, ``tags`` are added, and a requester and a channel are taken where none were named before.
    """

    id: UUID
    external_id: str
    channel: str
    channel_id: UUID | None
    tags: tuple[str, ...]
    requester: Customer


@dataclass(frozen=True)
class NewMessage:
    """A message to keep, in the shape of the table; ``reading`` is JSON."""

    id: UUID
    conversation_id: UUID
    external_id: str
    author_kind: str
    author_id: UUID | None
    author_name: str | None
    body: str
    automatic: bool
    reading: Mapping[str, Any] | None
    sent_at: datetime


@dataclass
class KeptConversation:
    """A conversation as it is now, locked until the transaction ends."""

    id: UUID
    external_id: str
    channel: str
    channel_id: UUID | None
    requester_id: UUID
    handled_by: str
    tags: list[str]
    waiting_since: datetime | None
    answered_at: datetime | None
    ticket_id: UUID | None
    created_at: datetime
    tags_before: list[str]
    """Its tags before these messages came."""
    rules_revision: int
    escalate_human_requests: bool
    """Whether a customer who asks for a human is put into the queue."""


@dataclass(frozen=True)
class Past:
    """What rules may look back on.

    ``sentiments`` are the times and scores of the customer's latest messages, the newest first. ``acted_at`` is by rule
    when it last acted, or would have.
    """

    sentiments: tuple[tuple[datetime, float | None], ...] = ()
    acted_at: Mapping[UUID, datetime] | None = None
    opening: Mapping[str, Any] | None = None
    """What starts the conversation's ticket, where that may not have happened yet."""


# Rows come in as JSON, as in ``db.ticket_writes``. Locks are taken in the order of ids, so that two batches never wait
# for each other.
_CONVERSATIONS = text("""
WITH wanted AS (
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, external_id text, channel text,
        channel_id uuid, tags text[], requester_id uuid, requester_external_id text, name text, email text,
        named boolean, nobody_id uuid, language text)
),
people AS (
    INSERT INTO requesters (id, organization_id, external_id, name, email, language)
    SELECT DISTINCT ON (requester_id) requester_id, :organization, requester_external_id, name, email, language
    FROM wanted AS w
    WHERE named OR NOT EXISTS (SELECT FROM conversations AS c WHERE c.id = w.id AND c.id = ANY(:conversations))
    ORDER BY requester_id
    ON CONFLICT (id) DO UPDATE
    SET name = coalesce(excluded.name, requesters.name), email = coalesce(excluded.email, requesters.email),
        language = coalesce(excluded.language, requesters.language)
    WHERE (excluded.name, excluded.email, excluded.language)
        IS DISTINCT FROM (requesters.name, requesters.email, requesters.language)
)
INSERT INTO conversations AS c
    (id, organization_id, external_id, channel, channel_id, requester_id, handled_by, tags)
SELECT id, :organization, external_id, channel, channel_id, requester_id, 'bot', coalesce(tags, '{}')
FROM wanted ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    tags = CASE WHEN c.tags @> excluded.tags THEN c.tags
        ELSE ARRAY(SELECT DISTINCT unnest(c.tags || excluded.tags) ORDER BY 1 LIMIT :most_tags) END,
    channel = CASE WHEN c.channel = :unnamed AND c.channel_id IS NULL THEN excluded.channel ELSE c.channel END,
    channel_id = CASE WHEN c.channel = :unnamed THEN coalesce(c.channel_id, excluded.channel_id) ELSE c.channel_id END,
    requester_id = CASE WHEN c.ticket_id IS NULL AND EXISTS (
        SELECT FROM wanted AS w WHERE w.id = c.id AND w.named AND w.nobody_id = c.requester_id
    ) THEN excluded.requester_id ELSE c.requester_id END
RETURNING id, external_id, channel, channel_id, requester_id, handled_by, tags, waiting_since, answered_at, ticket_id,
    created_at, coalesce((SELECT o.tags FROM conversations AS o WHERE o.id = c.id), '{}') AS tags_before,
    (SELECT rules_revision FROM organizations AS o WHERE o.id = :organization) AS rules_revision,
    (SELECT escalate_human_requests FROM organizations AS o WHERE o.id = :organization) AS escalate_human_requests
""")

# The time is the statement's, which comes after the conversations are locked: who comes later is later.
_MESSAGES = text(f"""
WITH fresh AS (
    INSERT INTO messages (id, organization_id, conversation_id, ticket_id, external_id, author_kind, author_id,
        author_name, body, automatic, reading, sent_at, created_at, out_of_turn)
    SELECT r.id, :organization, r.conversation_id, CASE WHEN :told THEN c.ticket_id END, r.external_id, r.author_kind,
        r.author_id, r.author_name, r.body, r.automatic, r.reading, r.sent_at,
        statement_timestamp() + r.place * interval '1 microsecond',
        :told AND r.author_kind = 'bot' AND c.handled_by = 'human'
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (id uuid, conversation_id uuid, external_id text,
        author_kind text, author_id uuid, author_name text, body text, automatic boolean, reading jsonb,
        sent_at timestamptz, place integer)
    -- Named twice: Postgres takes a document for a hundred rows, and would look through the table for them.
    JOIN conversations AS c ON c.id = r.conversation_id AND c.id = ANY(:conversations)
    ON CONFLICT DO NOTHING
    RETURNING id, conversation_id, ticket_id, author_kind
), untold AS (
    INSERT INTO untold_messages (message_id, organization_id, due_at)
    SELECT id, :organization, statement_timestamp() FROM fresh
    WHERE ticket_id IS NOT NULL AND author_kind IN ('customer', 'agent')
)
SELECT c.id,
    ARRAY(SELECT f.id FROM fresh AS f WHERE f.conversation_id = c.id) AS fresh,
    -- The fence, OFFSET 0, leaves the conversation's index alone to be chosen: where few messages had been read when
    -- Postgres last counted, it would look through all that have been since.
    (SELECT json_agg(json_build_array(m.sent_at, m.reading->'sentiment')) FROM (
        SELECT sent_at, reading FROM (
            SELECT sent_at, reading, automatic FROM messages
            WHERE conversation_id = c.id ORDER BY sent_at DESC OFFSET 0
        ) AS said
        WHERE reading IS NOT NULL AND NOT automatic LIMIT {MAX_BACK}
    ) AS m)::text AS sentiments,
    (SELECT json_object_agg(a.rule_id, a.at) FROM (
        SELECT rule_id, max(at) AS at FROM decisions
        WHERE conversation_id = c.id AND message_id IS NOT NULL AND outcome <> 'cooldown' GROUP BY rule_id
    ) AS a)::text AS acted_at,
    o.start::text AS opening
FROM conversations AS c LEFT JOIN ticket_openings AS o ON o.ticket_id = c.ticket_id
WHERE c.id = ANY(:conversations)
""")  # noqa: S608 - a constant

_ESCALATED = """EXISTS (
    SELECT FROM escalations AS e WHERE e.conversation_id = c.id AND e.status IN ('queued', 'claimed')
) AS escalated"""

_TIMES = text(f"""
UPDATE conversations AS c
SET answered_at = w.answered_at, waiting_since = w.waiting_since
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS w (id uuid, answered_at timestamptz, waiting_since timestamptz)
WHERE c.id = w.id AND c.id = ANY(:conversations)
RETURNING c.id, c.answered_at, c.waiting_since, {_ESCALATED}
""")  # noqa: S608 - a constant, as below

_BELONG = text("""
WITH theirs AS (
    UPDATE messages AS m SET ticket_id = c.ticket_id
    FROM conversations AS c WHERE c.id = m.conversation_id AND m.id = ANY(:messages)
    RETURNING m.id, m.organization_id, m.author_kind
)
INSERT INTO untold_messages (message_id, organization_id, due_at)
SELECT id, organization_id, statement_timestamp() FROM theirs WHERE author_kind IN ('customer', 'agent')
ON CONFLICT DO NOTHING
""")

_ANSWERED = text(f"""
UPDATE conversations AS c
SET answered_at = greatest(c.answered_at, :at),
    waiting_since = (
        SELECT min(m.sent_at) FROM messages AS m
        WHERE m.conversation_id = c.id AND m.author_kind = 'customer' AND NOT m.automatic
            AND m.sent_at > greatest(c.answered_at, :at)
    )
WHERE c.id = :id
RETURNING c.id, c.answered_at, c.waiting_since, {_ESCALATED}
""")  # noqa: S608

_WROTE = text(f"""
UPDATE conversations AS c SET waiting_since = least(waiting_since, :at)
WHERE id = :id AND (answered_at IS NULL OR answered_at < :at) AND (waiting_since IS NULL OR waiting_since > :at)
RETURNING c.id, c.answered_at, c.waiting_since, {_ESCALATED}
""")  # noqa: S608


async def keep_conversations(
    session: AsyncSession, organization_id: UUID, wanted: Sequence[NewConversation]
) -> dict[UUID, KeptConversation]:
    """Make or find the conversations, each id once, and lock them. The caller owns the transaction."""
    rows = [
        {
            "id": each.id,
            "external_id": each.external_id,
            "channel": each.channel,
            "channel_id": each.channel_id,
            "tags": each.tags,
            "requester_id": each.requester.id,
            "requester_external_id": each.requester.external_id,
            "name": each.requester.name,
            "email": each.requester.email,
            "language": each.requester.language,
            "named": each.requester.named,
            "nobody_id": each.requester.nobody_id,
        }
        for each in wanted
    ]
    values = {
        "rows": _json(rows),
        "organization": organization_id,
        "conversations": [each.id for each in wanted],
        "unnamed": UNNAMED_CHANNEL,
        "most_tags": MOST_TAGS,
    }
    kept = await session.execute(_CONVERSATIONS, values)
    return {row.id: KeptConversation(*row) for row in kept}


async def keep_messages(
    session: AsyncSession, organization_id: UUID, wanted: Sequence[NewMessage], *, told: bool
) -> tuple[set[UUID], dict[UUID, Past]]:
    """Keep the messages that are not there yet; their ids, and by conversation what there was before them.

    They are listed in this order later. With ``told`` they belong to their conversation's ticket, if there is one. The
    caller owns the transaction.
    """
    values = {
        "rows": _json([{**vars(each), "place": place} for place, each in enumerate(wanted)]),
        "organization": organization_id,
        "told": told,
        "conversations": list({each.conversation_id for each in wanted}),
    }
    fresh: set[UUID] = set()
    past: dict[UUID, Past] = {}
    for row in await session.execute(_MESSAGES, values):
        fresh |= set(row.fresh)
        past[row.id] = Past(
            sentiments=tuple((datetime.fromisoformat(at), score) for at, score in json.loads(row.sentiments or "[]")),
            acted_at={UUID(rule): datetime.fromisoformat(at) for rule, at in json.loads(row.acted_at or "{}").items()},
            opening=json.loads(row.opening) if row.opening else None,
        )
    return fresh, past


async def keep_times(session: AsyncSession, conversations: Sequence[KeptConversation]) -> None:
    """Write down since when the conversations wait, as their objects say."""
    rows = [
        {"id": each.id, "answered_at": each.answered_at, "waiting_since": each.waiting_since} for each in conversations
    ]
    values = {"rows": _json(rows), "conversations": [each.id for each in conversations]}
    for row in await session.execute(_TIMES, values):
        _tell_escalation(session, row)


async def belong_to_ticket(session: AsyncSession, message_ids: Sequence[UUID]) -> None:
    """Messages that came before their conversation had a ticket belong to it. The caller owns the transaction."""
    await session.execute(_BELONG, {"messages": list(message_ids)})


async def customer_wrote(session: AsyncSession, conversation_id: UUID, at: datetime) -> None:
    """The customer waits since ``at``, unless they wait longer or were answered later. For stored messages."""
    for row in await session.execute(_WROTE, {"id": conversation_id, "at": at}):
        _tell_escalation(session, row)


async def person_answered(
    session: AsyncSession, conversation_id: UUID, at: datetime
) -> tuple[datetime | None, datetime | None]:
    """A person answered at ``at``; when one last did, and since when the customer waits now. For stored messages."""
    row = (await session.execute(_ANSWERED, {"id": conversation_id, "at": at})).one()
    _tell_escalation(session, row)
    return row.answered_at, row.waiting_since


def _tell_escalation(session: AsyncSession, row: Row[Any]) -> None:
    """Have the conversation's live escalation learn of its times after the commit."""
    if row.escalated:
        fact = Spoken(waiting_since=row.waiting_since, answered_at=row.answered_at)
        left_to_tell(session).spoken[row.id] = fact


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return to_json(rows).decode()
