"""Connections to Postgres."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from db.audit import AuditedSession
from db.walls import ROLE, build_wall
from settings import Settings

Sessions = async_sessionmaker[AsyncSession]


def make_application_engine(settings: Settings) -> AsyncEngine:
    """What API and worker connect by: sees the rows of the organization they work for (``db.walls``), no others."""
    return _walled(_make_engine(settings, options=f" -c role={ROLE}"))


def make_reading_engine(settings: Settings) -> AsyncEngine:
    """The same, for reading: each statement stands for itself, which needs no transaction and no round trips for one.

    A pool of its own. A connection that were switched between both ways at each use would be lost to the pool where
    the use is cancelled in that instant: SQLAlchemy has taken it out by then and does not yet answer for it.
    """
    return _walled(
        _make_engine(settings, options=f" -c role={ROLE}", isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True)
    )


def make_engine(settings: Settings) -> AsyncEngine:
    """For what looks after all organizations (repair, benchmarks): sees what the user of the address may see."""
    return _make_engine(settings)


def _walled(engine: AsyncEngine) -> AsyncEngine:
    build_wall(engine)
    return engine


def _make_engine(settings: Settings, options: str = "", **choices: Any) -> AsyncEngine:
    """A pool of connections that give up in time: an outage becomes an error, never a hang."""
    seconds = settings.database_timeout.total_seconds()
    return create_async_engine(
        settings.database_url,
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=seconds,
        # A connection that died in an outage is noticed by its first use, and by TCP when the peer is gone.
        pool_pre_ping=False,
        pool_recycle=1800,
        hide_parameters=True,  # errors are logged, and parameters hold customers' words
        connect_args={
            "connect_timeout": max(2, round(seconds)),
            "options": f"-c statement_timeout={round(seconds * 1000)} -c lock_timeout={round(seconds * 1000)}"
            # Reports look costly, and compiling one takes longer than it runs.
            f" -c idle_in_transaction_session_timeout=30000 -c jit=off{options}",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": round(seconds * 2000),
        },
        **choices,
    )


def make_reads(engine: AsyncEngine) -> Sessions:
    """Sessions on a reading engine."""
    return async_sessionmaker(engine, expire_on_commit=False)


def make_sessions(engine: AsyncEngine) -> Sessions:
    """Sessions whose objects stay readable after their transaction.

    Whoever only reads ends its transaction as well (``sessions.begin()``). What is left open is rolled back, and with
    each rollback psycopg forgets what it has prepared on that connection, for all who come after.
    """
    return async_sessionmaker(engine, expire_on_commit=False, sync_session_class=AuditedSession)
