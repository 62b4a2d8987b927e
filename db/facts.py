"""How reports' facts follow from what is recorded: kept up by each record, or worked out anew from the tables."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from domain.clocks import ClockEventKind, Metric
from domain.events import EventKind, TicketEvent
from domain.ticket import Ticket

_COLUMNS = """ticket_id uuid, organization_id uuid, created_at timestamptz, channel text, source text, priority text,
    tags text[], team_id uuid, assignee_id uuid, status text, merged boolean, resolved_at timestamptz,
    first_response text, resolution text"""
_NAMES = [column.split()[0] for column in _COLUMNS.replace("\n", " ").split(",")]
_CHANGING = [name for name in _NAMES if name not in ("ticket_id", "organization_id", "created_at", "channel", "source")]

FACTS = f"""
facts AS (
    INSERT INTO ticket_facts ({", ".join(_NAMES)}, first_replied_at, next_met, next_breached)
    SELECT {", ".join(f"f.{name}" for name in _NAMES)}, counted.first_replied_at, counted.next_met,
        counted.next_breached
    FROM jsonb_to_record(CAST(:facts AS jsonb)) AS f ({_COLUMNS}), LATERAL (
        SELECT min(c.replied_at) AS first_replied_at, coalesce(sum(c.next_met), 0) AS next_met,
            coalesce(sum(c.next_breached), 0) AS next_breached
        FROM jsonb_to_recordset(CAST(:counted AS jsonb)) AS c (version int, replied_at timestamptz, next_met int,
            next_breached int) JOIN fresh USING (version)
    ) AS counted
    WHERE EXISTS (SELECT FROM fresh)
    ON CONFLICT (ticket_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)},
        first_replied_at = least(ticket_facts.first_replied_at, excluded.first_replied_at),
        next_met = ticket_facts.next_met + excluded.next_met,
        next_breached = ticket_facts.next_breached + excluded.next_breached
)"""  # noqa: S608 - made of constants
"""Part of the statement that records a batch; counts the events in ``fresh`` and no others."""


def fact_values(ticket: Ticket, events: Iterable[TicketEvent]) -> dict[str, Any]:
    """What ``FACTS`` is given for a batch that leaves the ticket as ``ticket``."""
    facts = {
        **{name: getattr(ticket, name) for name in _NAMES if name in Ticket.model_fields},
        "ticket_id": ticket.id,
        "merged": ticket.merged_into is not None,
        "first_response": ticket.clocks.first_response.verdict,
        "resolution": ticket.clocks.resolution.verdict,
    }
    counted = [each for event in events if (each := _counted(ticket, event))]
    return {"facts": to_json(facts).decode(), "counted": to_json(counted).decode()}


def _counted(ticket: Ticket, event: TicketEvent) -> dict[str, Any] | None:
    """What an event adds; a reply counts from its sender's time where that is known of it."""
    found: dict[str, Any] = {}
    if event.kind is EventKind.AGENT_REPLIED:
        answered = [
            each.at
            for each in event.clocks
            if each.metric is Metric.FIRST_RESPONSE and each.kind is ClockEventKind.FULFIL
        ]
        found["replied_at"] = answered[0] if answered else event.at
    following = [each for each in event.clocks if each.metric is Metric.NEXT_RESPONSE]
    breached = {each.episode for each in following if each.kind is ClockEventKind.BREACH}
    clock = ticket.clocks.next_response
    if breached:
        found["next_breached"] = len(breached)
    for each in following:
        late = each.episode in breached or (each.episode == clock.episode and clock.breached_at is not None)
        if each.kind is ClockEventKind.FULFIL and clock.target is not None and not late:
            found["next_met"] = found.get("next_met", 0) + 1
    return {"version": event.version, **found} if found else None


_VERDICT = """CASE WHEN c.clock ->> 'breached_at' IS NOT NULL THEN 'breached'
        WHEN c.clock ->> 'state' IN ('running', 'paused') THEN c.clock ->> 'state'
        WHEN c.clock ->> 'state' = 'fulfilled' AND c.clock ->> 'target' IS NOT NULL THEN 'met'
        ELSE 'none' END"""

# For what was recorded without facts; the fulfilments of the next response that came in time are those of episodes
# without a breach.
_REBUILD = text(
    f"""
INSERT INTO ticket_facts ({", ".join(_NAMES)}, first_replied_at, next_met, next_breached)
SELECT t.id, t.organization_id, t.created_at, t.channel, t.state ->> 'source', t.priority, t.tags, t.team_id,
    t.assignee_id, t.status, t.merged_into IS NOT NULL, CAST(t.state ->> 'resolved_at' AS timestamptz),
    (SELECT {_VERDICT} FROM (SELECT t.state -> 'clocks' -> 'first_response' AS clock) AS c),
    (SELECT {_VERDICT} FROM (SELECT t.state -> 'clocks' -> 'resolution' AS clock) AS c),
    replies.first_at, following.met, following.breached
FROM tickets AS t, LATERAL (
    SELECT min(coalesce(
        (SELECT CAST(c ->> 'at' AS timestamptz) FROM jsonb_array_elements(e.clock_events) AS c
        WHERE c ->> 'metric' = 'first_response' AND c ->> 'kind' = 'fulfil' LIMIT 1), e.at)) AS first_at
    FROM ticket_events AS e WHERE e.ticket_id = t.id AND e.kind = 'agent_replied'
) AS replies, LATERAL (
    SELECT count(*) FILTER (WHERE each.breached) AS breached,
        count(*) FILTER (WHERE each.fulfilled AND NOT each.breached
            AND t.state -> 'clocks' -> 'next_response' ->> 'target' IS NOT NULL) AS met
    FROM (
        SELECT bool_or(c ->> 'kind' = 'breach') AS breached, bool_or(c ->> 'kind' = 'fulfil') AS fulfilled
        FROM ticket_events AS e, jsonb_array_elements(e.clock_events) AS c
        WHERE e.ticket_id = t.id AND c ->> 'metric' = 'next_response' GROUP BY c -> 'episode'
    ) AS each
) AS following
WHERE t.id = :ticket_id
ON CONFLICT (ticket_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)},
    first_replied_at = excluded.first_replied_at, next_met = excluded.next_met, next_breached = excluded.next_breached
"""  # noqa: S608
)


async def rebuild_facts(session: AsyncSession, ticket_id: UUID) -> None:
    """Write a ticket's facts anew, whatever they hold. Part of the caller's transaction; safe to repeat."""
    await session.execute(_REBUILD, {"ticket_id": ticket_id})
