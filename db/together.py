"""What many ask for at the same time, done for all of them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")

Act = Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]


@dataclass
class _Line(Generic[Item, Result]):
    """What waits for its turn; ``worker`` takes one turn after another while there is any."""

    waiting: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None


class Together(Generic[Key, Item, Result]):
    """Does things for items of one key together, at most ``most`` at a time; one a process.

    What comes alone has its turn at once: nobody waits for company. What comes while another turn is under way goes
    into the next one, with all that came meanwhile: the busier it is, the more share a transaction, or a look-up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[Key, _Line[Item, Result]] = {}

    async def add(self, key: Key, item: Item, act: Act[Item, Result]) -> Result:
        """The item's result, of those that ``act`` returns for the items it is given, in their order.

        ``act`` begins after this was called. What it raises, each of them raises. Whoever is cancelled meanwhile has it
        done none the less: it runs in a task of its own, with the context of whoever came first, and must do for any
        item of the key.
        """
        line = self._lines.setdefault(key, _Line())
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        line.waiting.append((item, result))
        if line.worker is None:
            line.worker = asyncio.create_task(self._work(key, line, act))
        return await result

    async def _work(self, key: Key, line: _Line[Item, Result], act: Act[Item, Result]) -> None:
        while line.waiting:
            taken, line.waiting = line.waiting[: self._most], line.waiting[self._most :]
            try:
                results = await act([item for item, _ in taken])
            except Exception as error:
                for _, waiting in taken:
                    if not waiting.done():
                        waiting.set_exception(error)
            else:
                for (_, waiting), result in zip(taken, results, strict=True):
                    if not waiting.done():
                        waiting.set_result(result)
        line.worker = None
        if self._lines.get(key) is line:
            del self._lines[key]
