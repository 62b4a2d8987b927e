"""Records a history of each kind of life: ``python -m tests.replay.record``, or of those that are named.

They replace those that were there; of the lives that are not named, all stay.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from temporalio.client import Client

from db.engine import make_engine, make_sessions
from embedded.ports import LOOPBACK, free_port
from embedded.postgres import EmbeddedPostgres, new_password
from embedded.schema import migrate
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.mailbox import mailbox
from tests.replay.lives import LIVES, MOMENT
from tests.support import drain
from tests.workflows.office import Office
from tests.workflows.skipped_clock import at_rest
from worker import make_worker
from workflows.payloads import data_converter

HISTORIES = Path(__file__).with_name("histories")
IDENTITY = "recorder"
"""Instead of the process and machine that a client names by itself."""


async def record(folder: Path, named: Sequence[str] = ()) -> list[str]:
    """Live every life, or those named, and keep their histories in ``folder``; the names of the files written."""
    written: list[str] = []
    async with _working() as new_office:
        for live in [each for each in LIVES if not named or each.__name__ in named]:
            for name, workflow_id in (await live(new_office())).items():
                written += await _keep(folder, name, new_office().client, workflow_id)
    return written


async def _keep(folder: Path, name: str, client: Client, workflow_id: str) -> list[str]:
    """Write the histories of all runs, the first run's first."""
    await at_rest(client.get_workflow_handle(workflow_id))
    latest_first = [run.run_id async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    names = [name] if len(latest_first) == 1 else [f"{name}-{number}" for number in range(1, len(latest_first) + 1)]
    for run_id, file in zip(reversed(latest_first), names, strict=True):
        history = await client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history()
        text = json.dumps(_without_traces(history.to_json_dict()), indent=1, ensure_ascii=False)
        (folder / f"{file}.json").write_text(f"{text}\n")
    return names


def _without_traces(document: Any) -> Any:
    """The same without stack traces, which tell of the machine and not of the life."""
    if isinstance(document, dict):
        return {name: _without_traces(each) for name, each in document.items() if name != "stackTrace"}
    return [_without_traces(each) for each in document] if isinstance(document, list) else document


@asynccontextmanager
async def _working() -> AsyncIterator[Callable[[], Office]]:
    """Makes organizations, not opened yet, on parts of their own."""
    async with mailbox() as box:
        with _parts() as (database_url, temporal_address):
            settings = Settings(
                database_url=database_url,
                temporal_address=temporal_address,
                secret_key=SecretStr("0" * 32),
                smtp_host=LOOPBACK,
                smtp_port=box.port,
                smtp_security="none",
                mail_gather=3 * MOMENT,
                webhook_private_addresses=True,
            )
            async with _office_of(settings) as new_office:
                yield new_office


@asynccontextmanager
async def _office_of(settings: Settings) -> AsyncIterator[Callable[[], Office]]:
    client = await Client.connect(settings.temporal_address, data_converter=data_converter, identity=IDENTITY)
    engine = make_engine(settings)
    sessions = make_sessions(engine)
    async with make_worker(client, settings, sessions):
        yield lambda: Office(client, settings, sessions)
    await engine.dispose()
    await drain()


@contextmanager
def _parts() -> Iterator[tuple[str, str]]:
    """Addresses of a Postgres and a Temporal that live as long as this."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="baton-record-")))
        folder.chmod(0o711)
        postgres = EmbeddedPostgres(
            folder / "postgres",
            free_port(),
            password=new_password(),
            log=folder / "postgres.log",
            durable=False,
            refuge=folder,
        )
        stack.callback(postgres.destroy)
        temporal = EmbeddedTemporal(None, free_port(), None, log=folder / "temporal.log")
        stack.callback(temporal.stop)
        postgres.start()
        temporal.start()
        postgres.wait_ready()
        temporal.wait_ready()
        migrate(postgres.url)
        yield postgres.url, temporal.address


def main() -> None:
    HISTORIES.mkdir(exist_ok=True)
    named = sys.argv[1:]
    before = set(HISTORIES.glob("*.json"))
    written = {HISTORIES / f"{name}.json" for name in asyncio.run(record(HISTORIES, named))}
    for file in before - written if not named else ():
        file.unlink()
    for file in sorted(written):
        print(f"{file.name}: {len(json.loads(file.read_text())['events'])} events")


if __name__ == "__main__":
    main()
