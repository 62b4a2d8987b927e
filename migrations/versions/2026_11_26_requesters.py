"""Requesters are listed, and conversations by their requester."""

from alembic import op

revision = "20261126_requesters"
down_revision = "20261125_front_door"
branch_labels = None
depends_on = None

_INDEXES = (
    ("requesters", ("organization_id", "created_at", "id")),
    ("conversations", ("requester_id", "created_at", "id")),
)


def upgrade() -> None:
    for table, columns in _INDEXES:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)


def downgrade() -> None:
    for table, columns in _INDEXES:
        op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table_name=table)
