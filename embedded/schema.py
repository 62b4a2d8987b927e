"""The tables of the read model, brought to the newest schema."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from embedded.process import EmbeddedError

CHECKOUT = Path(__file__).resolve().parent.parent


def migrate(database_url: str) -> None:
    """Bring the database to the newest schema. Safe to repeat and to run twice at once.

    Raises :class:`EmbeddedError` where the database is newer than this checkout, and SQLAlchemy's own errors.
    """
    config = Config(CHECKOUT / "alembic.ini")
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise EmbeddedError(
            f"The database does not fit this checkout: {error}. Most likely a newer Baton wrote it; "
            "update the checkout, then: make run"
        ) from error


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the database refuses into an :class:`EmbeddedError`, which leaves out the statement and its values."""
    try:
        yield
    except DBAPIError as error:
        raise EmbeddedError(f"The database could not be prepared: {error.orig}") from error
