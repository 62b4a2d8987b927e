from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
from psycopg import sql

from embedded.postgres import EmbeddedPostgres
from tests.support import eventually
from tests.telemetry.conftest import Watched
from tests.telemetry.life import PRIVATE
from tests.telemetry.processes import Pair


def test_worker_says_how_far_the_read_model_is_behind_and_how_late_timers_are(watched: Watched) -> None:
    worker = watched.worker
    assert (worker.total("baton_read_model_lag_count") or 0) > 10
    # While Postgres refused the row the lag grew past two seconds, and it is not cut off at the last bucket.
    slow = (worker.total("baton_read_model_lag_bucket", le="300") or 0) - (
        worker.total("baton_read_model_lag_bucket", le="1") or 0
    )
    assert slow >= 1
    assert worker.total("baton_timer_lateness_count", timer="auto_close") == 2
    assert worker.total("baton_timer_lateness_bucket", timer="auto_close", le="60") == 2  # a slow machine's, too


def test_worker_serves_what_the_sdk_measures(watched: Watched) -> None:
    worker = watched.worker
    for name in ("workflow_task_execution_latency", "workflow_task_schedule_to_start_latency", "request_latency"):
        assert (worker.total(f"temporal_{name}_count") or 0) > 10, name
    assert (worker.total("temporal_activity_execution_failed", activity_type="record_ticket") or 0) >= 1
    assert (worker.total("temporal_workflow_task_execution_failed") or 0) >= 1
    assert (worker.total("temporal_worker_task_slots_available", worker_type="WorkflowWorker") or 0) >= 1


def test_api_measures_requests_by_route_and_status(watched: Watched) -> None:
    def count(**labels: str) -> float | None:
        return watched.api.total("http_server_request_duration_seconds_count", **labels)

    moves = {"http_route": "/api/v1/tickets/{ticket_id}/status", "http_request_method": "POST"}
    assert count(**moves, http_response_status_code="409") == 1
    assert (count(**moves, http_response_status_code="200") or 0) >= 2
    assert count(http_route="/api/v1/tickets/{ticket_id}/notes", http_response_status_code="500") == 1
    # What names no route is one series, however many such paths there are.
    assert count(http_route="", http_response_status_code="404") == 1


def test_queues_are_counted_by_the_database(watched: Watched) -> None:
    lengths = {
        (status, unassigned): watched.api.total("baton_tickets", status=status, unassigned=str(unassigned).lower())
        for status in ("open", "in_progress", "waiting")
        for unassigned in (True, False)
    }
    assert lengths == {
        ("open", True): 1,
        ("open", False): 1,
        ("in_progress", True): 1,
        ("in_progress", False): 0,
        ("waiting", True): 1,
        ("waiting", False): 0,
    }
    assert 0 < (watched.api.total("baton_oldest_ticket_seconds", status="open", unassigned="true") or 0) < 60
    assert watched.api.total("baton_overdue_tickets") == 0


async def test_escalations_and_deliveries_that_wait_are_counted(watched: Watched, pair: Pair) -> None:
    def value(name: str, **labels: str) -> float | None:
        return pair.scrape("api").total(name, **labels)

    assert value("baton_queued_escalations", priority="low") == 0
    assert value("baton_failed_deliveries", connector="email") == 0
    with psycopg.connect(pair.settings.psycopg_url) as connection:
        for statement in _WAITING:
            connection.execute(statement, {"ticket": watched.life.ticket["id"]})

    async def counted() -> bool:
        return value("baton_queued_escalations", priority="urgent") == 1

    try:
        assert await eventually(counted, timeout=20)
        assert 590 < (value("baton_oldest_escalation_seconds", priority="urgent") or 0) < 700
        assert value("baton_pending_deliveries", connector="webhook") == 1
        assert 290 < (value("baton_oldest_delivery_seconds", connector="webhook") or 0) < 400
        assert value("baton_failed_deliveries", connector="webhook") == 1, "not the one of two days ago"
    finally:
        with psycopg.connect(pair.settings.psycopg_url) as connection:
            for table in ("deliveries", "channels", "escalations"):
                connection.execute(f"DELETE FROM {table}")


_WAITING = (
    """INSERT INTO escalations (id, organization_id, conversation_id, requester_id, version, status, priority,
            priority_rank, channel, in_line_since, raised_at, updated_at, state)
        SELECT gen_random_uuid(), organization_id, conversation_id, requester_id, 1, 'queued', 'urgent', 3, channel,
            now() - interval '10 minutes', now(), now(), '{}' FROM tickets WHERE id = %(ticket)s""",
    """INSERT INTO channels (id, organization_id, kind, name, settings)
        SELECT gen_random_uuid(), organization_id, 'api', 'Watched', '{}' FROM tickets WHERE id = %(ticket)s""",
    """INSERT INTO deliveries (id, organization_id, key, conversation_id, channel_id, connector, kind, state, due_at,
            try_until, created_at, finished_at)
        SELECT gen_random_uuid(), t.organization_id, each.state || each.minutes, t.conversation_id, c.id, 'webhook',
            'message', each.state, now(), now(), now() - each.minutes * interval '1 minute',
            CASE WHEN each.state = 'failed' THEN now() - each.minutes * interval '1 minute' END
        FROM tickets AS t JOIN channels AS c USING (organization_id),
            (VALUES ('pending', 5), ('failed', 60), ('failed', 2880)) AS each (state, minutes)
        WHERE t.id = %(ticket)s""",
)


async def test_ticket_past_its_deadline_without_a_breach_is_counted(watched: Watched, pair: Pair) -> None:
    with psycopg.connect(pair.settings.psycopg_url) as connection:
        overdue = "UPDATE tickets SET sla_due_at = now() - interval '1 minute' WHERE id = %s"
        connection.execute(overdue, [watched.life.others[0]["id"]])

    async def counted() -> bool:
        return pair.scrape("api").total("baton_overdue_tickets", status="open", unassigned="false") == 1

    await eventually(counted, timeout=20)


async def test_metrics_outlive_the_database(watched: Watched, pair: Pair, postgres: EmbeddedPostgres) -> None:
    with closed_to_others(pair, postgres):

        async def without_queues() -> set[str]:
            names = pair.scrape("api").names
            return names if "baton_tickets" not in names else set()

        assert "http_server_request_duration_seconds_count" in await eventually(without_queues, timeout=20)
        async with httpx.AsyncClient(base_url=pair.url, trust_env=False) as client:
            assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 503]
    await eventually(lambda: "baton_tickets" in pair.scrape("api").names, timeout=20)
    assert "baton_read_model_lag_count" in pair.scrape("worker").names


def test_metrics_hold_nothing_that_was_written(watched: Watched) -> None:
    for text in (watched.api.text, watched.worker.text):
        assert [word for word in (*PRIVATE.values(), *watched.secrets, watched.life.tenant.id) if word in text] == []


@contextmanager
def closed_to_others(pair: Pair, postgres: EmbeddedPostgres) -> Iterator[None]:
    """The database of the pair lets nobody in."""
    name = pair.settings.psycopg_url.rpartition("/")[2]
    with psycopg.connect(postgres.dsn, autocommit=True) as admin:

        def allow(yes: bool) -> None:
            admin.execute(
                sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(name), sql.Literal(yes))
            )

        allow(False)
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            yield
        finally:
            allow(True)
