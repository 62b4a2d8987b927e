"""The front door: channels, rules, their decisions and back-tests, and what was read in messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261125_front_door"
down_revision = "20261124_sla"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "channels",
        *_own(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        _created_at(),
        *_keys("channels"),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_channels_organization_id_name")),
    )
    _index("channels", "organization_id", "created_at", "id")
    op.create_table(
        "rules",
        *_own(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        _created_at(),
        *_keys("rules"),
        sa.UniqueConstraint("organization_id", "kind", "name", name=op.f("uq_rules_organization_id_kind_name")),
    )
    _index("rules", "organization_id", "kind", "position")
    op.create_table(
        "rule_versions",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", JSON, nullable=False),
        _created_at(),
        sa.ForeignKeyConstraint(["rule_id"], ["rules.id"], name=op.f("fk_rule_versions_rule_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("rule_id", "version", name=op.f("pk_rule_versions")),
    )
    op.create_table(
        "decisions",
        *_own(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("rule_name", sa.String(), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("ticket_id", sa.Uuid(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("actions", JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *_keys("decisions"),
    )
    _index("decisions", "organization_id", "rule_id", "at", "id")
    _index("decisions", "conversation_id", "at")
    _index("decisions", "ticket_id", "at")
    op.create_table(
        "backtests",
        *_own(),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("result", JSON, nullable=False),
        _created_at(),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        *_keys("backtests"),
    )
    _index("backtests", "organization_id", "created_at", "id")
    op.create_table(
        "ticket_openings",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("start", JSON, nullable=False),
        _created_at(),
        *_keys("ticket_openings", key="ticket_id"),
    )
    op.add_column("organizations", sa.Column("rules_revision", sa.Integer(), server_default="0", nullable=False))
    op.add_column("conversations", sa.Column("channel_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_conversations_channel_id"), "conversations", "channels", ["channel_id"], ["id"])
    op.create_index(
        op.f("ix_conversations_channel_id"),
        "conversations",
        ["channel_id"],
        unique=False,
        postgresql_where=sa.text("channel_id IS NOT NULL"),
    )
    op.add_column(
        "conversations",
        sa.Column("tags", postgresql.ARRAY(sa.String()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column("conversations", sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversations", sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("conversations", sa.Column("ticket_id", sa.Uuid(), nullable=True))
    _index("conversations", "organization_id", "created_at", "id")
    op.add_column("messages", sa.Column("reading", JSON, nullable=True))
    op.alter_column("messages", "ticket_id", nullable=True)
    _index("messages", "conversation_id", "sent_at")
    op.create_index(
        "ix_messages_read",
        "messages",
        ["organization_id", "sent_at", "id"],
        unique=False,
        postgresql_where=sa.text("reading IS NOT NULL"),
    )
    op.add_column("notifications", sa.Column("conversation_id", sa.Uuid(), nullable=True))
    op.alter_column("notifications", "ticket_id", nullable=True)
    op.alter_column("notifications", "ticket_version", nullable=True)


def downgrade() -> None:
    op.execute("DELETE FROM notifications WHERE ticket_id IS NULL")
    op.alter_column("notifications", "ticket_version", nullable=False)
    op.alter_column("notifications", "ticket_id", nullable=False)
    op.drop_column("notifications", "conversation_id")
    op.drop_index("ix_messages_read", table_name="messages", postgresql_where=sa.text("reading IS NOT NULL"))
    op.drop_index(op.f("ix_messages_conversation_id_sent_at"), table_name="messages")
    op.execute("DELETE FROM messages WHERE ticket_id IS NULL")
    op.alter_column("messages", "ticket_id", nullable=False)
    op.drop_column("messages", "reading")
    op.drop_index(op.f("ix_conversations_organization_id_created_at_id"), table_name="conversations")
    for column in ("ticket_id", "answered_at", "waiting_since", "tags", "channel_id"):
        op.drop_column("conversations", column)
    op.drop_column("organizations", "rules_revision")
    for table in ("ticket_openings", "backtests", "decisions", "rule_versions", "rules", "channels"):
        op.drop_table(table)


def _own() -> tuple[sa.Column[object], ...]:
    return sa.Column("id", sa.Uuid(), nullable=False), sa.Column("organization_id", sa.Uuid(), nullable=False)


def _created_at() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _keys(table: str, key: str = "id") -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(key, name=op.f(f"pk_{table}")),
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)
