"""What migrations say to put a table behind the second wall between organizations (``db/walls.py``)."""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from db.walls import ROLE

# In parentheses with SELECT they are worked out once a statement, not once a row.
_OURS = "(SELECT nullif(nullif(current_setting('baton.organization', true), '*'), '')::uuid)"
_EVERYBODYS = "(SELECT current_setting('baton.organization', true) = '*')"


def wall(table: str, column: str = "organization_id") -> None:
    """Let the application see and write the rows of the organization it works for, and no others."""
    _raise(table, f"{column} = {_OURS}")


def wall_by(table: str, column: str, parent: str) -> None:
    """The same for rows that belong to a row of ``parent``, a walled table, which ``column`` names."""
    # No organization is named here: what can be seen of the parent is all that can be found.
    _raise(table, f"EXISTS (SELECT FROM {parent} AS parent WHERE parent.id = {table}.{column})")


def remove_wall(table: str) -> None:
    """Take the policies away."""
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for policy in ("one_organization", "everything"):
        op.execute(f"DROP POLICY IF EXISTS {policy} ON {table}")


def tables_of_organizations() -> Iterable[str]:
    """Every table that has an ``organization_id`` by now."""
    return op.get_bind().scalars(
        sa.text(
            "SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t"
            " USING (table_schema, table_name) WHERE c.table_schema = current_schema()"
            " AND c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE' ORDER BY 1"
        )
    )


def _raise(table: str, condition: str) -> None:
    """Safe to repeat."""
    remove_wall(table)
    op.execute(
        f"CREATE POLICY one_organization ON {table} TO {ROLE} USING ({condition} OR {_EVERYBODYS})"
        f" WITH CHECK ({condition} OR {_EVERYBODYS})"
    )
    # Forced, so that what the owner may do is said here and nowhere else: migrations and repair see everything.
    op.execute(f"CREATE POLICY everything ON {table} TO CURRENT_USER USING (true) WITH CHECK (true)")
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def ensure_role() -> None:
    """Make the application's role, which belongs to the server and not to this database, and grant it what it needs.

    Ends the migration with what to do where the migrating user may not.
    """
    bind = op.get_bind()
    user, may_make = bind.execute(
        sa.text("SELECT current_user, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    ).one()
    there, member = bind.execute(
        sa.text(
            "SELECT count(*) = 1, coalesce(bool_or(pg_has_role(current_user, oid, 'SET')), false)"
            " FROM pg_roles WHERE rolname = :role"
        ),
        {"role": ROLE},
    ).one()
    if not there and not may_make:
        raise SystemExit(
            f"The user {user!r} may not create roles. Have an administrator of the server run, and migrate again:\n"
            f'  CREATE ROLE {ROLE} NOLOGIN;\n  GRANT {ROLE} TO "{user}" WITH SET TRUE;'
        )
    if not there:
        # Two databases of one server may be migrated at once.
        op.execute(
            f"DO $$ BEGIN CREATE ROLE {ROLE} NOLOGIN;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    if not member and not may_make:
        raise SystemExit(
            f"The user {user!r} may not work as {ROLE}. Have an administrator of the server run, and migrate again:\n"
            f'  GRANT {ROLE} TO "{user}" WITH SET TRUE;'
        )
    if not member:
        op.execute(f"GRANT {ROLE} TO CURRENT_USER WITH SET TRUE")
    for grant in (
        f"GRANT USAGE ON SCHEMA %I TO {ROLE}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO {ROLE}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO {ROLE}",
        # Later migrations need not think of it.
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {ROLE}",
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT USAGE ON SEQUENCES TO {ROLE}",
    ):
        op.execute(f"DO $$ BEGIN EXECUTE format('{grant}', current_schema()); END $$")
    op.execute(f"REVOKE ALL ON alembic_version FROM {ROLE}")
