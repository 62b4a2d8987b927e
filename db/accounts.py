"""Accounts and the organizations they are members of."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Account, AccountSession, Member, Organization


class Membership(NamedTuple):
    """An active member, and the organization's name."""

    organization_id: UUID
    organization: str
    member_id: UUID
    role: str


async def find_account(session: AsyncSession, email: str, *, lock: bool = False) -> Account | None:
    """The account of a case-folded address."""
    statement = select(Account).where(Account.email == email)
    found: Account | None = await session.scalar(statement.with_for_update() if lock else statement)
    return found


async def memberships(session: AsyncSession, account_id: UUID) -> list[Membership]:
    """Where the account is an active member, the oldest first."""
    rows = await session.execute(
        select(Member.organization_id, Organization.name, Member.id, Member.role)
        .join(Organization, Organization.id == Member.organization_id)
        .where(Member.account_id == account_id, Member.status == "active")
        .order_by(Member.created_at, Member.id)
    )
    return [Membership(*row) for row in rows]


async def organization_to_begin_with(session: AsyncSession, account_id: UUID) -> UUID | None:
    """Where a new session works: where the last one did, else in the oldest membership; ``None`` without any."""
    mine = [each.organization_id for each in await memberships(session, account_id)]
    last = await session.scalar(
        select(AccountSession.organization_id)
        .where(AccountSession.account_id == account_id, AccountSession.organization_id.in_(mine))
        .order_by(AccountSession.seen_at.desc())
        .limit(1)
    )
    return last or next(iter(mine), None)
