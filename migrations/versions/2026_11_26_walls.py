"""Row-level security: the application sees the rows of the organization it works for, and no others."""

import sqlalchemy as sa
from alembic import op

from db.walls import ROLE
from migrations.walls import ensure_role, remove_wall, tables_of_organizations, wall, wall_by

revision = "20261126_walls"
down_revision = "20261126_people"
branch_labels = None
depends_on = None

BY_THEIR_PARENT = (
    ("team_members", "team_id", "teams"),
    ("rule_versions", "rule_id", "rules"),
    ("sla_policy_versions", "policy_id", "sla_policies"),
)

# Both are the owner's, whom the wall does not stop: the first answers for one hash, the second with sums.
CALLER = """
CREATE FUNCTION baton_caller(digest bytea, acting uuid) RETURNS TABLE
    (key_id uuid, organization_id uuid, name text, scopes text[], last_used_at timestamptz, member_id uuid,
     member_name text, role text)
LANGUAGE sql STABLE ROWS 1 SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT k.id, k.organization_id, k.name::text, k.scopes::text[], k.last_used_at, m.id, m.name::text, m.role::text
    FROM api_keys k LEFT JOIN members m
        ON m.id = acting AND m.organization_id = k.organization_id AND m.status = 'active'
    WHERE k.hash = digest AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
$$
"""
QUEUES = """
CREATE FUNCTION baton_queues(statuses text[]) RETURNS TABLE
    (status text, unassigned boolean, length bigint, oldest_seconds double precision, overdue bigint)
LANGUAGE sql STABLE STRICT ROWS 6 SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT tickets.status, assignee_id IS NULL, count(*),
           coalesce(extract(epoch FROM now() - min(created_at)), 0)::float,
           count(*) FILTER (WHERE sla_due_at < now())
    FROM tickets WHERE tickets.status = ANY(statuses) GROUP BY 1, 2
$$
"""
FUNCTIONS = {"baton_caller(bytea, uuid)": CALLER, "baton_queues(text[])": QUEUES}

# Behind a wall Postgres asks an index only by operators that cannot give away what they compare. These two only say
# yes or no, but are not marked so; without the mark, words and tags are looked for in every ticket of an organization.
DISCREET = ("pg_catalog.ts_match_vq(tsvector, tsquery)", "pg_catalog.arraycontains(anyarray, anyarray)")


def upgrade() -> None:
    ensure_role()
    op.execute("SELECT set_config('search_path', current_schema(), true)")
    for signature, statement in FUNCTIONS.items():
        op.execute(statement)
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {ROLE}")
    wall("organizations", "id")
    for table in list(tables_of_organizations()):
        wall(table)
    for table, column, parent in BY_THEIR_PARENT:
        wall_by(table, column, parent)
    if op.get_bind().scalar(sa.text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
        for function in DISCREET:
            op.execute(f"ALTER FUNCTION {function} LEAKPROOF")


def downgrade() -> None:
    for table, _, _ in BY_THEIR_PARENT:
        remove_wall(table)
    for table in list(tables_of_organizations()):
        remove_wall(table)
    remove_wall("organizations")
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
