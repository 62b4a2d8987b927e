"""Runs migrations, one process at a time, and never waits long for a lock that traffic holds."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from db.models import Table
from settings import DatabaseSettings

# Any number that nothing else in this database locks by.
_MIGRATION_LOCK = 7_264_011


def _url() -> str:
    configured = context.config.get_main_option("sqlalchemy.url")
    return configured or DatabaseSettings().database_url


def run() -> None:
    """Migrate; a second process waits for the first and then finds nothing to do."""
    engine = create_engine(_url(), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Table.metadata, compare_server_default=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": _MIGRATION_LOCK})
        connection.commit()
    engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Migrations need a database; set BATON_DATABASE_URL.")
run()
