"""A whole trial: a system of its own, a run on it, and the verdict; what a reader needs to understand it stays."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from embedded.postgres_files import REFUGE
from settings import Settings
from tests.chaos.checker import check
from tests.chaos.client import open_http
from tests.chaos.journal import History, open_journal, read_journal
from tests.chaos.reading import Reading, Tables, looking, read_api, read_escalations, read_tables, read_workflows
from tests.chaos.report import Report
from tests.chaos.run import Plan, journal_file, run
from tests.chaos.system import running
from tests.support import drain
from workflows.connection import connect


async def attempt(
    plan: Plan, folder: Path, *, refuge: Path = REFUGE, say: Callable[[str], None] = lambda _: None
) -> Report:
    """Run the plan in ``folder``, which keeps journal, logs and what was read of the tables, but not the databases.

    Call it from the main thread: the system's processes end with the thread that starts them.
    """
    with running(folder, refuge=refuge) as system:
        say(f"Up. Journal and logs: {folder}")
        with open_journal(journal_file(folder)) as journal:
            await run(plan, system, journal, say=say)
        say("All is quiet. Reading everything back.")
        history = read_journal(journal_file(folder))
        reading = await read(system.settings, system.url, history)
    system.forget()
    _keep(reading.tables, folder / "tables")
    return check(history, reading)


async def read(settings: Settings, url: str, history: History) -> Reading:
    """All there is: tables, workflows, and the API's answers."""
    async with looking(settings) as session:
        tables = await read_tables(session)
    temporal = await connect(settings)
    async with open_http(url) as http:
        reading = Reading(
            tables,
            await read_workflows(temporal, history, tables),
            await read_api(http, history),
            await read_escalations(temporal, tables),
        )
    await drain()
    return reading


def _keep(tables: Tables, folder: Path) -> None:
    """One file a table, one row a line: for whoever looks into a finding, long after the database is gone."""
    folder.mkdir(mode=0o700)
    for name in (
        *("tickets", "events", "messages", "notes", "notifications"),
        *("conversations", "escalations", "changes", "reasons", "escalation_notes", "deliveries"),
    ):
        lines = (json.dumps(row, default=str) + "\n" for row in getattr(tables, name))
        (folder / f"{name}.jsonl").write_text("".join(lines))


def new_folder() -> Path:
    """A private folder that the user Postgres runs as may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


def forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
