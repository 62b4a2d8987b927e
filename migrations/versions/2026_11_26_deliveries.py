"""Deliveries by conversations' channels, and secrets of channels."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import remove_wall, wall

revision = "20261126_deliveries"
down_revision = "20261126_privacy"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("connector", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("about", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", JSON, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("tried", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("provider_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("try_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        _refers("deliveries", "organization_id", "organizations", "CASCADE"),
        _refers("deliveries", "conversation_id", "conversations", "CASCADE"),
        _refers("deliveries", "message_id", "messages", "CASCADE"),
        _refers("deliveries", "channel_id", "channels"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("organization_id", "key", name=op.f("uq_deliveries_organization_id_key")),
    )
    op.create_index(
        op.f("ix_deliveries_organization_id_created_at_id"), "deliveries", ["organization_id", "created_at", "id"]
    )
    op.create_index(op.f("ix_deliveries_message_id"), "deliveries", ["message_id"])
    op.create_index(op.f("ix_deliveries_channel_id"), "deliveries", ["channel_id"])
    op.create_index(
        "ix_deliveries_pending",
        "deliveries",
        ["conversation_id", "number"],
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "channel_secrets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("channel_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        _refers("channel_secrets", "organization_id", "organizations", "CASCADE"),
        _refers("channel_secrets", "channel_id", "channels", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_channel_secrets")),
    )
    op.create_index(op.f("ix_channel_secrets_channel_id_purpose"), "channel_secrets", ["channel_id", "purpose"])
    for table in ("deliveries", "channel_secrets"):
        wall(table)


def downgrade() -> None:
    for table in ("channel_secrets", "deliveries"):
        remove_wall(table)
        op.drop_table(table)


def _refers(table: str, column: str, to: str, ondelete: str | None = None) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_{column}")
    return sa.ForeignKeyConstraint([column], [f"{to}.id"], name=name, ondelete=ondelete)
