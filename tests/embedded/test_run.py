"""The whole stack, started by its one command."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from embedded.home import API_PORT_VARIABLE
from embedded.ports import LOOPBACK
from tests.embedded.runs import Site
from tests.support import eventually_sync

CURL = shutil.which("curl")
Folders = dict[Path, tuple[int, int]]


@dataclass
class FirstDay:
    """What was seen from the first start to the first Ctrl-C."""

    created: dict[str, Any]
    reminder_due_at: datetime
    second_start: str
    said: str
    exit_code: int
    left_behind: list[dict[str, Any]]


@dataclass
class SecondDay:
    """What was seen from the next start until its process was killed."""

    began_at: datetime
    up_at: datetime
    said: str
    pasted: subprocess.CompletedProcess[bytes] | None
    story: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    timers: list[dict[str, Any]]
    left_behind: list[dict[str, Any]]


def ladder(starting: float) -> dict[str, Any]:
    """Reminds when all is down; that takes less than a third of the seconds that starting did."""
    first = {"after": f"PT{max(3, starting / 3):.0f}S", "action": "remind"}
    return {"name": "Quick", "is_default": True, "steps": [first, {"after": "P7D", "action": "resolve"}]}


def command(said: str) -> str:
    """The printed command, without the address."""
    return said[said.index("/api/v1/tickets") :].split("\n\n", maxsplit=1)[0]


def on_the_way_to(home: Path) -> Folders:
    """Mode and owner of every folder above."""
    return {folder: (folder.stat().st_mode, folder.stat().st_uid) for folder in home.parents}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, refuge: Path) -> Site:
    """In a folder nobody else can look into, as a user's home is."""
    private = tmp_path_factory.mktemp("private")
    private.chmod(0o700)
    return Site(private / "baton", refuge)


@pytest.fixture(scope="module")
def folders_before(site: Site) -> Folders:
    return on_the_way_to(site.home)


@pytest.fixture(scope="module")
def first_day(site: Site, folders_before: Folders) -> Iterator[FirstDay]:
    began = time.monotonic()
    run = site.start()
    try:
        run.wait_up()
        starting = time.monotonic() - began
        second_start = site.refused()
        with run.api() as api:
            answer = api.send(run.request())
            assert answer.status_code == 201, answer.text
            created = answer.json()
            api.post("reminder-ladders", json=ladder(starting)).raise_for_status()
            waits = api.post(f"tickets/{created['id']}/status", json={"to": "waiting"}).raise_for_status().json()
        exit_code = run.interrupt()
        yield FirstDay(
            created=created,
            reminder_due_at=datetime.fromisoformat(waits["timers"][0]["due_at"]),
            second_start=second_start,
            said=run.said,
            exit_code=exit_code,
            left_behind=run.left_behind(),
        )
    finally:
        run.end()


@pytest.fixture(scope="module")
def second_day(site: Site, first_day: FirstDay) -> SecondDay:
    eventually_sync(lambda: datetime.now(UTC) > first_day.reminder_due_at, timeout=120)
    began_at = datetime.now(UTC)
    ticket = f"tickets/{first_day.created['id']}"
    run = site.start()
    try:
        run.wait_up()
        up_at = datetime.now(UTC)
        pasted = subprocess.run(["/bin/sh", "-c", run.pasted], capture_output=True, check=True) if CURL else None
        with run.api() as api:
            eventually_sync(lambda: "reminder_sent" in api.get(f"{ticket}/events").text, timeout=30)
            timers = api.get(f"{ticket}/timers").json()["timers"]  # asks the workflow, and so comes after what it did
            story = api.get(f"{ticket}/events").json()["items"]
            messages = api.get(f"{ticket}/messages").json()["items"]
    finally:
        run.end()
    return SecondDay(began_at, up_at, run.said, pasted, story, messages, timers, run.left_behind())


def test_the_printed_command_makes_a_first_ticket(first_day: FirstDay) -> None:
    assert first_day.created["number"] == 1
    assert first_day.created["status"] == "open"


def test_ctrl_c_stops_everything_in_peace(first_day: FirstDay) -> None:
    assert first_day.exit_code == 0
    assert first_day.left_behind == []
    assert first_day.said.endswith("Stopping.\nStopped.\n")  # and nothing had to be killed


def test_a_second_start_on_the_same_home_is_refused(site: Site, first_day: FirstDay) -> None:
    assert f"already running on {site.home}" in first_day.second_start


