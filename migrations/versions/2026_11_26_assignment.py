"""Assignment: presence, capacity, out of office, turns, and the queues of teams."""

import sqlalchemy as sa
from alembic import op

revision = "20261126_assignment"
down_revision = "20261126_requesters"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("organizations", sa.Column("member_capacity", sa.Integer(), nullable=True))
    op.add_column("teams", sa.Column("member_capacity", sa.Integer(), nullable=True))
    op.add_column("team_members", sa.Column("last_turn", sa.BigInteger(), server_default="0", nullable=False))
    for name, kind in (
        ("heartbeat_at", _TIME),
        ("capacity", sa.Integer()),
        ("out_from", _TIME),
        ("out_until", _TIME),
        ("replacement_id", sa.Uuid()),
    ):
        op.add_column("members", sa.Column(name, kind, nullable=True))
    op.create_foreign_key(op.f("fk_members_replacement_id"), "members", "members", ["replacement_id"], ["id"])
    op.create_table(
        "rotas",
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("turns", sa.BigInteger(), server_default="0", nullable=False),
        _of_organization("rotas"),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_rotas")),
    )
    op.create_table(
        "queued_tickets",
        sa.Column("ticket_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("team_id", sa.Uuid(), nullable=False),
        sa.Column("episode", sa.Integer(), nullable=False),
        sa.Column("priority_rank", sa.SmallInteger(), nullable=False),
        sa.Column("waiting_since", _TIME, nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=True),
        sa.Column("why", sa.String(), nullable=True),
        sa.Column("turn_of", sa.Uuid(), nullable=True),
        sa.Column("turn", sa.BigInteger(), nullable=True),
        sa.Column("turn_before", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Uuid(), nullable=True),
        sa.Column("offered_at", _TIME, nullable=True),
        sa.Column("told_at", _TIME, nullable=True),
        _of_organization("queued_tickets"),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_queued_tickets")),
    )
    op.create_index(
        "ix_queued_tickets_waiting",
        "queued_tickets",
        ["team_id", sa.text("priority_rank DESC"), "waiting_since", "ticket_id"],
        postgresql_where=sa.text("member_id IS NULL"),
    )
    op.create_index(
        "ix_queued_tickets_offered",
        "queued_tickets",
        ["organization_id", "member_id"],
        postgresql_where=sa.text("member_id IS NOT NULL"),
    )
    op.create_index(
        "ix_tickets_load",
        "tickets",
        ["assignee_id"],
        postgresql_where=sa.text("status IN ('open', 'in_progress')"),
    )
    # What waits already keeps its place; who hands it out is asked when something changes.
    op.execute(
        """
        INSERT INTO queued_tickets (ticket_id, organization_id, team_id, episode, priority_rank, waiting_since)
        SELECT id, organization_id, team_id, (state ->> 'assignment_episode')::int, priority_rank, created_at
        FROM tickets
        WHERE team_id IS NOT NULL AND assignee_id IS NULL AND status IN ('open', 'in_progress')
        """
    )


def downgrade() -> None:
    op.drop_index("ix_tickets_load", table_name="tickets")
    op.drop_table("queued_tickets")
    op.drop_table("rotas")
    op.drop_constraint(op.f("fk_members_replacement_id"), "members", type_="foreignkey")
    for name in ("replacement_id", "out_until", "out_from", "capacity", "heartbeat_at"):
        op.drop_column("members", name)
    op.drop_column("team_members", "last_turn")
    op.drop_column("teams", "member_capacity")
    op.drop_column("organizations", "member_capacity")


def _of_organization(table: str) -> sa.Constraint:
    return sa.ForeignKeyConstraint(
        ["organization_id"], ["organizations.id"], name=op.f(f"fk_{table}_organization_id"), ondelete="CASCADE"
    )
