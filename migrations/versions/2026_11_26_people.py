"""People: accounts, sessions, invitations, limits on guessing, scopes of keys, the audit log."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "20261126_people"
down_revision = "20261126_team"
branch_labels = None
depends_on = None

JSON = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        _moment("email_verified_at", nullable=True),
        _created_at(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_accounts_email")),
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        _created_at(),
        _to("identities", "account_id", "accounts", "CASCADE"),
        sa.PrimaryKeyConstraint("issuer", "subject", name=op.f("pk_identities")),
    )
    _index("identities", "account_id")
    op.create_table(
        "account_sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("user_agent", sa.String(), nullable=True),
        _created_at(),
        _moment("seen_at"),
        _moment("expires_at"),
        _to("account_sessions", "account_id", "accounts", "CASCADE"),
        _to("account_sessions", "organization_id", "organizations", "SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_sessions")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_account_sessions_token_hash")),
    )
    _index("account_sessions", "account_id")
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("member_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.String(), nullable=True),
        _created_at(),
        _moment("sent_at"),
        _moment("expires_at"),
        _moment("accepted_at", nullable=True),
        _moment("revoked_at", nullable=True),
        _to("invitations", "organization_id", "organizations", "CASCADE"),
        _to("invitations", "member_id", "members", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
    )
    _index("invitations", "member_id")
    _index("invitations", "organization_id", "created_at", "id")
    op.create_table(
        "password_resets",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=False),
        _created_at(),
        _moment("expires_at"),
        _moment("used_at", nullable=True),
        _to("password_resets", "account_id", "accounts", "CASCADE"),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_password_resets")),
    )
    _index("password_resets", "account_id")
    op.create_table(
        "attempts",
        sa.Column("bucket", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        _moment("since"),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_attempts")),
    )
    _index("attempts", "since")
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        _moment("at"),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.String(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("before", JSON, nullable=True),
        sa.Column("after", JSON, nullable=True),
        _to("audit_log", "organization_id", "organizations", "CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    _index("audit_log", "organization_id", "id")
    _index("audit_log", "organization_id", "subject_id", "id")
    op.add_column("members", sa.Column("account_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(
        op.f("fk_members_account_id"), "members", "accounts", ["account_id"], ["id"], ondelete="SET NULL"
    )
    op.create_unique_constraint(
        op.f("uq_members_account_id_organization_id"), "members", ["account_id", "organization_id"]
    )
    op.add_column("api_keys", sa.Column("scopes", postgresql.ARRAY(sa.String()), nullable=True))
    op.add_column("api_keys", _moment("expires_at", nullable=True))
    op.add_column("api_keys", _moment("last_used_at", nullable=True))


def downgrade() -> None:
    for column in ("last_used_at", "expires_at", "scopes"):
        op.drop_column("api_keys", column)
    op.drop_column("members", "account_id")
    for table in (
        "audit_log",
        "attempts",
        "password_resets",
        "invitations",
        "account_sessions",
        "identities",
        "accounts",
    ):
        op.drop_table(table)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _created_at() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _to(table: str, column: str, parent: str, ondelete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{parent}.id"], name=op.f(f"fk_{table}_{column}"), ondelete=ondelete)


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)
