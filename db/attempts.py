"""Limits on guessing, counted in Postgres so that they hold for all processes together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, delete, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Attempts

_KEPT = timedelta(days=1)


@dataclass(frozen=True)
class Limit:
    """At most ``most`` tries in ``window``, counted under ``bucket``: a hash of what is tried by whom."""

    bucket: bytes
    most: int
    window: timedelta


async def count_attempt(session: AsyncSession, limits: Sequence[Limit], now: datetime) -> timedelta | None:
    """Count one try under each limit; returns how long to wait where one is passed, else ``None``.

    Counted before it is known whether the try succeeds, so that tries at the same time count too; ``forgive`` takes a
    success back. The caller commits at once, whatever comes of the try.
    """
    waits = []
    for limit in sorted(limits, key=lambda each: each.bucket):  # in one order, so that no two wait for each other
        expired = Attempts.since <= now - limit.window
        statement = insert(Attempts).values(bucket=limit.bucket, tries=1, since=now)
        statement = statement.on_conflict_do_update(
            index_elements=["bucket"],
            set_={
                # Beyond the limit nothing is added: who goes on guessing does not put the end off.
                "tries": case((expired, 1), (Attempts.tries > limit.most, Attempts.tries), else_=Attempts.tries + 1),
                "since": case((expired, now), else_=Attempts.since),
            },
        )
        row = (await session.execute(statement.returning(Attempts.tries, Attempts.since))).one()
        if row.tries > limit.most:
            waits.append(row.since + limit.window - now)
    return max(waits, default=None)


async def forgive(session: AsyncSession, *, wholly: Limit | None = None, once: Sequence[Limit] = ()) -> None:
    """A try succeeded: forget all those under ``wholly``, and this one under the others.

    A client's count is not forgotten wholly, for else a guesser would sign in as themselves between guesses.
    """
    if wholly is not None:
        await session.execute(delete(Attempts).where(Attempts.bucket == wholly.bucket))
    for limit in once:
        await session.execute(
            update(Attempts).where(Attempts.bucket == limit.bucket, Attempts.tries > 0).values(tries=Attempts.tries - 1)
        )


async def forget_old_attempts(session: AsyncSession, now: datetime) -> None:
    """Delete what no limit looks back to."""
    await session.execute(delete(Attempts).where(Attempts.since < now - _KEPT))
