import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedded import process
from embedded.process import LAUNCHER, Child
from tests.support import eventually_sync

SHELL = "/bin/sh"
STUBBORN = "trap '' TERM; sleep 600 & echo up $!; wait; wait"  # no signal but SIGKILL ends it, or its child


@pytest.fixture
def make_child(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def make(script: str, **options: Any) -> Child:
        children.append(Child([SHELL, "-c", script], tmp_path / "logs" / "child.log", **options))
        children[-1].start()
        return children[-1]

    yield make
    for child in children:
        child.kill()


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_stopping_lets_it_finish(make_child: Callable[..., Child]) -> None:
    child = make_child("trap 'echo finished; exit 3' TERM; echo up; while :; do sleep 0.01; done")
    eventually_sync(child.log_tail)
    assert child.running
    assert child.stop(timeout=5)
    assert child.poll() == 3
    assert child.log_tail() == "up\nfinished"
    assert child.stop(timeout=0)  # safe to repeat


def test_one_that_does_not_stop_is_killed_with_its_own_children(make_child: Callable[..., Child]) -> None:
    child = make_child(STUBBORN)
    grandchild = int(eventually_sync(child.log_tail).split()[1])
    assert not child.stop(timeout=0.05)
    assert child.poll() == -signal.SIGKILL
    eventually_sync(lambda: not alive(grandchild))


def test_a_terminal_cannot_interrupt_it_directly(make_child: Callable[..., Child]) -> None:
    child = make_child("sleep 600")
    assert child.pid is not None
    assert os.getpgid(child.pid) == os.getsid(child.pid) == child.pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from embedded.process import Child;"
        f"child = Child(['{SHELL}', '-c', 'sleep 600'], Path({str(tmp_path / 'log')!r})); child.start();"
        "print(child.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    eventually_sync(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_does_not_run_when_the_parent_died_first(tmp_path: Path) -> None:
    made = tmp_path / "made"
    not_our_parent, death_signal, keep_the_user = "1", "9", "-1"
    command = [sys.executable, "-I", "-S", str(LAUNCHER), not_our_parent, death_signal, keep_the_user, keep_the_user]
    assert subprocess.run([*command, "/bin/touch", made], check=False).returncode == -signal.SIGKILL
    assert not made.exists()


def test_a_missing_program_is_said_in_its_log(tmp_path: Path) -> None:
    child = Child([tmp_path / "missing"], tmp_path / "log")
    child.start()
    assert eventually_sync(child.poll) == 127
    assert child.log_tail() == f"cannot run {tmp_path / 'missing'}: No such file or directory"


def test_its_log_is_private_and_goes_on_after_a_restart(make_child: Callable[..., Child]) -> None:
    first = make_child("echo one")
    eventually_sync(first.log_tail)
    second = make_child("echo two")
    eventually_sync(lambda: second.log.read_text() == "one\ntwo\n")
    assert second.log_tail() == "two"  # of this run
    assert stat.S_IMODE(first.log.stat().st_mode) == 0o600
    assert stat.S_IMODE(first.log.parent.stat().st_mode) == 0o700


def test_a_long_log_starts_anew_and_keeps_the_old_one(
    make_child: Callable[..., Child], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 5)
    first = make_child("echo a long line")
    eventually_sync(first.log_tail)
    second = make_child("echo new")
    eventually_sync(lambda: second.log.read_text() == "new\n")
    assert second.log.with_name("child.log.1").read_text() == "a long line\n"


def test_a_signal_during_the_start_is_not_lost_and_no_child_is(
    make_child: Callable[..., Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started = real(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return started

    child = Child([SHELL, "-c", "sleep 600"], tmp_path / "log")
    monkeypatch.setattr("embedded.process.subprocess.Popen", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            child.start()
    finally:
        signal.signal(signal.SIGINT, before)
    assert child.running
    child.kill()
    assert not child.running
