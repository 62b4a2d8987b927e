"""Message templates, and the languages of organizations and requesters."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import remove_wall, wall

revision = "20261126_templates"
down_revision = "20261126_deliveries"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.add_column("organizations", sa.Column("language", sa.String(), server_default="en", nullable=False))
    op.add_column("organizations", sa.Column("customer_messages", JSON, server_default=sa.text("'{}'"), nullable=False))
    op.add_column("requesters", sa.Column("language", sa.String(), nullable=True))
    op.create_table(
        "message_templates",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_message_templates_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message_templates")),
        sa.UniqueConstraint(
            "organization_id", "kind", "language", name=op.f("uq_message_templates_organization_id_kind_language")
        ),
    )
    op.create_index(
        op.f("ix_message_templates_organization_id_created_at_id"),
        "message_templates",
        ["organization_id", "created_at", "id"],
    )
    wall("message_templates")


def downgrade() -> None:
    remove_wall("message_templates")
    op.drop_table("message_templates")
    op.drop_column("requesters", "language")
    for column in ("customer_messages", "language"):
        op.drop_column("organizations", column)
