"""Measuring never gets in the way of what is measured."""

import socket
import time
from collections.abc import Callable
from datetime import timedelta

import httpx
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from db.engine import make_engine, make_sessions
from db.queues import Counting, count_queues
from domain.ticket import Status
from embedded.ports import LOOPBACK, free_port
from telemetry import worker_runtime
from tests.api.running import settings_for
from tests.telemetry.processes import Samples
from tests.workflows.office import Office
from worker import make_worker


async def test_worker_whose_clock_is_behind_temporals_goes_on_recording(
    new_database: Callable[[], str], skipping_env: WorkflowEnvironment
) -> None:
    """Where time is skipped, a ticket's clock is days ahead of the worker's."""
    skipped = skipping_env.client
    address = skipped.service_client.config.target_host
    settings = settings_for(new_database(), address, worker_metrics_port=free_port())
    client = await Client.connect(address, data_converter=skipped.data_converter, runtime=worker_runtime(settings))
    engine = make_engine(settings)
    sessions = make_sessions(engine)
    try:
        async with make_worker(client, settings, sessions):
            office = await Office(skipped, settings, sessions, skipping_env).open()
            life = await office.ticket(assignee="Ana")
            await life.move(Status.WAITING, by="Ana")
            await life.let_pass(timedelta(days=4))
            assert len(await life.said_to_customer()) == 2
            async with httpx.AsyncClient(trust_env=False) as scraper:
                answer = await scraper.get(f"http://{LOOPBACK}:{settings.worker_metrics_port}/metrics")
            samples = Samples(answer.text)
            assert (samples.total("baton_read_model_lag_count") or 0) >= 4
            assert samples.total("baton_timer_lateness_count", timer="reminder") == 2
    finally:
        await engine.dispose()


def test_database_that_does_not_answer_costs_a_scrape_two_seconds_once() -> None:
    with socket.socket() as silent:
        silent.bind((LOOPBACK, 0))
        silent.listen()
        queues = Counting(f"postgresql://baton@{LOOPBACK}:{silent.getsockname()[1]}/baton", count_queues)
        started = time.monotonic()
        assert [queues.read() for _ in range(3)] == [[], [], []]
        assert 1 < time.monotonic() - started < 4
