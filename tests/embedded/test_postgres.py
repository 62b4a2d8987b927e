import os
import shutil
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from embedded.ports import LOOPBACK, free_port
from embedded.postgres import EmbeddedPostgres, new_password
from embedded.postgres_files import PACKAGE, account_for, programs
from embedded.process import EmbeddedError

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for Postgres")


def private(folder: Path) -> Path:
    """A folder nobody else can look into, as a user's home is."""
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return private(tmp_path / "home")


@pytest.fixture
def fresh(home: Path, refuge: Path) -> Iterator[EmbeddedPostgres]:
    """One that has never run; its first start makes its data, which takes a second."""
    server = make(home, refuge)
    yield server
    server.destroy()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, refuge: Path) -> Iterator[EmbeddedPostgres]:
    server = make(private(tmp_path_factory.mktemp("shared") / "home"), refuge)
    yield server
    server.destroy()


@pytest.fixture
def server(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """One that runs, and will for the next test whatever becomes of it in this one, as long as its data stays good."""
    if shared.pid is None or shared.poll() is not None:
        up(shared)
    return shared


def make(home: Path, refuge: Path, password: str | None = None) -> EmbeddedPostgres:
    return EmbeddedPostgres(
        home / "postgres",
        free_port(),
        password=password or new_password(),
        log=home / "postgres.log",
        durable=False,
        refuge=refuge,
    )


def up(server: EmbeddedPostgres) -> None:
    server.start()
    server.wait_ready()


def query(server: EmbeddedPostgres, text: str) -> object:
    with psycopg.connect(server.dsn) as connection:
        row = connection.execute(text.encode()).fetchone()
        return row[0] if row else None


def test_data_is_kept_across_a_restart(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert server.stop()
    up(server)
    assert query(server, "SELECT answer FROM kept") == 42


def test_data_is_safe_from_power_cuts_unless_a_test_asks_otherwise(home: Path, refuge: Path) -> None:
    server = EmbeddedPostgres(
        home / "postgres", free_port(), password=new_password(), log=home / "postgres.log", refuge=refuge
    )
    try:
        up(server)
        assert [query(server, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == [
            "on",
            "on",
            "on",
        ]
    finally:
        server.destroy()


def test_only_this_machine_gets_in_and_only_with_the_password(server: EmbeddedPostgres) -> None:
    listening = {c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {LOOPBACK}
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn, password="guessed").close()


@as_root
def test_root_keeps_every_existing_folder_as_it_is(fresh: EmbeddedPostgres, home: Path) -> None:
    folders = [home, *home.parents]
    before = [(folder.stat().st_mode, folder.stat().st_uid) for folder in folders]
    up(fresh)
    assert [(folder.stat().st_mode, folder.stat().st_uid) for folder in folders] == before
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert psutil.Process(fresh.pid).uids().effective != 0
    # The data is behind a link, in a folder only Postgres' own user can open.
    assert fresh.folder.is_symlink()
    assert stat.S_IMODE(fresh.folder.stat().st_mode) == 0o700
    assert fresh.folder.stat().st_uid == psutil.Process(fresh.pid).uids().effective


@as_root
def test_root_keeps_data_in_place_where_its_user_can_reach_it(refuge: Path) -> None:
    home = refuge / "open"
    home.mkdir(mode=0o711)
    server = make(home, refuge)
    try:
        up(server)
        assert not server.folder.is_symlink()
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    finally:
        server.destroy()


@as_root
def test_root_copies_programs_its_user_cannot_reach(
    home: Path, tmp_path: Path, refuge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    account = account_for(home / "postgres")
    installed = programs(None).parent.parent
    for name in (PACKAGE, f"{PACKAGE}.libs"):
        if installed.with_name(name).exists():
            (private / name).symlink_to(installed.with_name(name))
    monkeypatch.syspath_prepend(private)
    copied = programs(account, refuge)
    assert copied.is_relative_to(refuge)
    assert programs(account, refuge) == copied  # the copy is used again
    assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_a_crashed_server_starts_again(server: EmbeddedPostgres) -> None:
    server.kill()
    up(server)
    assert query(server, "SELECT 1") == 1


def test_a_stale_pid_file_with_a_living_number_is_no_obstacle(server: EmbeddedPostgres) -> None:
    pid_file = server.folder.resolve() / "cluster" / "postmaster.pid"
    left_behind = pid_file.read_text().splitlines()
    server.stop()
    pid_file.write_text("\n".join([str(os.getpid()), *left_behind[1:]]) + "\n")
    up(server)
    assert query(server, "SELECT 1") == 1


def test_a_second_server_on_the_same_data_is_refused(
    server: EmbeddedPostgres, refuge: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded.postgres.LEAVING", 0.1)
    with pytest.raises(EmbeddedError, match=rf"process {server.pid}.*kill -INT {server.pid}"):
        make(server.folder.parent, refuge).start()
    assert query(server, "SELECT 1") == 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("global/pg_control", None, "lacks global/pg_control"),  # seen before Postgres is started
        ("PG_VERSION", "17\n", "not compatible with this version"),  # Postgres says so itself
        ("global/pg_control", "damaged", "FATAL|PANIC"),
    ],
)
def test_damaged_data_is_explained_with_a_way_out(
    server: EmbeddedPostgres, name: str, content: str | None, says: str
) -> None:
    server.stop()
    file = server.folder.resolve() / "cluster" / name
    whole = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    try:
        with pytest.raises(EmbeddedError, match=says) as caught:
            up(server)
    finally:
        restored(file, whole)
    assert f"mv {server.folder} {server.folder}.damaged" in str(caught.value)


def restored(file: Path, whole: bytes) -> None:
    """The file as it was, and of whose it was, which as root is not us."""
    file.write_bytes(whole)
    owner = file.parent.stat()
    os.chown(file, owner.st_uid, owner.st_gid)
    file.chmod(0o600)


def test_moving_damaged_data_away_gives_an_empty_database(fresh: EmbeddedPostgres, home: Path) -> None:
    up(fresh)
    with psycopg.connect(fresh.dsn) as connection:
        connection.execute("CREATE TABLE old AS SELECT 1")
    fresh.stop()
    moved = home / "postgres.damaged"
    real = fresh.folder.resolve()
    fresh.folder.rename(moved)
    try:
        up(fresh)
        assert query(fresh, "SELECT to_regclass('old')") is None
    finally:
        shutil.rmtree(real, ignore_errors=True)


def test_half_made_data_is_made_anew(fresh: EmbeddedPostgres) -> None:
    up(fresh)
    fresh.stop()
    cluster = fresh.folder.resolve() / "cluster"
    cluster.rename(cluster.with_name("cluster.unfinished"))  # as a kill during initdb leaves it
    up(fresh)
    assert query(fresh, "SELECT 1") == 1


def test_a_lost_password_is_explained(server: EmbeddedPostgres, refuge: Path) -> None:
    server.stop()
    other = make(server.folder.parent, refuge, new_password())
    try:
        with pytest.raises(EmbeddedError, match="lets nobody in"):
            up(other)
    finally:
        other.stop()


def test_a_taken_port_is_named_with_its_holder_and_the_variable(fresh: EmbeddedPostgres) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        fresh.port = other.getsockname()[1]
        with pytest.raises(EmbeddedError) as caught:
            fresh.start()
    message = str(caught.value)
    assert f"Port {fresh.port}" in message
    assert f"process {os.getpid()}" in message
    assert "BATON_EMBEDDED_POSTGRES_PORT=" in message


def test_it_ends_when_asked_while_a_session_is_open(server: EmbeddedPostgres) -> None:
    session = psycopg.connect(server.dsn)
    assert server.stop(timeout=5)
    session.close()
    assert server.poll() == 0
