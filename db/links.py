"""Which tickets have to do with each other: links, follow-ups and merges, read in both directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Select, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.models import TicketLink, TicketRow


class LinkKind(StrEnum):
    """What members say of two tickets."""

    RELATED = "related"
    DUPLICATE_OF = "duplicate_of"
    BLOCKS = "blocks"


class Relation(StrEnum):
    """What another ticket is to the one that is looked at."""

    RELATED = "related"
    DUPLICATE_OF = "duplicate_of"
    DUPLICATED_BY = "duplicated_by"
    BLOCKS = "blocks"
    BLOCKED_BY = "blocked_by"
    FOLLOW_UP_OF = "follow_up_of"
    FOLLOWED_UP_BY = "followed_up_by"
    MERGED_INTO = "merged_into"
    MERGED_FROM = "merged_from"


FORTH = {kind: Relation(kind.value) for kind in LinkKind}
BACK = {
    LinkKind.RELATED: Relation.RELATED,
    LinkKind.DUPLICATE_OF: Relation.DUPLICATED_BY,
    LinkKind.BLOCKS: Relation.BLOCKED_BY,
}


@dataclass(frozen=True)
class LinkedTicket:
    """Another ticket and what it is to this one; ``id`` is the link's, ``None`` of what follows from the tickets."""

    id: UUID | None
    relation: Relation
    ticket_id: UUID
    number: int
    title: str
    status: str
    at: datetime


async def linked_tickets(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> list[LinkedTicket]:
    """Everything that has to do with a ticket, the oldest first."""
    link, row = TicketLink, TicketRow
    shown = (row.id, row.number, row.title, row.status)
    forth = (
        select(link.id, link.kind, literal("forth"), *shown, link.created_at)
        .join(row, row.id == link.other_id)
        .where(link.ticket_id == ticket_id, link.organization_id == organization_id)
    )
    back = (
        select(link.id, link.kind, literal("back"), *shown, link.created_at)
        .join(row, row.id == link.ticket_id)
        .where(link.other_id == ticket_id, link.organization_id == organization_id)
    )
    found = [
        LinkedTicket(known[0], (FORTH if known[2] == "forth" else BACK)[LinkKind(known[1])], *known[3:])
        for known in await session.execute(union_all(forth, back))
    ]
    found += await _following(session, organization_id, ticket_id)
    return sorted(found, key=lambda each: (each.at, each.number))


async def _following(session: AsyncSession, organization_id: UUID, ticket_id: UUID) -> list[LinkedTicket]:
    """What the tickets themselves say: follow-ups and merges."""
    this, other = aliased(TicketRow), aliased(TicketRow)

    def pair(relation: Relation, joined: Any, at: Any) -> Select[Any]:
        columns = (literal(relation.value), other.id, other.number, other.title, other.status, at)
        mine = (this.id == ticket_id, this.organization_id == organization_id)
        return select(*columns).select_from(this).join(other, joined).where(*mine)

    every = union_all(
        pair(Relation.FOLLOW_UP_OF, other.id == this.follow_up_of, this.created_at),
        pair(Relation.FOLLOWED_UP_BY, other.follow_up_of == this.id, other.created_at),
        pair(Relation.MERGED_INTO, other.id == this.merged_into, this.updated_at),
        pair(Relation.MERGED_FROM, other.merged_into == this.id, other.updated_at),
    )
    return [LinkedTicket(None, Relation(row[0]), *row[1:]) for row in await session.execute(every)]


def tickets_merged_into(ticket_id: UUID) -> Select[tuple[UUID]]:
    """Ids of the tickets that went into this one, also by way of others."""
    return select(_merged(ticket_id).c.id)


def conversations_merged_into(ticket_id: UUID) -> Select[tuple[UUID]]:
    """Ids of their conversations."""
    return select(_merged(ticket_id).c.conversation_id)


def _merged(ticket_id: UUID) -> Any:
    columns = (TicketRow.id, TicketRow.conversation_id)
    direct = select(*columns).where(TicketRow.merged_into == ticket_id).cte("merged", recursive=True)
    further = aliased(TicketRow)
    return direct.union(select(further.id, further.conversation_id).join(direct, further.merged_into == direct.c.id))


def ordered(kind: LinkKind, ticket_id: UUID, other_id: UUID) -> Sequence[UUID]:
    """The two ids as a link keeps them."""
    return sorted((ticket_id, other_id)) if kind is LinkKind.RELATED else (ticket_id, other_id)
