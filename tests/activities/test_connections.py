"""Connections to Postgres come back to their pool, however their use ends."""

import asyncio
import gc
from collections.abc import Callable

import pytest
from psycopg import waiting
from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from db.engine import make_application_engine, make_reading_engine, make_sessions
from settings import Settings

STEPS = 25
"""More than a session with one statement takes of the event loop."""


@pytest.mark.parametrize("make", [make_application_engine, make_reading_engine])
async def test_use_that_is_cancelled_at_any_step_loses_no_connection(
    new_database: Callable[[], str], make: Callable[[Settings], AsyncEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "MAX_BUSY_TIME", 0)  # as in a process that has much to do: the driver often steps back
    engine = make(Settings(database_url=new_database(), secret_key=SecretStr("0" * 32)))
    sessions = make_sessions(engine)

    async def use() -> None:
        async with sessions() as session:
            await session.execute(select(1))

    for steps in range(STEPS):
        await use()  # so that a connection is there
        task = asyncio.create_task(use())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await engine.dispose()
    gc.collect()  # warns of a connection that nobody gave back, which fails the test
