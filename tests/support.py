"""What tests of every kind need: waiting for a condition, and leaving Temporal's client at rest."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(predicate: Callable[[], Awaitable[T]], timeout: float = ..., *, every: float = ...) -> T: ...
@overload
async def eventually(predicate: Callable[[], T], timeout: float = ..., *, every: float = ...) -> T: ...
async def eventually(predicate: Callable[[], Any], timeout: float = 20.0, *, every: float = 0.02) -> Any:
    """The first truthy result of ``predicate``, sync or async, asked every ``every`` seconds, and less often in time.

    An ``AssertionError`` it raises means "not yet". After ``timeout`` seconds the last one is raised, or one that shows
    the last result.
    """
    deadline = time.monotonic() + timeout
    pauses = _pauses(every)
    while True:
        problem: AssertionError | None = None
        result: object = None
        try:
            answer = predicate()
            result = await answer if inspect.isawaitable(answer) else answer
            if result:
                return result
        except AssertionError as error:
            problem = error
        if time.monotonic() > deadline:
            raise problem or AssertionError(f"still {result!r} after {timeout} s")
        await asyncio.sleep(next(pauses))


def eventually_sync(predicate: Callable[[], T], timeout: float = 20.0, *, every: float = 0.02) -> T:
    """As ``eventually``, for tests without an event loop."""
    deadline = time.monotonic() + timeout
    pauses = _pauses(every)
    while not (result := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"still {result!r} after {timeout} s")
        time.sleep(next(pauses))
    return result


def _pauses(shortest: float) -> Iterator[float]:
    """Longer and longer, up to a quarter of a second: asking takes the time of those who are waited for."""
    pause = shortest
    while True:
        yield pause
        pause = max(shortest, min(pause * 1.2, 0.25))


async def drain() -> None:
    """Let every request to Temporal finish and its client's threads settle.

    A process that exits right after a request crashes in one of ten runs (temporalio/sdk-python#300); 0.25 s of rest
    was enough in a hundred of a hundred.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=5)
    await asyncio.sleep(0.25)
