import io
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedded.parts import Program, Task
from embedded.process import STOPPING, EmbeddedError
from embedded.progress import Progress
from embedded.stack import Stack


class Bench:
    """Makes parts that write down when they start and stop, and runs them as a stack."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.diary = folder / "diary"
        self.said = io.StringIO()
        self.programs: list[Program] = []

    def program(
        self, name: str, *, on_stop: str = "exit 0", then: str = "", meanwhile: Callable[[], object] = lambda: None
    ) -> Program:
        """Ready once it runs; ``on_stop`` and ``then`` are shell, ``meanwhile`` runs as soon as it does."""
        diary = shlex.quote(str(self.diary))
        script = (
            f"trap 'echo stop {name} >>{diary}; {on_stop}' TERM; echo start {name} >>{diary}; {then}\n"
            "while :; do sleep 0.01; done"
        )

        def ready() -> bool:
            if f"start {name}" not in self.entries():
                return False
            meanwhile()
            return True

        program = Program(name, ["/bin/sh", "-c", script], self.folder / f"{name}.log", ready=ready, stop_within=10)
        self.programs.append(program)
        return program

    def write(self, line: str) -> None:
        with self.diary.open("a") as diary:
            diary.write(line + "\n")

    def entries(self) -> list[str]:
        return self.diary.read_text().splitlines() if self.diary.exists() else []

    def run(self, *stages: list[Program | Task[None]], when_up: Callable[[], None] = lambda: None) -> int:
        return Stack(stages, Progress(self.said)).run(when_up)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    handlers = [signal.getsignal(number) for number in STOPPING]
    yield bench
    assert [signal.getsignal(number) for number in STOPPING] == handlers
    left = [program.name for program in bench.programs if program.pid and program.poll() is None]
    for program in bench.programs:
        program.kill()
    assert left == []


def tell_self(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOPPING)
def test_parts_go_up_in_order_and_down_in_the_opposite_one(bench: Bench, number: signal.Signals) -> None:
    stages: list[list[Program | Task[None]]] = [
        [bench.program("a")],
        [Task("t", lambda: bench.write("task"))],
        [bench.program("b")],
    ]
    assert bench.run(*stages, when_up=tell_self(number)) == 0
    assert bench.entries() == ["start a", "task", "start b", "stop b", "stop a"]
    assert "b: ready" in bench.said.getvalue()


def test_being_stopped_half_way_up_is_no_failure(bench: Bench) -> None:
    half_way = bench.program("b", meanwhile=tell_self(signal.SIGINT))
    assert bench.run([bench.program("a")], [half_way], [bench.program("c")]) == 0
    assert bench.entries() == ["start a", "start b", "stop b", "stop a"]


def test_a_part_that_ends_brings_all_down_and_is_explained(bench: Bench) -> None:
    ends = bench.program("b", then="echo I broke; exit 4")
    assert bench.run([bench.program("a")], [ends]) == 1
    assert bench.entries()[-1] == "stop a"
    assert "b stopped by itself with exit code 4." in bench.said.getvalue()
    assert "I broke" in bench.said.getvalue()


def test_a_part_that_is_killed_while_another_comes_up_is_noticed(bench: Bench) -> None:
    first = bench.program("a")

    def kill_first() -> bool:
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        return False

    never = Program("b", ["/bin/sleep", "600"], bench.folder / "b.log", ready=kill_first)
    bench.programs.append(never)
    assert bench.run([first], [never]) == 1
    assert "a was ended by SIGKILL." in bench.said.getvalue()


def test_a_part_that_never_gets_ready_is_given_up(bench: Bench) -> None:
    never = Program("b", ["/bin/sleep", "600"], bench.folder / "b.log", ready=lambda: False, ready_within=0.1)
    bench.programs.append(never)
    assert bench.run([bench.program("a")], [never]) == 1
    assert "b was not ready after" in bench.said.getvalue()
    assert bench.entries() == ["start a", "stop a"]


def refuse() -> None:
    raise EmbeddedError("The database refused.")


def break_down() -> None:
    raise ZeroDivisionError


def test_a_failed_task_is_explained(bench: Bench) -> None:
    assert bench.run([bench.program("a")], [Task("t", refuse)], [bench.program("b")]) == 1
    assert "The database refused." in bench.said.getvalue()
    assert bench.entries() == ["start a", "stop a"]


def test_even_a_defect_leaves_nothing_running(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.run([bench.program("a")], [Task("t", break_down)])
    assert bench.entries() == ["start a", "stop a"]


def test_a_second_signal_ends_what_will_not_stop(bench: Bench) -> None:
    stubborn = bench.program("b", on_stop=f"kill -INT {os.getpid()}")
    assert bench.run([bench.program("a")], [stubborn], when_up=tell_self(signal.SIGINT)) == 0
    assert stubborn.poll() == -signal.SIGKILL
    assert "Stopping at once." in bench.said.getvalue()
