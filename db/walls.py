"""The second wall between organizations: Postgres shows a connection the rows of one organization and no others.

Every table that has organizations' rows has a policy (``migrations/walls.py``) which asks the connection's setting
``baton.organization``. A connection is told for whom it works when a session takes it out of the pool; one that works
for the same organization as the time before is not told again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import await_only

ROLE = "baton_application"
"""The role API and worker work as: it owns nothing, and policies hold for it."""

_NOBODY = ""
_EVERYBODY = "*"
_works_for: ContextVar[str | None] = ContextVar("organization", default=_NOBODY)
_TOLD = "baton.organization"
_TELL = "SELECT set_config('baton.organization', %s, false)"


def enter(organization_id: UUID) -> None:
    """Work for the organization until this task ends; a connection that is in use already stays as it is."""
    _works_for.set(str(organization_id))


@contextmanager
def within(organization_id: UUID) -> Iterator[None]:
    """Work for the organization in this block."""
    with _working_for(str(organization_id)):
        yield


@contextmanager
def every_organization() -> Iterator[None]:
    """See the rows of all: for what has to find out first whose something is.

    Nothing but the queries' own filters keeps organizations apart in such a block, so ``tests/unit/test_walls.py``
    lists who may have one.
    """
    with _working_for(_EVERYBODY):
        yield


@contextmanager
def whichever_organization() -> Iterator[None]:
    """Take connections as they come: for statements on no organization's rows, which need not tell a connection."""
    with _working_for(None):
        yield


@contextmanager
def _working_for(whom: str | None) -> Iterator[None]:
    token = _works_for.set(whom)
    try:
        yield
    finally:
        _works_for.reset(token)


def build_wall(engine: AsyncEngine) -> None:
    """Have each connection told for whom it works, as it leaves the pool.

    Outside of any transaction, so that nothing that is rolled back later takes it back: what ``record`` remembers is
    what the connection has.
    """

    @event.listens_for(engine.sync_engine, "checkout")
    def tell(connection: Any, record: Any, _: Any) -> None:
        whom = _works_for.get()
        if whom is None or record.info.get(_TOLD) == whom:
            return
        record.info.pop(_TOLD, None)
        try:
            await_only(_tell(connection.driver_connection, whom))
        except psycopg.OperationalError as error:  # it died in the pool: the pool tries another
            raise DisconnectionError from error
        record.info[_TOLD] = whom


async def _tell(connection: psycopg.AsyncConnection[Any], whom: str) -> None:
    in_transactions = not connection.autocommit
    if in_transactions:
        await connection.set_autocommit(True)
    await connection.execute(_TELL, [whom])
    if in_transactions:
        await connection.set_autocommit(False)
