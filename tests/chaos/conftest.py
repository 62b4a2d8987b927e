"""A run that nobody disturbs, for tests of those who judge runs."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text
from temporalio.client import Client

from db.engine import make_engine, make_sessions
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import serving, settings_for, working
from tests.chaos.checker import check
from tests.chaos.evidence import Memory
from tests.chaos.journal import History, open_journal, read_journal
from tests.chaos.reading import Reading, Tables, read_tables
from tests.chaos.report import Report
from tests.chaos.run import Plan, Progress, journal_file, work
from tests.chaos.tenants import SHORT
from tests.chaos.trial import read

CALM_COMMANDS = 100


@dataclass(frozen=True)
class CalmRun:
    """What its clients noted, and what was read of it."""

    settings: Settings
    history: History
    reading: Reading
    memory: Memory = field(default_factory=Memory)

    def check(self, reading: Reading | None = None) -> Report:
        """The verdict on the run, or on what might have been read of it."""
        return check(self.history, reading or self.reading, self.memory)

    async def altered(self, *statements: str) -> Tables:
        """The tables as they would be read after the statements, which are taken back."""
        engine = make_engine(self.settings)
        try:
            async with make_sessions(engine)() as session:
                for statement in statements:
                    await session.execute(text(statement))
                tables = await read_tables(session)
                await session.rollback()
                return tables
        finally:
            await engine.dispose()


@pytest.fixture(scope="package")
async def calm_run(
    new_database: Callable[[], str],
    temporal_server: EmbeddedTemporal,
    temporal_client: Client,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[CalmRun]:
    """A hundred commands and their timers; it has been quiet since."""
    settings = settings_for(new_database(), temporal_server.address, history_limit=150, webhook_private_addresses=True)
    file = journal_file(tmp_path_factory.mktemp("calm"))
    plan = Plan(commands=CALM_COMMANDS, timers=30, seed=7, clients=2, talkers=1, worked_on=(SHORT, SHORT))

    async def not_at_all(_: Progress) -> None:
        """Disturb it."""

    async with working(temporal_client, settings), serving(settings) as http:
        with open_journal(file) as journal:
            await work(plan, http, settings, journal, not_at_all)
        history = read_journal(file)
        yield CalmRun(settings, history, await read(settings, str(http.base_url), history))
