"""What Postgres looks through for a message stays the same when many have come since it last counted them."""

from collections.abc import Callable, Mapping
from uuid import UUID

import psycopg
import pytest

from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import serving, settings_for
from tests.api.tenant import Tenant, new_tenant
from tests.support import eventually

FEW, MANY = 300, 4000

# Conversations, with a message in each.
FILL = """
WITH made AS (
    INSERT INTO conversations (id, organization_id, external_id, channel, requester_id, handled_by)
    SELECT gen_random_uuid(), %(organization)s, gen_random_uuid(), 'api',
        (SELECT id FROM requesters WHERE organization_id = %(organization)s LIMIT 1), 'bot'
    FROM generate_series(1, CAST(%(many)s AS int))
    RETURNING id
)
INSERT INTO messages (id, organization_id, conversation_id, external_id, author_kind, body, reading, sent_at)
SELECT gen_random_uuid(), %(organization)s, id, '1', 'customer', 'Hello',
    CASE WHEN %(read)s THEN CAST('{"sentiment": 0.1}' AS jsonb) END, now()
FROM made
"""


@pytest.fixture
def settings(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    return settings_for(new_database(), temporal_server.address)


def fill(database: psycopg.Connection, tenant: Tenant, many: int, *, read: bool) -> None:
    database.execute(FILL, {"organization": tenant.id, "many": many, "read": read})


async def seen(settings: Settings) -> Mapping[str, int]:
    """Rows that were ever looked at: by table those of whole tables, and by index."""

    async def counted() -> Mapping[str, int]:
        with psycopg.connect(settings.psycopg_url) as database:
            others = database.execute(
                "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchall()
            assert others == []  # a connection hands in what it has counted when it ends, at the latest
            rows = database.execute("SELECT relname, seq_tup_read FROM pg_stat_user_tables").fetchall()
            rows += database.execute("SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes").fetchall()
        return dict(rows)

    return await eventually(counted)


async def test_a_message_does_not_look_through_all_that_was_ever_read(settings: Settings) -> None:
    async with serving(settings) as http:
        tenant = await new_tenant(http)
        with psycopg.connect(settings.psycopg_url, autocommit=True) as database:
            database.execute(
                "INSERT INTO requesters (id, organization_id) VALUES (gen_random_uuid(), %s)", [UUID(tenant.id)]
            )
            fill(database, tenant, FEW, read=False)
            database.execute("ANALYZE")
            for number in range(10):  # until the driver has them prepared
                await say(tenant, number)
            fill(database, tenant, MANY, read=True)
        for number in range(10, 20):
            await say(tenant, number)
    looked = await seen(settings)
    assert looked["ix_messages_read"] == looked["messages"] == 0


async def say(tenant: Tenant, number: int) -> None:
    message = {"external_id": str(number), "author": "customer", "body": "Where is my parcel?"}
    for conversation in ("chat-1", f"chat-of-{number}"):
        await tenant.post(f"/conversations/{conversation}/messages", {**message, "external_id": f"{number}-again"})
        await tenant.post(f"/conversations/{conversation}/messages", message)
