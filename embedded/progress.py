"""What the one-command stack tells the person who started it: one line a step, a spinner on a terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console


class Progress:
    """Writes to one stream; plain lines where it is not a terminal.

    A reader who has gone (a closed terminal, ``| head``) is no error, so that parts still stop in order.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, emoji=False)

    def say(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(f"{text}\n")
            self._stream.flush()

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
