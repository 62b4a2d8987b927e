"""Back-tests are pruned by age, rules count their decisions, and mails keep no tokens."""

from alembic import op

revision = "20261126_care"
down_revision = "20261126_privacy"
branch_labels = None
depends_on = None

_DECISIONS = "ix_decisions_organization_id_rule_id_at_id"
_BY_RULE = ["organization_id", "rule_id", "at", "id"]

# Mails that wait are left as they are, or their receivers could not come in.
_FORGET_TOKENS = """
    UPDATE mails SET text = regexp_replace(text, '#token=\\S+', '#token=')
    WHERE state <> 'queued' AND (key LIKE 'invitation:%' OR key LIKE 'password-reset:%')
"""


def upgrade() -> None:
    op.create_index(op.f("ix_backtests_updated_at"), "backtests", ["updated_at"])
    op.drop_index(op.f(_DECISIONS), table_name="decisions")
    op.create_index(op.f(_DECISIONS), "decisions", _BY_RULE, postgresql_include=["kind", "outcome", "ticket_id"])
    op.execute(_FORGET_TOKENS)


def downgrade() -> None:
    op.drop_index(op.f(_DECISIONS), table_name="decisions")
    op.create_index(op.f(_DECISIONS), "decisions", _BY_RULE)
    op.drop_index(op.f("ix_backtests_updated_at"), table_name="backtests")
