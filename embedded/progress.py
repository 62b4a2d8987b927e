"""What the one-command stack tells the person who started it: one line a step, a spinner on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console


class Progress:
    """Writes to one stream; plain lines where it is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        # No markup and no highlighting: log lines and paths are shown as they are. Soft wrap keeps a line copyable.
        self._console = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def say(self, text: str) -> None:
        self._console.print(text)

    @contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """Show ``doing`` until the block ends, then ``done`` with the seconds it took; nothing more if it raises."""
        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(doing):
                yield
        else:
            self.say(doing)
            yield
        self.say(f"{done} ({time.monotonic() - started:.1f} s)")
