"""The statements by which a ticket's record is written: one for all of a batch, so that it costs one round trip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.channels import TICKETS, ticket_payload
from db.facts import FACTS, fact_values, rebuild_facts
from db.live_events import TICKET
from domain.clocks import ClockEventKind
from domain.deadlines import deadlines
from domain.events import TicketEvent
from domain.ticket import Ticket
from domain.timers import timers

# Rows come in as JSON, which Postgres takes apart faster than SQLAlchemy and the driver put together as many values.
#
# A request names the first event it caused. A run remembers so many requests that a second event of another version
# never claims the name in practice; if one does, it goes without, for a batch that can never be written would stop
# the ticket.
_EVENTS = """
fresh AS (
    INSERT INTO ticket_events (ticket_id, organization_id, version, kind, at, actor_kind, actor_id, actor_name, reason,
        changes, about, request_id, fingerprint, answer, clock_events)
    SELECT CAST(:ticket_id AS uuid), CAST(:organization_id AS uuid), e.version, e.kind, e.at, e.actor ->> 'kind',
        CAST(e.actor ->> 'id' AS uuid), e.actor ->> 'name', e.reason, e.changes, e.about,
        CASE WHEN taken.version IS NULL THEN e.request_id END, e.fingerprint,
        CASE WHEN taken.version IS NULL THEN e.answer END, e.clocks
    FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS e (version int, kind text, at timestamptz, actor jsonb,
        reason text, changes jsonb, about jsonb, request_id text, fingerprint text, answer jsonb, clocks jsonb)
    LEFT JOIN ticket_events AS taken ON taken.ticket_id = CAST(:ticket_id AS uuid)
        AND taken.request_id = e.request_id AND taken.version <> e.version
    ON CONFLICT (ticket_id, version) DO NOTHING
    RETURNING version
)
"""

_ROW_COLUMNS = """id uuid, organization_id uuid, number int, version int, title text, description text, status text,
    priority text, priority_rank smallint, channel text, tags text[], team_id uuid, assignee_id uuid, requester_id uuid,
    conversation_id uuid, follow_up_of uuid, merged_into uuid, created_at timestamptz, updated_at timestamptz,
    next_timer_at timestamptz, sla_due_at timestamptz, breached boolean, state jsonb"""
_NAMES = [column.split()[0] for column in _ROW_COLUMNS.replace("\n", " ").split(",")]
_FIXED = ("id", "organization_id", "number", "description", "channel", "requester_id", "conversation_id")
_CHANGING = [name for name in _NAMES if name not in (*_FIXED, "follow_up_of", "created_at")]


_ROW = f"""
INSERT INTO tickets ({", ".join(_NAMES)})
SELECT {", ".join(f"r.{name}" for name in _NAMES)}
FROM jsonb_to_record(CAST(:row AS jsonb)) AS r ({_ROW_COLUMNS})
WHERE %s
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)}
"""  # noqa: S608 - made of constants, as are the statements below

_RECORD = text(
    f"""WITH {_EVENTS},
    written AS ({_ROW % "EXISTS (SELECT FROM fresh)"} WHERE tickets.version < excluded.version
        RETURNING organization_id, id, number, version, status, priority, assignee_id, team_id, conversation_id),
    shown AS (
        INSERT INTO live_events (organization_id, ticket_id, kind, payload)
        SELECT w.organization_id, w.id, '{TICKET}', jsonb_build_object('ticket_id', w.id, 'number', w.number,
            'version', w.version, 'status', w.status, 'priority', w.priority, 'assignee_id', w.assignee_id,
            'team_id', w.team_id, 'conversation_id', w.conversation_id)
        FROM written AS w
    ),
    {FACTS},
    told AS (SELECT pg_notify('{TICKETS}', :payload) WHERE EXISTS (SELECT FROM fresh))
    SELECT version, EXISTS (SELECT FROM ticket_watchers AS w WHERE w.ticket_id = CAST(:ticket_id AS uuid)) AS watched
    FROM fresh LEFT JOIN told ON true"""  # noqa: S608
)
_RESTORE_EVENTS = text(f"WITH {_EVENTS} SELECT version FROM fresh")  # noqa: S608
_RESTORE_ROW = text(f"WITH written AS ({_ROW % 'true'}) SELECT pg_notify('{TICKETS}', :payload)")


@dataclass(frozen=True)
class Written:
    """The versions of the events that were new, and whether anybody watches the ticket."""

    fresh: set[int]
    watched: bool


async def write_batch(
    session: AsyncSession, ticket: Ticket, events: Sequence[TicketEvent], answers: dict[str, Ticket], description: str
) -> Written:
    """Write events that are not there yet, and row and facts if any were.

    ``answers`` are by request the states that commands were answered with, where ``ticket`` is not it.
    Listeners are told when the caller's transaction commits.
    """
    values = {
        **_event_values(ticket, events, answers),
        **_row_values(ticket, description),
        **fact_values(ticket, events),
    }
    rows = (await session.execute(_RECORD, values)).all()
    return Written({row.version for row in rows}, watched=any(row.watched for row in rows))


async def restore_events(
    session: AsyncSession, ticket: Ticket, events: Sequence[TicketEvent], answers: dict[str, Ticket]
) -> set[int]:
    """Write events that are not there, and nothing else; returns their versions."""
    return set(await session.scalars(_RESTORE_EVENTS, _event_values(ticket, events, answers)))


async def restore_row(session: AsyncSession, ticket: Ticket, description: str) -> None:
    """Write the row whatever it holds, and its facts; a row that is there keeps its description."""
    await session.execute(_RESTORE_ROW, _row_values(ticket, description))
    await rebuild_facts(session, ticket.id)


def _event_values(ticket: Ticket, events: Sequence[TicketEvent], answers: dict[str, Ticket]) -> dict[str, Any]:
    rows = []
    for event in events:
        row = event.model_dump(exclude={"notices", "customer_messages"})
        # Only commands are answered with the ticket, and only they have a fingerprint.
        if event.request_id and event.fingerprint:
            row["answer"] = answers.get(event.request_id, ticket)
        rows.append(row)
    return {"ticket_id": ticket.id, "organization_id": ticket.organization_id, "events": to_json(rows).decode()}


def _row_values(ticket: Ticket, description: str) -> dict[str, Any]:
    waits = timers(ticket)
    due = [each.at for each in deadlines(ticket.clocks) if each.kind is ClockEventKind.BREACH]
    row = {
        **{name: getattr(ticket, name) for name in _NAMES if name in Ticket.model_fields},
        "description": description,
        "priority_rank": ticket.priority.rank,
        "next_timer_at": waits[0].due_at if waits else None,
        "sla_due_at": min(due, default=None),
        "breached": ticket.breached,
        "state": ticket,
    }
    return {"row": to_json(row).decode(), "payload": ticket_payload(ticket.id, ticket.version)}
