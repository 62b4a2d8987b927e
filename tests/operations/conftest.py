"""A Baton of its own for each test, since whole stores are replaced."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from embedded.ports import free_port
from embedded.postgres import EmbeddedPostgres
from embedded.temporal import EmbeddedTemporal
from tests.api.running import settings_for
from tests.operations.site import Site, site


@pytest.fixture
async def baton(postgres: EmbeddedPostgres, new_database: Callable[[], str], tmp_path: Path) -> AsyncIterator[Site]:
    temporal = EmbeddedTemporal(tmp_path / "temporal", free_port(), None, log=tmp_path / "temporal.log")
    try:
        temporal.start()
        temporal.wait_ready()
        async with site(postgres, temporal, settings_for(new_database(), temporal.address), tmp_path) as it:
            yield it
    finally:
        temporal.stop()
