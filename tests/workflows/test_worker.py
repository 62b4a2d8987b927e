import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import Settings
from tests.support import eventually_sync

ROOT = Path(__file__).parents[2]
WORKERS = 2


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[list[tuple[subprocess.Popen[bytes], Path]]]:
    """Several workers as they are run in production, with their logs."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BATON_")},
        "BATON_DATABASE_URL": settings.database_url,
        "BATON_TEMPORAL_ADDRESS": settings.temporal_address,
        "BATON_TEMPORAL_TASK_QUEUE": settings.temporal_task_queue,
        "BATON_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    started = []
    for number in range(WORKERS):
        log = tmp_path / f"worker-{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen([sys.executable, "worker.py"], stderr=output, env=environment, cwd=ROOT)
        started.append((process, log))
    yield started
    for process, _ in started:
        process.kill()
        process.wait()


def test_workers_told_to_stop_drain_and_exit_cleanly(workers: list[tuple[subprocess.Popen[bytes], Path]]) -> None:
    for _, log in workers:
        eventually_sync(lambda log=log: "worker_started" in log.read_text(), timeout=90)  # type: ignore[misc]
    for process, _ in workers:
        process.terminate()
    assert [process.wait(timeout=60) for process, _ in workers] == [0] * WORKERS
    for _, log in workers:
        assert "worker_stopped" in log.read_text()
