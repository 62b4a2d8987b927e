"""Who follows a web chat is told of each message that is stored in its conversation."""

from alembic import op

revision = "20261126_webchat"
down_revision = "20261126_templates"
branch_labels = None
depends_on = None

# Once a statement: a batch has hundreds of messages, of which few are a web chat's.
_TELL = """
CREATE FUNCTION baton_webchat_said() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_notify('baton_webchat', c.id::text)
    FROM (SELECT DISTINCT conversation_id FROM said) AS s
    JOIN conversations AS c ON c.id = s.conversation_id
    WHERE c.channel = 'webchat' AND c.channel_id IS NOT NULL;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.execute("SELECT set_config('search_path', current_schema(), true)")
    op.execute(_TELL)
    op.execute(
        "CREATE TRIGGER webchat_said AFTER INSERT ON messages REFERENCING NEW TABLE AS said"
        " FOR EACH STATEMENT EXECUTE FUNCTION baton_webchat_said()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER webchat_said ON messages")
    op.execute("DROP FUNCTION baton_webchat_said()")
