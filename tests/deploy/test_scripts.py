"""The scripts that prepare a cluster, run on the real servers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from embedded.postgres import EmbeddedPostgres
from embedded.postgres_files import programs
from embedded.temporal import RETENTION, EmbeddedTemporal, temporal_program
from settings import Settings
from tests.deploy.compose import CHECKOUT
from workflows.registration import WANTED

APPLICATION = "application"
OWN = {APPLICATION: {APPLICATION}, "temporal": {"temporal", "temporal_visibility"}}
"""Each user's databases."""


def run(script: str | Path, *arguments: str, **environment: str) -> str:
    """What the script says; fails where it does not end well."""
    path = environment.pop("PATH", "") + os.pathsep + os.environ["PATH"]
    done = subprocess.run(
        [CHECKOUT / script, *arguments],
        env={"PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of secrets, as the script makes it."""
    deploy = tmp_path_factory.mktemp("deploy")
    script = deploy / "make-secrets.sh"
    script.write_text((CHECKOUT / "deploy/make-secrets.sh").read_text())
    script.chmod(0o755)
    assert run(script).count("made deploy/secrets/") == 8
    return deploy / "secrets"


def test_secrets_can_be_used_as_they_are_made(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_SECRETS_DIR", str(secrets))
    settings = Settings()
    assert len(settings.encryption_keys) == 1
    assert settings.codec_token != settings.operator_key
    assert make_url(settings.database_url).password == (secrets / "baton_database_password").read_text().strip()


def test_secrets_are_made_once_and_only_their_folder_keeps_them_private(secrets: Path) -> None:
    before = {file.name: file.read_text() for file in secrets.iterdir()}
    assert run(secrets.parent / "make-secrets.sh") == ""
    assert {file.name: file.read_text() for file in secrets.iterdir()} == before
    assert secrets.stat().st_mode & 0o077 == 0
    assert {file.stat().st_mode & 0o777 for file in secrets.iterdir()} == {0o444}  # containers run as other users


@pytest.fixture(scope="module")
def databases(postgres: EmbeddedPostgres, secrets: Path) -> Iterator[None]:
    """What Postgres' image does with an empty volume; undone, for the server is the whole session's.

    That server's superuser is called baton, so here the application's user and database are called otherwise.
    """
    script = secrets.parent / "databases.sh"
    script.write_text(re.sub(r"\bbaton\b", APPLICATION, (CHECKOUT / "deploy/postgres/databases.sh").read_text()))
    script.chmod(0o755)
    url = make_url(postgres.url)
    assert url.username
    assert url.password
    assert url.database
    run(
        script,
        PATH=str(programs(account=None)),
        SECRETS_DIR=str(secrets),
        POSTGRES_USER=url.username,
        POSTGRES_DB=url.database,
        PGHOST=str(url.host),
        PGPORT=str(url.port),
        PGPASSWORD=str(url.password),
    )
    yield
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:
        for names in OWN.values():
            for name in names:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.execute(f"DROP ROLE baton_app, {', '.join(OWN)}")


def address(postgres: EmbeddedPostgres, user: str, database: str, secrets: Path) -> str:
    file = "temporal_database_password" if user == "temporal" else "baton_database_password"
    password = (secrets / file).read_text().strip()
    url = make_url(postgres.url).set(drivername="postgresql", username=user, password=password, database=database)
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("database", [APPLICATION, "temporal", "temporal_visibility"])
@pytest.mark.parametrize("user", OWN)
def test_each_user_opens_its_own_databases_only(
    databases: None, postgres: EmbeddedPostgres, secrets: Path, user: str, database: str
) -> None:
    where = address(postgres, user, database, secrets)
    if database not in OWN[user]:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(where)
        return
    with psycopg.connect(where) as connection:
        connection.execute("CREATE TABLE own (id int)")
        connection.execute("CREATE EXTENSION btree_gin")  # which Temporal's schema asks for
        connection.rollback()


def test_api_and_worker_sign_in_as_a_user_who_owns_nothing(
    databases: None, postgres: EmbeddedPostgres, secrets: Path
) -> None:
    password = (secrets / "baton_app_database_password").read_text().strip()
    url = make_url(postgres.url).set(drivername="postgresql", username="baton_app", password=password)
    where = url.set(database=APPLICATION).render_as_string(hide_password=False)
    with psycopg.connect(where, options="-c role=baton_application") as connection:
        found = connection.execute(
            "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb, pg_has_role(rolname, %s, 'MEMBER')"
            " FROM pg_roles WHERE rolname = ANY(%s)",
            [APPLICATION, ["baton_app", "baton_application"]],
        ).fetchall()
        assert found == [(False, False)] * 2
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(url.set(database="temporal").render_as_string(hide_password=False))


def test_migrations_run_with_the_password_from_a_file(
    databases: None, postgres: EmbeddedPostgres, secrets: Path
) -> None:
    where = make_url(postgres.url)
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=CHECKOUT,
        env={
            "BATON_DATABASE_URL": f"postgresql://{APPLICATION}@{where.host}:{where.port}/{APPLICATION}",
            "BATON_SECRETS_DIR": str(secrets),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with psycopg.connect(address(postgres, APPLICATION, APPLICATION, secrets)) as connection:
        assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (0,)
        # Without a superuser: what the migration could not make, the script has made.
        assert connection.execute("SELECT pg_has_role(current_user, 'baton_application', 'SET')").fetchone() == (True,)
        leakproof = "SELECT bool_and(proleakproof) FROM pg_proc WHERE proname IN ('ts_match_vq', 'arraycontains')"
        assert connection.execute(leakproof).fetchone() == (True,)


async def test_namespace_is_made_ready_for_tickets_however_often(
    temporal_server: EmbeddedTemporal, temporal_client: Client
) -> None:
    name = f"baton-{uuid4()}"
    environment = {
        "PATH": str(temporal_program().parent),
        "TEMPORAL_ADDRESS": temporal_server.address,
        "TEMPORAL_NAMESPACE": name,
    }
    for retention in ({"RETENTION": "30d"}, {}):
        assert "is ready" in run("deploy/temporal/namespace.sh", **environment, **retention)
    description = await temporal_client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=name))
    assert description.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION

    client = await Client.connect(temporal_server.address, namespace=name)
    listing = ListSearchAttributesRequest(namespace=name)
    known = (await client.operator_service.list_search_attributes(listing)).custom_attributes
    assert {name: int(kind) for name, kind in WANTED.items()}.items() <= dict(known).items()
