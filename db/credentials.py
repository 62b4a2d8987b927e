"""Finding out whose a credential is, before anybody knows for which organization to look."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import bindparam, column, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from db.models import ApiKey


@dataclass(frozen=True)
class KnownKey:
    """A key that works."""

    id: UUID
    organization_id: UUID
    name: str


# The function is the tables' owner's, so the wall does not hold for it; it answers for one hash, whole or not at all.
_KEYS = aliased(
    ApiKey,
    func.baton_api_key(bindparam("digest")).table_valued(
        *(column(each.name, each.type) for each in ApiKey.__table__.columns)
    ),
    adapt_on_names=True,
)
_FIND = select(_KEYS.id, _KEYS.organization_id, _KEYS.name).where(_KEYS.revoked_at.is_(None))


async def find_api_key(session: AsyncSession, digest: bytes) -> KnownKey | None:
    """The key with this hash; ``None`` where there is none or it was revoked."""
    found = (await session.execute(_FIND, {"digest": digest})).one_or_none()
    return KnownKey(*found) if found else None
