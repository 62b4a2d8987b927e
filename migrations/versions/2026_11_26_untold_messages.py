"""Messages of which their tickets may not have been told yet."""

import sqlalchemy as sa
from alembic import op

from migrations.walls import remove_wall, wall

revision = "20261126_untold"
down_revision = "20261126_escalations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "untold_messages",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name=op.f("fk_untold_messages_message_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_untold_messages_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_untold_messages")),
    )
    op.create_index(op.f("ix_untold_messages_due_at"), "untold_messages", ["due_at"])
    wall("untold_messages")


def downgrade() -> None:
    remove_wall("untold_messages")
    op.drop_table("untold_messages")
