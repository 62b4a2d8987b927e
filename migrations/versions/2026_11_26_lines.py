"""How many escalations are queued and deliveries pending, of all organizations, for metrics."""

import sqlalchemy as sa
from alembic import op

from db.walls import ROLE

revision = "20261126_lines"
down_revision = "20261126_untold"
branch_labels = None
depends_on = None

# Of the tables' owner, as ``baton_queues``: the application sees one organization at a time, and these are sums of all.
LINES = """
CREATE FUNCTION baton_lines() RETURNS TABLE
    (line text, of text, length bigint, oldest_seconds double precision)
LANGUAGE sql STABLE ROWS 12 SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT 'queued', priority, count(*), greatest(extract(epoch FROM now() - min(in_line_since)), 0)::float
    FROM escalations WHERE status = 'queued' GROUP BY 2
    UNION ALL
    SELECT 'pending', connector, count(*), greatest(extract(epoch FROM now() - min(created_at)), 0)::float
    FROM deliveries WHERE state = 'pending' AND connector <> 'webchat' GROUP BY 2
    UNION ALL
    SELECT 'failed', connector, count(*), 0::float
    FROM deliveries WHERE state = 'failed' AND finished_at > now() - interval '1 day' GROUP BY 2
$$
"""


def upgrade() -> None:
    op.create_index("ix_deliveries_failed", "deliveries", ["finished_at"], postgresql_where=sa.text("state = 'failed'"))
    op.execute("SELECT set_config('search_path', current_schema(), true)")
    op.execute(LINES)
    op.execute("REVOKE ALL ON FUNCTION baton_lines() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION baton_lines() TO {ROLE}")


def downgrade() -> None:
    op.execute("DROP FUNCTION baton_lines()")
    op.drop_index("ix_deliveries_failed", table_name="deliveries")
