"""What belongs to the caller's organization: found by its id, or not there at all."""

from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal
from api.problems import Problem, not_found
from db.models import Organization

R = TypeVar("R", bound=Any)


async def find_own(
    session: AsyncSession, caller: Principal, table: type[R], row_id: UUID, noun: str, *, lock: bool = False
) -> R:
    """The organization's row, locked until the caller's transaction ends if asked for; else ``not_found``."""
    row = await session.get(table, row_id, with_for_update=lock or None)
    if row is None or row.organization_id != caller.organization_id:
        raise not_found(noun)
    return row


async def check_own(
    session: AsyncSession, caller: Principal, table: type[Any], row_id: UUID | None, field: str
) -> None:
    """Refuse a ``field`` that names another organization's row, or none; ``None`` names nothing."""
    if row_id is None:
        return
    known = await session.scalar(
        select(table.id).where(table.id == row_id, table.organization_id == caller.organization_id)
    )
    if known is None:
        raise Problem("invalid_reference", f"{field} names nothing in this organization.", at=field)


async def in_turn(session: AsyncSession, caller: Principal) -> None:
    """Make changes that concern several of the organization's rows one at a time, until the transaction ends."""
    await session.execute(
        select(Organization.id).where(Organization.id == caller.organization_id).with_for_update(key_share=True)
    )
