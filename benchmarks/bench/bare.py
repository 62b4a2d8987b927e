"""The least a durable entity can be: a workflow that counts updates, with no database behind it."""

import asyncio
import sys
import time
from uuid import uuid4

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

UPDATES = 6
"""As many as a ticket's life has commands after its creation."""

TASK_QUEUE = "bare"


@workflow.defn(name="Bare")
class Bare:
    """Ends with its last update."""

    def __init__(self) -> None:
        self._count = 0

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self._count >= UPDATES)
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._count

    @workflow.update
    async def bump(self, by: int) -> int:
        self._count += by
        return self._count


async def lives(client: Client, clients: int, total: int) -> float:
    """``total`` lives by ``clients`` at once; returns the seconds they took."""
    left = iter(range(total))

    async def one() -> None:
        for _ in left:
            handle = await client.start_workflow(Bare.run, id=f"bare-{uuid4()}", task_queue=TASK_QUEUE)
            for _update in range(UPDATES):
                await handle.execute_update(Bare.bump, 1)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return time.perf_counter() - started


async def work(address: str) -> None:
    """Work until killed, with the settings Baton's own worker has."""
    client = await Client.connect(address)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Bare],
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_concurrent_workflow_tasks=8,
    )
    print("bare_worker_started", flush=True)
    await worker.run()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
