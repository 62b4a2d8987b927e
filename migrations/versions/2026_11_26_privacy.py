"""Erasing requesters, and exports of an organization."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations.walls import remove_wall, wall

revision = "20261126_privacy"
down_revision = "20261126_walls"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("requesters", sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("messages", sa.Column("erased", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "erasures",
        *_asked_for(),
        sa.Column("requester_id", sa.Uuid(), nullable=False),
        sa.Column("tickets", sa.Integer(), server_default="0", nullable=False),
        sa.Column("messages", sa.Integer(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["requester_id"], ["requesters.id"], name=op.f("fk_erasures_requester_id")),
        *_keys("erasures", "id"),
    )
    op.create_index(op.f("ix_erasures_organization_id_created_at_id"), "erasures", [*_BY_TIME])
    op.create_index(op.f("ix_erasures_requester_id"), "erasures", ["requester_id"])
    op.create_table(
        "exports",
        *_asked_for(),
        sa.Column("rows", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        *_keys("exports", "id"),
    )
    op.create_index(op.f("ix_exports_organization_id_created_at_id"), "exports", [*_BY_TIME])
    op.create_table(
        "export_pages",
        sa.Column("export_id", sa.Uuid(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["export_id"], ["exports.id"], name=op.f("fk_export_pages_export_id"), ondelete="CASCADE"
        ),
        *_keys("export_pages", "export_id", "file", "number"),
    )
    for table in ("erasures", "exports", "export_pages"):
        wall(table)


def downgrade() -> None:
    for table in ("export_pages", "exports", "erasures"):
        remove_wall(table)
        op.drop_table(table)
    op.drop_column("messages", "erased")
    op.drop_column("requesters", "erased_at")


_BY_TIME = ("organization_id", "created_at", "id")


def _asked_for() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
    )


def _keys(table: str, *key: str) -> tuple[sa.Constraint, ...]:
    return (
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{table}")),
    )
