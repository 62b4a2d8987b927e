"""Numbers of new tickets, each reserved once for the request that makes the ticket."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import IdempotentRequest, Organization


@dataclass(frozen=True)
class Reserved:
    """A ticket's number, its moment of creation, and how new the rules were then.

    ``fingerprint`` is that of the request which reserved it first.
    """

    number: int
    at: datetime
    rules_revision: int
    fingerprint: str | None


async def reserve_number(session: AsyncSession, organization_id: UUID, key: str, fingerprint: str) -> Reserved:
    """The request's ticket number and moment of creation: the same ones however often it is asked.

    The caller owns the transaction.
    """
    kept = insert(IdempotentRequest).values(
        organization_id=organization_id, key=key, fingerprint=fingerprint, status=201, answer={}
    )
    fresh = await session.scalar(kept.on_conflict_do_nothing().returning(IdempotentRequest.key))
    mine = (IdempotentRequest.organization_id == organization_id, IdempotentRequest.key == key)
    if fresh is None:
        row = (await session.scalars(select(IdempotentRequest).where(*mine))).one()
        revision = select(Organization.rules_revision).where(Organization.id == organization_id)
        return Reserved(
            row.answer["number"],
            datetime.fromisoformat(row.answer["created_at"]),
            await session.scalar(revision) or 0,
            row.fingerprint,
        )
    number, revision_now = (
        await session.execute(
            update(Organization)
            .where(Organization.id == organization_id)
            .values(next_ticket_number=Organization.next_ticket_number + 1)
            .returning(Organization.next_ticket_number - 1, Organization.rules_revision)
        )
    ).one()
    at = datetime.now(UTC)
    await session.execute(
        update(IdempotentRequest).where(*mine).values(answer={"number": number, "created_at": at.isoformat()})
    )
    return Reserved(number, at, revision_now, fingerprint)
