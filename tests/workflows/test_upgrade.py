"""A worker's code is replaced under running tickets, by Worker Versioning."""

import asyncio
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest
from temporalio.client import Client

from db.engine import Sessions
from embedded.temporal import temporal_program
from settings import Settings
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.next_ticket import MARK, NextTicketWorkflow
from tests.workflows.office import Office
from worker import make_worker
from workflows.rollout import RolloutWorkflow


@pytest.fixture
def unversioned(settings: Settings) -> Settings:
    """With a task queue of its own: which build is current is remembered for the queue."""
    return settings.model_copy(update={"temporal_task_queue": str(uuid4()), "worker_deployment": str(uuid4())})


def build(settings: Settings, number: int) -> Settings:
    return settings.model_copy(update={"worker_build_id": f"build-{number}"})


async def set_current(settings: Settings) -> None:
    """The command that the documentation gives; it is refused until a worker of that build has shown up."""
    assert settings.worker_build_id is not None
    command = ["worker", "deployment", "set-current-version", "--yes", "--address", settings.temporal_address]
    command += ["--deployment-name", settings.worker_deployment, "--build-id", settings.worker_build_id]

    async def accepted() -> bool:
        process = await asyncio.create_subprocess_exec(
            temporal_program(), *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={}
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        return True

    await eventually(accepted, timeout=20, every=0.2)


async def build_of(life: Life) -> str:
    """The build that worked on the ticket last."""
    raw = (await life.handle.describe()).raw_description
    return raw.workflow_execution_info.versioning_info.deployment_version.build_id


async def marked(life: Life) -> bool:
    return MARK in await (await life.handle.describe()).memo()


async def edit_until(life: Life, over: asyncio.Event) -> list[str]:
    """Titles that were acknowledged, one after the other; at least one after ``over``."""
    titles: list[str] = []
    while True:
        last = over.is_set()
        titles.append(f"Title {len(titles)}")
        await life.obey(life.edit(titles[-1]))
        if last:
            return titles


async def test_running_tickets_move_to_the_new_build_without_loss_and_new_ones_begin_there(
    temporal_client: Client, unversioned: Settings, sessions: Sessions
) -> None:
    old, new = build(unversioned, 1), build(unversioned, 2)
    office = await Office(temporal_client, unversioned, sessions).open()
    async with AsyncExitStack() as new_workers:
        async with make_worker(temporal_client, old, sessions):
            await set_current(old)
            lives = [await office.ticket(assignee="Ana") for _ in range(3)]
            assert {await build_of(life) for life in lives} == {"build-1"}
            over = asyncio.Event()
            clients = [asyncio.create_task(edit_until(life, over)) for life in lives]

            later = make_worker(temporal_client, new, sessions, workflows=[NextTicketWorkflow, RolloutWorkflow])
            await new_workers.enter_async_context(later)
            await set_current(new)
        over.set()
        for life, client in zip(lives, clients, strict=True):
            titles = await client
            await life.settled()
            assert [event.changes["title"]["after"] for event in (await life.events())[1:]] == titles
            assert await build_of(life) == "build-2"
            assert not await marked(life)  # what began under the old code goes on by it

        newcomer = await office.ticket()
        assert (await build_of(newcomer), await marked(newcomer)) == ("build-2", True)
        await office.check()


async def test_tickets_of_unversioned_workers_are_taken_over_once_a_build_is_current(
    temporal_client: Client, unversioned: Settings, sessions: Sessions
) -> None:
    office = await Office(temporal_client, unversioned, sessions).open()
    first = build(unversioned, 1)
    async with AsyncExitStack() as versioned:
        async with make_worker(temporal_client, unversioned, sessions):
            life = await office.ticket()
            await versioned.enter_async_context(make_worker(temporal_client, first, sessions))
            await life.obey(life.edit("Before"))
            assert await build_of(life) == ""  # a build that is not current gets nothing, so the others must stay
            await set_current(first)
        await life.obey(life.edit("After"))
        assert await build_of(life) == "build-1"
        await office.check()
