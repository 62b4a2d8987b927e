"""Nothing that succeeds is rolled back: with each rollback the driver forgets what it has prepared on a connection."""

import re
from collections.abc import Callable
from typing import Any

import psycopg
from temporalio.client import Client

from embedded.postgres import EmbeddedPostgres
from embedded.temporal import EmbeddedTemporal
from tests.api.description import OPERATIONS, PREFIX
from tests.api.running import serving, settings_for, working
from tests.api.tenant import new_tenant
from tests.support import eventually

FIRST_LOOKS = 2
"""SQLAlchemy's first look at a server, by each engine that has transactions: the API's and the worker's."""


async def test_neither_a_tickets_life_nor_a_list_rolls_anything_back(
    new_database: Callable[[], str],
    temporal_server: EmbeddedTemporal,
    temporal_client: Client,
    postgres: EmbeddedPostgres,
) -> None:
    settings = settings_for(new_database(), temporal_server.address, read_model_wait="PT10S")
    lists = [
        each.below_prefix
        for each in OPERATIONS
        if each.method == "GET" and each.path.startswith(PREFIX) and not re.search(r"\{|/events$", each.path)
    ]
    async with working(temporal_client, settings), serving(settings) as http:
        tenant = await new_tenant(http)
        member = await tenant.member(presence="online")
        team = await tenant.team(member_ids=[member["id"]])
        ticket = await tenant.ticket("waiting", team_id=team["id"])
        await tenant.ticket("resolved", assignee_id=member["id"])
        assert (await tenant.message(ticket)).is_success
        await tenant.post("/conversations/chat-1/messages", {"external_id": "1", "author": "customer", "body": "Hello"})
        raised = await tenant.post("/conversations/chat-1/escalations", {"reason": "She asks for a human"})
        await tenant.acting_for(member).post(f"/escalations/{raised['escalation']['id']}/claim", {})
        for status in ("resolved", "closed"):
            await tenant.post(f"/tickets/{ticket['id']}/status", {"to": status})
        answers = [await tenant.call("GET", path) for path in lists]
        assert sum(each.is_success for each in answers) > 20
        for part in ("", "/events", "/messages", "/notes", "/timers", "/decisions", "/escalations"):
            await tenant.get(f"/tickets/{ticket['id']}{part}")

    # A connection hands in its numbers when it ends, at the latest.
    async def counted() -> Any:
        with psycopg.connect(postgres.dsn) as connection:
            row = connection.execute(
                "SELECT numbackends, xact_commit, xact_rollback FROM pg_stat_database WHERE datname = %s",
                [settings.database_url.rsplit("/", 1)[1]],
            ).fetchone()
        assert row is not None
        assert row[0] == 0
        return row

    _, commits, rollbacks = await eventually(counted)
    assert commits > 100
    assert rollbacks <= FIRST_LOOKS
