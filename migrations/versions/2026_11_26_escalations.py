"""Escalations: why humans are needed, who has which conversation, and how teams' queues are watched."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import remove_wall, wall

revision = "20261126_escalations"
down_revision = "20261126_webchat"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())
TABLES = ("escalations", "escalation_changes", "escalation_reasons", "escalation_notes")


def upgrade() -> None:
    op.create_table(
        "escalations",
        *_own("id"),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=False),
        sa.Column("priority_rank", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        *(sa.Column(name, sa.Uuid(), nullable=True) for name in ("team_id", "owner_id", "ticket_id")),
        *(_moment(name, nullable=True) for name in ("waiting_since", "answered_at")),
        *(_moment(name) for name in ("in_line_since", "raised_at")),
        *(_moment(name, nullable=True) for name in ("first_claimed_at", "absent_since", "closed_at")),
        _moment("updated_at"),
        sa.Column("state", JSON, nullable=False),
        _of_a_conversation("escalations"),
        *_keys("escalations", "id"),
    )
    _index("escalations", "conversation_id", "raised_at")
    _index("escalations", "organization_id", "raised_at", "id")
    op.create_index(
        "one_live_escalation",
        "escalations",
        ["conversation_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('queued', 'claimed')"),
    )
    op.create_index(
        "ix_escalations_queue",
        "escalations",
        ["organization_id", sa.text("priority_rank DESC"), "in_line_since", "id"],
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.create_index(
        "ix_escalations_owner", "escalations", ["owner_id", "id"], postgresql_where=sa.text("status = 'claimed'")
    )
    op.create_index(
        "ix_escalations_ticket", "escalations", ["ticket_id"], postgresql_where=sa.text("ticket_id IS NOT NULL")
    )
    op.create_table(
        "escalation_changes",
        sa.Column("escalation_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        _moment("at"),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("actor_name", "why")),
        sa.Column("about", JSON, nullable=False),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("request_id", "fingerprint")),
        sa.Column("answer", JSON, nullable=True),
        *_keys("escalation_changes", "escalation_id", "version"),
    )
    op.create_index(
        "uq_escalation_changes_request",
        "escalation_changes",
        ["conversation_id", "request_id"],
        unique=True,
        postgresql_where=sa.text("request_id IS NOT NULL"),
    )
    op.create_table(
        "escalation_reasons",
        *_own("id"),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("escalation_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("priority", sa.String(), nullable=True),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("rule_version", sa.Integer(), nullable=True),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("rule_name", "flow_id", "node_id", "metric")),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("why", "note")),
        sa.Column("raising", JSON, nullable=False),
        _moment("at"),
        _moment("created_at", now=True),
        _of_a_conversation("escalation_reasons"),
        *_keys("escalation_reasons", "id"),
    )
    op.create_index(
        "ix_escalation_reasons_untold",
        "escalation_reasons",
        ["created_at"],
        postgresql_where=sa.text("escalation_id IS NULL"),
    )
    _index("escalation_reasons", "escalation_id", "at")
    _index("escalation_reasons", "conversation_id")
    op.create_index(
        op.f("ix_escalation_reasons_organization_id_rule_id_at"),
        "escalation_reasons",
        ["organization_id", "rule_id", "at"],
        postgresql_where=sa.text("rule_id IS NOT NULL"),
    )
    op.create_table(
        "escalation_notes",
        *_own("id"),
        sa.Column("escalation_id", sa.Uuid(), nullable=False),
        sa.Column("author_id", sa.Uuid(), nullable=True),
        sa.Column("author_name", sa.String(), nullable=True),
        sa.Column("body", sa.String(), nullable=False),
        _moment("created_at", now=True),
        *_keys("escalation_notes", "id"),
    )
    _index("escalation_notes", "escalation_id", "created_at", "id")
    for table in TABLES:
        wall(table)
    op.add_column("teams", sa.Column("queue_ladder_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_teams_queue_ladder_id"), "teams", "escalation_ladders", ["queue_ladder_id"], ["id"])
    op.add_column(
        "teams", sa.Column("queue_in_business_hours", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("teams", sa.Column("silence_limit", sa.Interval(), nullable=True))
    op.add_column(
        "organizations",
        sa.Column("escalate_human_requests", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column("conversations", sa.Column("owner_id", sa.Uuid(), nullable=True))
    op.add_column("messages", sa.Column("out_of_turn", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.drop_column("messages", "out_of_turn")
    op.drop_column("conversations", "owner_id")
    op.drop_column("organizations", "escalate_human_requests")
    op.drop_column("teams", "silence_limit")
    op.drop_column("teams", "queue_in_business_hours")
    op.drop_constraint(op.f("fk_teams_queue_ladder_id"), "teams", type_="foreignkey")
    op.drop_column("teams", "queue_ladder_id")
    for table in reversed(TABLES):
        remove_wall(table)
        op.drop_table(table)


def _own(key: str) -> tuple[sa.Column[object], ...]:
    return (
        sa.Column(key, sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
    )


def _moment(name: str, *, now: bool = False, nullable: bool = False) -> sa.Column[object]:
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _of_a_conversation(table: str) -> sa.Constraint:
    return sa.ForeignKeyConstraint(
        ["conversation_id"], ["conversations.id"], name=op.f(f"fk_{table}_conversation_id"), ondelete="CASCADE"
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
