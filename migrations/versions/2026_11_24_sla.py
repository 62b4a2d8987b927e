"""SLA policies, calendars and clocks."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261124_sla"
down_revision = "20261122_first_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calendars",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_calendars_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendars")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_calendars_organization_id_name")),
    )
    op.create_index(
        "one_default_calendar", "calendars", ["organization_id"], unique=True, postgresql_where=sa.text("is_default")
    )
    op.create_table(
        "sla_policies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_sla_policies_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sla_policies")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_sla_policies_organization_id_name")),
    )
    op.create_index(
        op.f("ix_sla_policies_organization_id_position"), "sla_policies", ["organization_id", "position"], unique=False
    )
    op.create_table(
        "sla_policy_versions",
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["policy_id"], ["sla_policies.id"], name=op.f("fk_sla_policy_versions_policy_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("policy_id", "version", name=op.f("pk_sla_policy_versions")),
    )
    op.add_column(
        "ticket_events",
        sa.Column(
            "clock_events", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'"), nullable=False
        ),
    )
    op.add_column("tickets", sa.Column("sla_due_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tickets", sa.Column("breached", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index(
        "ix_tickets_breached",
        "tickets",
        ["organization_id", "created_at", "id"],
        unique=False,
        postgresql_where=sa.text("breached"),
    )
    op.create_index(
        "ix_tickets_sla_due",
        "tickets",
        ["organization_id", "sla_due_at"],
        unique=False,
        postgresql_where=sa.text("sla_due_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_tickets_sla_due", table_name="tickets", postgresql_where=sa.text("sla_due_at IS NOT NULL"))
    op.drop_index("ix_tickets_breached", table_name="tickets", postgresql_where=sa.text("breached"))
    op.drop_column("tickets", "breached")
    op.drop_column("tickets", "sla_due_at")
    op.drop_column("ticket_events", "clock_events")
    op.drop_table("sla_policy_versions")
    op.drop_index(op.f("ix_sla_policies_organization_id_position"), table_name="sla_policies")
    op.drop_table("sla_policies")
    op.drop_index("one_default_calendar", table_name="calendars", postgresql_where=sa.text("is_default"))
    op.drop_table("calendars")
