"""What open pages are shown as it happens: written with the change, read in the order in which it became visible."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from db.channels import LIVE

TICKET, NOTIFICATION, ESCALATION, DELIVERY = "ticket", "notification", "escalation", "delivery"
"""Kinds of live events: a ticket has changed, a member was told something, an escalation or a delivery has changed."""

KEPT_FOR = timedelta(hours=1)
"""How long a page may be away and still get what it has missed."""


class Position(NamedTuple):
    """A place in the order of live events. ``str`` gives the id that clients see."""

    transaction: int
    id: int

    def __str__(self) -> str:
        return f"{self.transaction}-{self.id}"

    @classmethod
    def read(cls, value: str) -> "Position | None":
        """The place that a client names; ``None`` where it is none of ours."""
        transaction, dash, number = value.partition("-")
        if not (dash and value.isascii() and transaction.isdecimal() and number.isdecimal() and len(value) <= 40):
            return None
        found = cls(int(transaction), int(number))
        return found if max(found) < 2**63 else None


@dataclass(frozen=True)
class Happening:
    """One live event; ``member_id`` is the only one who may see it, ``None`` where all of the organization may."""

    position: Position
    organization_id: UUID
    member_id: UUID | None
    kind: str
    payload: dict[str, Any]
    at: datetime


@dataclass(frozen=True)
class Reading:
    """What was found after a position.

    ``horizon`` is where all that comes later will stand. ``more`` says that there is something already that others,
    which still run, may yet come before, or that the page was full.
    """

    happenings: Sequence[Happening]
    horizon: Position
    more: bool


_PUBLISH = text(
    f"""WITH told AS (
        INSERT INTO live_events (organization_id, member_id, ticket_id, kind, payload)
        VALUES (:organization_id, CAST(:member_id AS uuid), CAST(:ticket_id AS uuid), :kind, CAST(:payload AS jsonb))
        RETURNING 1
    )
    SELECT pg_notify('{LIVE}', '') FROM told"""  # noqa: S608 - made of constants, as are the statements below
)

# A row's place is given by the transaction that wrote it, and transactions are committed out of order. Rows of those
# before the oldest that still runs are complete: nothing will be put before or between them.
_AFTER = text(
    """WITH horizon AS (
        SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS transaction
    )
    SELECT horizon.transaction AS horizon, e.id, e.transaction, e.organization_id, e.member_id, e.kind, e.payload, e.at
    FROM horizon LEFT JOIN LATERAL (
        SELECT * FROM live_events
        WHERE (transaction, id) > (:transaction, :id) AND organization_id = ANY (CAST(:organizations AS uuid[]))
        ORDER BY transaction, id LIMIT :limit
    ) AS e ON true
    ORDER BY e.transaction, e.id"""
)

_OLDEST = text("SELECT transaction, id, at FROM live_events ORDER BY transaction, id LIMIT 1")

# The last one to go stays: it says that there may have been others before it.
_FORGET = text(
    """DELETE FROM live_events WHERE id IN (
        SELECT id FROM live_events
        WHERE (transaction, id)
            < (SELECT transaction, id FROM live_events WHERE at < :before ORDER BY at DESC, id DESC LIMIT 1)
        ORDER BY transaction, id LIMIT :limit FOR UPDATE SKIP LOCKED
    )"""
)


async def publish(
    session: AsyncSession,
    organization_id: UUID,
    kind: str,
    payload: dict[str, Any],
    *,
    ticket_id: UUID | None = None,
    member_id: UUID | None = None,
) -> None:
    """Show something to the organization's open pages, or to one member's alone, when the transaction commits."""
    values = {"organization_id": organization_id, "member_id": member_id, "ticket_id": ticket_id, "kind": kind}
    await session.execute(_PUBLISH, values | {"payload": to_json(payload).decode()})


async def read_after(session: AsyncSession, after: Position, organizations: Sequence[UUID], limit: int) -> Reading:
    """What these organizations' pages have to be shown after a position, the earliest first, ``limit`` at most."""
    values = {"transaction": after.transaction, "id": after.id, "organizations": list(organizations), "limit": limit}
    rows = (await session.execute(_AFTER, values)).all()
    horizon = rows[0].horizon
    found = [row for row in rows if row.id is not None]
    complete = [row for row in found if row.transaction < horizon]
    return Reading(
        [
            Happening(
                Position(row.transaction, row.id), row.organization_id, row.member_id, row.kind, row.payload, row.at
            )
            for row in complete
        ],
        Position(horizon, 0),
        len(complete) < len(found) or len(found) == limit,
    )


async def is_forgotten(session: AsyncSession, position: Position, horizon: Position, now: datetime) -> bool:
    """Whether something after the position may be gone, or the position is of another database's life."""
    if position > horizon:
        return True
    oldest = (await session.execute(_OLDEST)).one_or_none()
    if oldest is None or oldest.at > now - KEPT_FOR:
        return False  # nothing was ever removed
    return position < Position(oldest.transaction, oldest.id)


async def forget(session: AsyncSession, before: datetime, limit: int) -> int:
    """Remove events from before then, ``limit`` at most; returns how many. The caller owns the transaction."""
    gone = await session.execute(_FORGET, {"before": before, "limit": limit})
    return int(gone.rowcount)  # type: ignore[attr-defined]