def test_private_folders_stay_private(site: Site, folders_before: Folders, first_day: FirstDay) -> None:
    assert on_the_way_to(site.home) == folders_before
    readable = [path for path in site.home.rglob("*") if path.lstat().st_mode & 0o077 and not path.is_symlink()]
    assert [path for path in readable if stat.S_IMODE(path.parent.stat().st_mode) & 0o077] == []


def test_nothing_is_traced_that_was_not_asked_for(site: Site, first_day: FirstDay) -> None:
    log = (site.home / "logs" / "api.log").read_text()
    assert "/api/v1/reminder-ladders" in log
    assert "trace_id" not in log


def test_the_next_start_prints_the_same_command(first_day: FirstDay, second_day: SecondDay) -> None:
    assert command(second_day.said) == command(first_day.said)


@pytest.mark.skipif(not CURL, reason="needs curl")
def test_the_same_command_finds_the_same_ticket(first_day: FirstDay, second_day: SecondDay) -> None:
    assert second_day.pasted is not None
    assert json.loads(second_day.pasted.stdout)["id"] == first_day.created["id"]


def test_a_timer_that_fell_due_while_all_was_down_fires_once_and_at_once(second_day: SecondDay) -> None:
    (sent_at,) = (datetime.fromisoformat(event["at"]) for event in second_day.story if event["kind"] == "reminder_sent")
    assert second_day.began_at < sent_at
    assert (sent_at - second_day.up_at).total_seconds() < 30  # the next timer is a week away
    assert [message["author_kind"] for message in second_day.messages] == ["system"]
    assert [timer["kind"] for timer in second_day.timers] == ["auto_resolve"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_even_a_killed_baton_leaves_no_process(second_day: SecondDay) -> None:
    assert second_day.left_behind == []


@pytest.mark.parametrize("when", ["while others come up", pytest.param("later", marks=pytest.mark.slow)])
def test_a_part_that_dies_brings_all_down_with_a_message(site: Site, second_day: SecondDay, when: str) -> None:
    run = site.start()
    try:
        # The worker is started once both stores have come up, which here had been killed with all the rest.
        (run.wait_up() if when == "later" else run.wait_begun("worker.py")).part("worker.py").kill()
        assert run.process.wait(timeout=120) == 1
        assert run.left_behind() == []
    finally:
        run.end()
    assert "Worker was ended by SIGKILL." in run.said
    assert str(site.home / "logs" / "worker.log") in run.said
    assert "make run" in run.said


@pytest.mark.parametrize(
    ("data", "damaged", "says"),
    [
        ("postgres", "cluster/global/pg_control", "FATAL|PANIC"),
        ("temporal", "temporal.db", "gone or no database"),
    ],
)
def test_damaged_data_is_explained_and_left_alone(
    site: Site, second_day: SecondDay, data: str, damaged: str, says: str
) -> None:
    folder = site.home / data
    whole = {file: file.read_bytes() for file in folder.glob(damaged)}
    rubbish = {file: b"rubbish " * (len(content) // 8) for file, content in whole.items()}
    before = sizes(folder)
    write(rubbish)
    try:
        said = site.refused()
        assert {file: file.read_bytes() for file in folder.glob(damaged)} == rubbish
        assert sizes(folder) == before
    finally:
        write(whole)
    assert re.search(says, said)
    assert f"mv {folder} {folder}.damaged" in said
    assert site.processes() == []


def sizes(folder: Path) -> dict[Path, int]:
    """Of all files but those that say who runs the database."""
    files = (path for path in folder.resolve().rglob("*") if path.is_file() and not path.name.startswith("postmaster."))
    return {file: file.stat().st_size for file in files}


def write(files: dict[Path, bytes]) -> None:
    for file, content in files.items():
        file.write_bytes(content)


def test_a_taken_port_is_named_before_anything_is_started(tmp_path: Path, refuge: Path) -> None:
    site = Site(tmp_path / "baton", refuge)
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        said = site.refused(**{API_PORT_VARIABLE: str(port)})
    assert f"Port {port}, which the API needs, is taken by" in said
    assert f"process {os.getpid()}" in said
    assert f"{API_PORT_VARIABLE}=" in said
    assert site.processes() == []
    assert not (site.home / "postgres").exists()


@pytest.mark.parametrize(("name", "value"), [("BATON_API_PORT", "eighty"), ("BATON_SECRET_KEY", "too-short")])
def test_an_unusable_setting_is_named_and_not_shown(tmp_path: Path, refuge: Path, name: str, value: str) -> None:
    said = Site(tmp_path / "baton", refuge).refused(**{name: value})
    assert f"\n{name}: " in said
    assert value not in said
    assert len(said.splitlines()) == 2
