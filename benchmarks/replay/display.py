"""What the person who started a replay sees: a bar on a terminal, a line each tenth of the way elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


@dataclass
class Phase:
    """One bar."""

    console: Console
    name: str
    total: int
    done: int
    bar: Progress | None = None
    task: TaskID | None = None

    def at(self, done: int, total: int, note: str = "") -> None:
        """Show how far it is by now, and a word about it."""
        before = 10 * self.done // max(self.total, 1)
        self.done, self.total = done, total
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=done, total=total, note=note)
        elif 10 * done // max(total, 1) > before:
            self.console.print(f"{self.name}: {done:,} of {total:,}{note and f', {note}'}")


@contextmanager
def phase(console: Console, name: str, total: int, done: int = 0) -> Iterator[Phase]:
    """Show a phase until the block ends."""
    if not console.is_terminal:
        yield Phase(console, name, total, done)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as bar:
        yield Phase(console, name, total, done, bar, bar.add_task(name, total=total, completed=done, note=""))
