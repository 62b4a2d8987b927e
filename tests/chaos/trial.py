"""A whole trial: a system of its own, a run on it, and the verdict; what a reader needs to understand it stays."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from embedded.postgres_files import REFUGE
from tests.chaos.checker import Report, check
from tests.chaos.client import open_http
from tests.chaos.journal import History, open_journal, read_journal
from tests.chaos.reading import Reading, looking, read_api, read_tables, read_workflows
from tests.chaos.run import Plan, journal_file, run
from tests.chaos.system import System, running
from tests.support import drain
from workflows.connection import connect


def attempt(plan: Plan, folder: Path, *, refuge: Path = REFUGE, say: Callable[[str], None] = lambda _: None) -> Report:
    """Run the plan in ``folder``, which holds journal and logs afterwards; the databases only if something is amiss."""
    with running(folder, refuge=refuge) as system:
        say(f"Up. Journal and logs: {folder}")
        with open_journal(journal_file(folder)) as journal:
            asyncio.run(run(plan, system, journal, say=say))
        history = read_journal(journal_file(folder))
        say("Quiet. Reading everything back.")
        reading = asyncio.run(read(system, history))
    report = check(history, reading)
    if not report.findings:
        system.forget()
    return report


async def read(system: System, history: History) -> Reading:
    """All there is: tables, workflows, and the API's answers."""
    async with looking(system.settings) as session:
        tables = await read_tables(session)
    temporal = await connect(system.settings)
    async with open_http(system.url) as http:
        reading = Reading(tables, await read_workflows(temporal, history, tables), await read_api(http, history))
    await drain()
    return reading


def new_folder() -> Path:
    """A private folder that the user Postgres runs as may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="baton-chaos-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder


def forget(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
