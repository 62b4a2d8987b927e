"""Notices: media and preferences, mails, live events."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_notices"
down_revision = "20261126_assignment"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "notification_settings",
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("media", JSON, nullable=False),
        sa.Column("quiet_hours", JSON, nullable=True),
        sa.ForeignKeyConstraint(
            ["member_id"], ["members.id"], name=op.f("fk_notification_settings_member_id"), ondelete="CASCADE"
        ),
        _of_organization("notification_settings"),
        sa.PrimaryKeyConstraint("member_id", name=op.f("pk_notification_settings")),
    )
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("to_address", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("html", sa.String(), nullable=True),
        sa.Column("headers", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        _of_organization("mails"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
        sa.UniqueConstraint("key", name=op.f("uq_mails_key")),
    )
    op.create_index(
        "ix_mails_queued", "mails", ["created_at"], unique=False, postgresql_where=sa.text("state = 'queued'")
    )
    op.create_index(op.f("ix_mails_organization_id"), "mails", ["organization_id"], unique=False)
    op.create_table(
        "live_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "transaction",
            sa.BigInteger(),
            server_default=sa.text("CAST(CAST(pg_current_xact_id() AS text) AS bigint)"),
            nullable=False,
        ),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("ticket_id", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        _of_organization("live_events"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_live_events")),
    )
    op.create_index(op.f("ix_live_events_transaction_id"), "live_events", ["transaction", "id"], unique=False)
    op.create_index(op.f("ix_live_events_at"), "live_events", ["at"], unique=False)
    op.add_column("notifications", sa.Column("medium", sa.String(), server_default=sa.text("'in_app'"), nullable=False))
    for name in ("urgent", "mail_due"):
        op.add_column("notifications", sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("notifications", sa.Column("mail_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_notifications_mail_id"), "notifications", "mails", ["mail_id"], ["id"], ondelete="SET NULL"
    )
    _index_some("unread", ["member_id", "id"], "read_at IS NULL")
    _index_some("mail_due", ["member_id"], "mail_due")
    _index_some("mail_id", ["mail_id"], "mail_id IS NOT NULL")


def downgrade() -> None:
    op.execute("DELETE FROM notifications WHERE medium <> 'in_app'")
    op.drop_index("ix_notifications_unread", table_name="notifications")
    op.drop_index("ix_notifications_mail_due", table_name="notifications")
    for column in ("mail_id", "mail_due", "urgent", "medium"):
        op.drop_column("notifications", column)
    for table in ("live_events", "mails", "notification_settings"):
        op.drop_table(table)


def _of_organization(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id"), ondelete="CASCADE"
    )


def _index_some(name: str, columns: list[str], condition: str) -> None:
    op.create_index(
        f"ix_notifications_{name}", "notifications", columns, unique=False, postgresql_where=sa.text(condition)
    )
