from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from embedded.process import EmbeddedError
from embedded.schema import migrate, refusals


def execute(url: str, statement: str, **values: str) -> None:
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(statement), values)


def test_migrating_again_changes_nothing(new_database: Callable[[], str]) -> None:
    url = new_database()
    execute(url, "INSERT INTO organizations VALUES (gen_random_uuid(), 'Kept', '3d', '30d')")
    migrate(url)
    execute(url, "SELECT 1 / count(*) FROM organizations")


def test_a_database_of_a_newer_baton_is_refused_with_a_way_out(new_database: Callable[[], str]) -> None:
    url = new_database()
    execute(url, "UPDATE alembic_version SET version_num = 'of_next_year'")
    with pytest.raises(EmbeddedError, match=r"of_next_year.*newer Baton"):
        migrate(url)


def test_what_the_database_refuses_is_told_without_the_values(postgres_url: str) -> None:
    with pytest.raises(EmbeddedError, match="no_such_table") as caught, refusals():
        execute(postgres_url, "SELECT * FROM no_such_table WHERE key = :key", key="a secret")
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert "a secret" not in str(caught.value)
