"""Group commit: what comes while a transaction is under way goes into the next one, all of it together."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")

Commit = Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]


@dataclass
class _Line(Generic[Item, Result]):
    """What waits for the next transaction; ``worker`` makes them one after another while there is any."""

    waiting: list[tuple[Item, asyncio.Future[Result]]] = field(default_factory=list)
    worker: asyncio.Task[None] | None = None


class GroupCommit(Generic[Key, Item, Result]):
    """Commits items of one key together, at most ``most`` at a time; one a process.

    Nobody waits for company: what comes alone is committed at once. The busier it is, the more go together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lines: dict[Key, _Line[Item, Result]] = {}

    async def add(self, key: Key, item: Item, commit: Commit[Item, Result]) -> Result:
        """The item's result, of those that ``commit`` returns for the items it is given, in their order.

        What it raises, each of them raises. Whoever is cancelled meanwhile has their item committed none the less.
        ``commit`` runs in a task of its own, with the context of whoever came first, and must do for any of the key.
        """
        line = self._lines.setdefault(key, _Line())
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        line.waiting.append((item, result))
        if line.worker is None:
            line.worker = asyncio.create_task(self._work(key, line, commit))
        return await result

    async def _work(self, key: Key, line: _Line[Item, Result], commit: Commit[Item, Result]) -> None:
        while line.waiting:
            taken, line.waiting = line.waiting[: self._most], line.waiting[self._most :]
            try:
                results = await commit([item for item, _ in taken])
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
