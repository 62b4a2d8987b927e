"""Reports read what rules did from an index alone, without the wide rows that say why."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_acted"
down_revision = "20261126_lines"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_decisions_acted",
        "decisions",
        ["organization_id", "ticket_id", "rule_id", "at"],
        postgresql_where=sa.text("kind = 'escalation_event' AND outcome = 'acted'"),
    )


def downgrade() -> None:
    op.drop_index("ix_decisions_acted", table_name="decisions")
