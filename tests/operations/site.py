"""A Baton whose two stores can be saved and brought back with the tools that operators use."""

import sqlite3
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import psycopg
from psycopg import sql
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import make_engine, make_sessions
from embedded.postgres import EmbeddedPostgres
from embedded.postgres_files import programs
from embedded.temporal import EmbeddedTemporal
from repair.__main__ import run
from settings import Settings
from tests.support import eventually
from tests.workflows.office import Office
from worker import make_worker
from workflows.connection import connect


@dataclass
class Site:
    """One organization on a Temporal and a database of its own; the worker runs unless a store is being replaced."""

    postgres: EmbeddedPostgres
    temporal: EmbeddedTemporal
    settings: Settings
    office: Office
    folder: Path
    engine: AsyncEngine
    _worker: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def work(self) -> None:
        """Start the worker."""
        await self._worker.enter_async_context(make_worker(self.office.client, self.settings, self.office.sessions))
        await eventually(lambda: self.temporal.has_worker(self.settings.temporal_task_queue))

    async def rest(self) -> None:
        """Stop the worker."""
        await self._worker.aclose()

    @property
    def database(self) -> str:
        return self.settings.psycopg_url.rpartition("/")[2]

    def save_postgres(self) -> None:
        self._tool("pg_dump", "--format=custom", f"--file={self.folder / 'baton.dump'}", self.settings.psycopg_url)

    async def restore_postgres(self) -> None:
        """As it was saved, while nothing works."""
        await self.rest()
        await (
            self.engine.dispose()
        )  # dropping the database ends its connections, and the next user of one would be told
        with psycopg.connect(self.postgres.dsn, autocommit=True) as admin:
            name = sql.Identifier(self.database)
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        self._tool("pg_restore", f"--dbname={self.settings.psycopg_url}", str(self.folder / "baton.dump"))
        await self.work()

    def save_temporal(self) -> None:
        """A copy by SQLite itself, for the file alone lacks what is in its log."""
        with (
            closing(sqlite3.connect(self._file)) as live,
            closing(sqlite3.connect(self.folder / "temporal.copy")) as to,
        ):
            live.backup(to)

    async def restore_temporal(self) -> None:
        """As it was saved, or empty if it never was; while nothing works."""
        await self.rest()
        self.temporal.stop()
        for part in self._file.parent.glob("temporal.db*"):
            part.unlink()
        if self._copy.exists():
            self._file.write_bytes(self._copy.read_bytes())
        self.temporal.start()
        self.temporal.wait_ready()
        await self.work()

    async def repair(self, *arguments: str) -> "Printed":
        """``python -m repair``."""
        out = StringIO()
        code = await run(
            self.settings, list(arguments), Console(file=out, soft_wrap=True, markup=False, highlight=False)
        )
        return Printed(code, out.getvalue())

    @property
    def _file(self) -> Path:
        assert self.temporal.folder is not None
        return self.temporal.folder / "temporal.db"

    @property
    def _copy(self) -> Path:
        return self.folder / "temporal.copy"

    def _tool(self, name: str, *arguments: str) -> None:
        done = subprocess.run([programs(None) / name, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Printed:
    """What a command said, and its exit code."""

    code: int
    text: str

    def finding(self, ticket_id: object) -> str | None:
        """What it found of a ticket that it has something to say of."""
        return next((line.split()[0] for line in self.text.splitlines() if str(ticket_id) in line), None)


@asynccontextmanager
async def site(
    postgres: EmbeddedPostgres, temporal: EmbeddedTemporal, settings: Settings, folder: Path
) -> AsyncIterator[Site]:
    """Such a Baton, with a worker."""
    engine = make_engine(settings)
    it = Site(
        postgres, temporal, settings, Office(await connect(settings), settings, make_sessions(engine)), folder, engine
    )
    try:
        await it.work()
        yield it
    finally:
        await it.rest()
        await engine.dispose()
