"""Working together: watchers, presences, links, merges, mentions, bulk changes; and the facts reports count."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_team"
down_revision = "20261126_notices"
branch_labels = None
depends_on = None

VERDICT = """CASE WHEN c.clock ->> 'breached_at' IS NOT NULL THEN 'breached'
        WHEN c.clock ->> 'state' IN ('running', 'paused') THEN c.clock ->> 'state'
        WHEN c.clock ->> 'state' = 'fulfilled' AND c.clock ->> 'target' IS NOT NULL THEN 'met'
        ELSE 'none' END"""

BACKFILL = f"""
INSERT INTO ticket_facts (ticket_id, organization_id, created_at, channel, source, priority, tags, team_id, assignee_id,
    status, merged, resolved_at, first_response, resolution, first_replied_at, next_met, next_breached)
SELECT t.id, t.organization_id, t.created_at, t.channel, t.state ->> 'source', t.priority, t.tags, t.team_id,
    t.assignee_id, t.status, false, CAST(t.state ->> 'resolved_at' AS timestamptz),
    (SELECT {VERDICT} FROM (SELECT t.state -> 'clocks' -> 'first_response' AS clock) AS c),
    (SELECT {VERDICT} FROM (SELECT t.state -> 'clocks' -> 'resolution' AS clock) AS c),
    replies.first_at, coalesce(following.met, 0), coalesce(following.breached, 0)
FROM tickets AS t
LEFT JOIN (
    SELECT e.ticket_id, min(coalesce(
        (SELECT CAST(c ->> 'at' AS timestamptz) FROM jsonb_array_elements(e.clock_events) AS c
        WHERE c ->> 'metric' = 'first_response' AND c ->> 'kind' = 'fulfil' LIMIT 1), e.at)) AS first_at
    FROM ticket_events AS e WHERE e.kind = 'agent_replied' GROUP BY e.ticket_id
) AS replies ON replies.ticket_id = t.id
LEFT JOIN (
    SELECT each.ticket_id, count(*) FILTER (WHERE each.breached) AS breached,
        count(*) FILTER (WHERE each.fulfilled AND NOT each.breached AND each.promised) AS met
    FROM (
        SELECT e.ticket_id, bool_or(c ->> 'kind' = 'breach') AS breached, bool_or(c ->> 'kind' = 'fulfil') AS fulfilled,
            bool_or(o.state -> 'clocks' -> 'next_response' ->> 'target' IS NOT NULL) AS promised
        FROM ticket_events AS e JOIN tickets AS o ON o.id = e.ticket_id, jsonb_array_elements(e.clock_events) AS c
        WHERE c ->> 'metric' = 'next_response' GROUP BY e.ticket_id, c -> 'episode'
    ) AS each GROUP BY each.ticket_id
) AS following ON following.ticket_id = t.id
"""  # noqa: S608 - made of constants

JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "ticket_watchers",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        _moment("created_at", now=True),
        _members("ticket_watchers"),
        *_keys("ticket_watchers", "ticket_id", "member_id"),
    )
    _index("ticket_watchers", "member_id")
    op.create_table(
        "ticket_presences",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("activity", sa.String(), nullable=False),
        _moment("since"),
        _moment("expires_at"),
        _members("ticket_presences"),
        *_keys("ticket_presences", "ticket_id", "member_id"),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "ticket_links",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        _moment("created_at", now=True),
        *_keys("ticket_links", "id"),
        sa.UniqueConstraint("ticket_id", "other_id", "kind", name=op.f("uq_ticket_links_ticket_id_other_id_kind")),
    )
    _index("ticket_links", "other_id")
    op.create_table(
        "ticket_merges",
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        _moment("created_at", now=True),
        *_keys("ticket_merges", "source_id"),
    )
    _index("ticket_merges", "target_id")
    op.create_table(
        "bulk_changes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("actor", JSON, nullable=False),
        sa.Column("change", JSON, nullable=False),
        sa.Column("ticket_ids", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in _COUNTS),
        sa.Column("refusals", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("refused", JSON, server_default=sa.text("'[]'"), nullable=False),
        _moment("created_at", now=True),
        _moment("finished_at", nullable=True),
        *_keys("bulk_changes", "id"),
    )
    _index("bulk_changes", "organization_id", "created_at", "id")
    op.create_table(
        "ticket_facts",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        _moment("created_at"),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("channel", "source", "priority")),
        sa.Column("tags", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=True),
        sa.Column("assignee_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("merged", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _moment("first_replied_at", nullable=True),
        _moment("resolved_at", nullable=True),
        sa.Column("first_response", sa.String(), nullable=False),
        sa.Column("resolution", sa.String(), nullable=False),
        sa.Column("next_met", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_breached", sa.Integer(), server_default="0", nullable=False),
        *_keys("ticket_facts", "ticket_id"),
    )
    op.create_index("ix_ticket_facts_created", "ticket_facts", ["organization_id", "created_at"], unique=False)
    op.create_index("ix_ticket_facts_resolved", "ticket_facts", ["organization_id", "resolved_at"], unique=False)
    op.add_column(
        "notes",
        sa.Column("mention_ids", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("tickets", sa.Column("merged_into", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_tickets_merged",
        "tickets",
        ["merged_into"],
        unique=False,
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )
    op.execute(BACKFILL)


def downgrade() -> None:
    op.drop_index("ix_tickets_merged", table_name="tickets", postgresql_where=sa.text("merged_into IS NOT NULL"))
    op.drop_column("tickets", "merged_into")
    op.drop_column("notes", "mention_ids")
    for table in (
        "ticket_facts",
        "bulk_changes",
        "ticket_merges",
        "ticket_links",
        "ticket_presences",
        "ticket_watchers",
    ):
        op.drop_table(table)


_COUNTS = ("examined", "changed", "unchanged")


def _moment(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _members(table: str) -> sa.Constraint:
    return sa.ForeignKeyConstraint(
        ["member_id"], ["members.id"], name=op.f(f"fk_{table}_member_id"), ondelete="CASCADE"
    )


def _keys(table: str, *key: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)
