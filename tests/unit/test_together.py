"""What comes while a transaction is under way goes into the next one; nobody waits for company."""

import asyncio
from collections.abc import Sequence

import pytest

from db.together import Together

KEY = "organization"
MOST = 3


class Store:
    """Commits numbers, each doubled; ``gate`` holds up every commit, and ``broken`` cannot be committed."""

    def __init__(self) -> None:
        self.together = Together[str, int, int](MOST)
        self.gate = asyncio.Event()
        self.broken: int | None = None
        self.commits: list[list[int]] = []

    async def add(self, number: int, key: str = KEY) -> int:
        return await self.together.add(key, number, self._commit)

    async def _commit(self, numbers: Sequence[int]) -> list[int]:
        self.commits.append(list(numbers))
        await self.gate.wait()
        if self.broken in numbers:
            raise ValueError(self.broken)
        return [2 * number for number in numbers]

    async def adding(self, *numbers: int, key: str = KEY) -> list[asyncio.Task[int]]:
        """The numbers, each on its way, the first of them in a commit if none was under way."""
        tasks = [asyncio.create_task(self.add(number, key)) for number in numbers]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


@pytest.fixture
def store() -> Store:
    return Store()


async def test_who_comes_alone_is_committed_alone_and_at_once(store: Store) -> None:
    store.gate.set()
    assert [await store.add(1), await store.add(2)] == [2, 4]
    assert store.commits == [[1], [2]]


async def test_who_comes_meanwhile_goes_together_and_no_more_than_so_many(store: Store) -> None:
    first = await store.adding(1)
    others = await store.adding(2, 3, 4, 5)
    store.gate.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10]
    assert store.commits == [[1], [2, 3, 4], [5]]


async def test_keys_do_not_wait_for_each_other(store: Store) -> None:
    await store.adding(1)
    await store.adding(2, key="another")
    assert store.commits == [[1], [2]]
    store.gate.set()


async def test_what_fails_fails_for_those_who_went_together_and_for_nobody_after_them(store: Store) -> None:
    store.broken = 3
    tasks = await store.adding(1) + await store.adding(2, 3, 4) + await store.adding(5)
    store.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result if isinstance(result, int) else type(result) for result in results] == [
        2,
        *[ValueError] * 3,
        10,
    ]


async def test_who_is_given_up_takes_nobody_along(store: Store) -> None:
    first, second, third = [*await store.adding(1), *await store.adding(2, 3)]
    first.cancel()
    second.cancel()
    store.gate.set()
    assert await third == 6
    assert store.commits == [[1], [2, 3]]
