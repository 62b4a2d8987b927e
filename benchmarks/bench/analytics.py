"""Reports over very many tickets: facts and decisions like real ones, and how long the API needs for each report."""

import random
from collections.abc import Mapping

import psycopg

from benchmarks.bench.http import Latencies
from benchmarks.bench.lifecycle import Desk

_FILL = """
INSERT INTO ticket_facts (ticket_id, organization_id, created_at, channel, source, priority, tags, team_id, assignee_id,
    status, first_replied_at, resolved_at, first_response, resolution, next_met, next_breached)
SELECT gen_random_uuid(), f.organization_id, made.at, (ARRAY['email', 'webchat', 'whatsapp'])[1 + n %% 3],
    (ARRAY['api', 'rule', 'assistant'])[1 + n %% 3], (ARRAY['low', 'normal', 'high', 'urgent'])[1 + n %% 4],
    ARRAY['tag-' || n %% 17, 'more-' || n %% 5], md5((n %% 7)::text)::uuid, md5((n %% 40)::text)::uuid, 'closed',
    CASE WHEN n %% 10 > 0 THEN made.at + (n %% 7919) * interval '1 second' END,
    CASE WHEN n %% 8 > 1 THEN made.at + (n %% 86477) * interval '1 second' END,
    (ARRAY['met', 'met', 'breached'])[1 + n %% 3], (ARRAY['met', 'running', 'breached'])[1 + n %% 3], n %% 4, n %% 2
FROM ticket_facts AS f, generate_series(1, %(count)s::int) AS n,
    LATERAL (SELECT now() - n * interval '25 seconds' AS at) AS made
WHERE f.ticket_id = %(like)s
"""

_DECIDE = """
INSERT INTO decisions (id, organization_id, kind, rule_id, rule_name, rule_version, conversation_id, ticket_id, outcome,
    evidence, actions, at)
SELECT gen_random_uuid(), f.organization_id, 'escalation_event', md5((f.n %% 9)::text)::uuid, 'Rule ' || f.n %% 9, 1,
    gen_random_uuid(), f.ticket_id, (ARRAY['acted', 'acted', 'shadow'])[1 + f.n %% 3],
    '[{"path": "conditions/keyword", "kind": "keyword", "matched": "refund", "span": [10, 16]}]',
    '{"create_ticket": true, "priority": "high", "tags": ["refund"]}', f.created_at - interval '1 second'
FROM (SELECT *, row_number() OVER (ORDER BY created_at) AS n FROM ticket_facts) AS f
WHERE f.organization_id = (SELECT organization_id FROM ticket_facts WHERE ticket_id = %(like)s) AND f.source <> 'api'
"""

_RANGE = "since=2020-01-01T00:00:00Z"
QUERIES: Mapping[str, str] = {
    "volumes by day": f"volumes?{_RANGE.replace('2020', '2024')}&bucket=day&time_zone=Europe/Berlin",
    "first response": f"first-response?{_RANGE}",
    "first response by member": f"first-response?{_RANGE}&group_by=member",
    "resolution by tag": f"resolution?{_RANGE}&group_by=tag",
    "SLA by team and month": f"sla?{_RANGE}&group_by=team&bucket=month&time_zone=Europe/Berlin",
    "escalation by channel": f"escalation-to-human?{_RANGE}&group_by=channel",
    "false alarms": f"false-alarms?{_RANGE}",
}


def fill(url: str, like: str, count: int) -> None:
    """Add facts of so many tickets, of the organization of the ticket ``like``, and what rules decided on most."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_FILL, {"count": count, "like": like})
        connection.execute(_DECIDE, {"like": like})
        connection.execute("VACUUM ANALYZE ticket_facts, decisions")


async def read(desk: Desk, rounds: int = 20, seed: int = 1) -> dict[str, dict[str, float]]:
    """Each report so many times, in mixed order: p50 and p99 in milliseconds."""
    latencies = Latencies()
    async with desk.connections(1, latencies) as (connection,):
        todo = list(QUERIES) * rounds
        random.Random(seed).shuffle(todo)
        for name in todo:
            await connection.get(name, f"/analytics/{QUERIES[name]}")
    return {
        name: {"p50": latencies.milliseconds(0.5, name), "p99": latencies.milliseconds(0.99, name)} for name in QUERIES
    }
