"""Whose an API key or a session is, found in one statement a request."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, and_, bindparam, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from db.channels import ACCESS
from db.models import Account, AccountSession, ApiKey, Member

_NOTED_EVERY = timedelta(minutes=1)
"""Use is written down at most once a minute, so that authentication only reads."""


class KeyCaller(NamedTuple):
    """A key that works, and the active member it was sent for; ``member_id`` is ``None`` where there is no such."""

    key_id: UUID
    organization_id: UUID
    name: str
    scopes: list[str] | None
    last_used_at: datetime | None
    member_id: UUID | None = None
    member_name: str | None = None
    role: str | None = None

    def is_noted(self, now: datetime) -> bool:
        """Whether the key's use was written down in this minute."""
        return self.last_used_at is not None and now - self.last_used_at < _NOTED_EVERY


class SessionCaller(NamedTuple):
    """A session that has not expired, and the active member its account is in the organization asked for."""

    session_id: UUID
    seen_at: datetime
    account_id: UUID
    account_name: str
    email: str
    organization_id: UUID | None
    member_id: UUID | None
    member_name: str | None
    role: str | None


class Credentials(NamedTuple):
    """What somebody goes on being known by: a session or a key, and the member, if any, who calls or is acted for."""

    session_id: UUID | None = None
    key_id: UUID | None = None
    member_id: UUID | None = None


def _member_of(organization: ColumnElement[Any], who: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(who, Member.organization_id == organization, Member.status == "active")


# The function is the tables' owner's, so the wall does not hold for it; it answers for one hash, whole or not at all.
_KEY = text("""
    SELECT key_id, organization_id, name, scopes, last_used_at, member_id, member_name, role
    FROM baton_caller(:digest, CAST(:member_id AS uuid))
""")
_SESSION = (
    select(
        AccountSession.id,
        AccountSession.seen_at,
        Account.id,
        Account.name,
        Account.email,
        Member.organization_id,
        Member.id,
        Member.name,
        Member.role,
    )
    .join(Account, Account.id == AccountSession.account_id)
    .outerjoin(
        Member,
        _member_of(
            func.coalesce(bindparam("organization_id", type_=Uuid()), AccountSession.organization_id),
            Member.account_id == AccountSession.account_id,
        ),
    )
    .where(AccountSession.token_hash == bindparam("digest"), AccountSession.expires_at > func.now())
)

_HOLDING = text("""
    SELECT c.place FROM unnest(
        CAST(:sessions AS uuid[]), CAST(:keys AS uuid[]), CAST(:members AS uuid[])
    ) WITH ORDINALITY AS c (session_id, key_id, member_id, place)
    WHERE (c.session_id IS NULL OR EXISTS (
        SELECT FROM account_sessions WHERE id = c.session_id AND expires_at > now()
    )) AND (c.key_id IS NULL OR EXISTS (
        SELECT FROM api_keys WHERE id = c.key_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    )) AND (c.member_id IS NULL OR EXISTS (SELECT FROM members WHERE id = c.member_id AND status = 'active'))
""")
_ACCESS_CHANGED = text(f"SELECT pg_notify('{ACCESS}', '')")


async def find_by_key(session: AsyncSession, digest: bytes, member_id: UUID | None) -> KeyCaller | None:
    """Who calls with the key of this hash, for a member or by itself; ``None`` where no key works."""
    row = (await session.execute(_KEY, {"digest": digest, "member_id": member_id})).one_or_none()
    return None if row is None else KeyCaller(*row)


async def find_by_session(session: AsyncSession, digest: bytes, organization_id: UUID | None) -> SessionCaller | None:
    """Who calls with the session of this hash, in that organization or else the one chosen last."""
    row = (await session.execute(_SESSION, {"digest": digest, "organization_id": organization_id})).one_or_none()
    return None if row is None else SessionCaller(*row)


async def note_use_of_key(session: AsyncSession, caller: KeyCaller, now: datetime) -> None:
    """Write down that the key is in use, unless somebody has or does in this minute. A transaction of its own."""
    stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - _NOTED_EVERY)
    # Of many requests in one moment one writes; the others do not wait for it.
    mine = select(ApiKey.id).where(ApiKey.id == caller.key_id, stale).with_for_update(skip_locked=True, key_share=True)
    await session.execute(
        update(ApiKey)
        .where(ApiKey.id.in_(mine.scalar_subquery()))
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


async def prolong_session(
    session: AsyncSession, caller: SessionCaller, now: datetime, *, idle: timedelta, longest: timedelta
) -> None:
    """Move the session's end on with its use, at most once a minute. A transaction of its own."""
    if now - caller.seen_at < _NOTED_EVERY:
        return
    mine = (
        select(AccountSession.id)
        .where(AccountSession.id == caller.session_id, AccountSession.seen_at < now - _NOTED_EVERY)
        .with_for_update(skip_locked=True, key_share=True)
    )
    await session.execute(
        update(AccountSession)
        .where(AccountSession.id.in_(mine.scalar_subquery()))
        .values(seen_at=now, expires_at=func.least(now + idle, AccountSession.created_at + longest))
        .execution_options(synchronize_session=False)
    )


async def access_ended(session: AsyncSession) -> None:
    """Have whatever stays open for somebody be looked at again, in every process, when the transaction commits.

    For whoever ends a session, revokes a key or disables a member.
    """
    await session.execute(_ACCESS_CHANGED)


async def still_hold(session: AsyncSession, given: Sequence[Credentials]) -> set[Credentials]:
    """Those of the credentials that somebody could come with now."""
    values = {
        "sessions": [each.session_id for each in given],
        "keys": [each.key_id for each in given],
        "members": [each.member_id for each in given],
    }
    return {given[place - 1] for place in await session.scalars(_HOLDING, values)}
