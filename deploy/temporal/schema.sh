#!/bin/sh
# Brings both databases of Temporal to the schema of this release. Safe to repeat; run it before a newer server starts.
set -eu
SQL_PASSWORD=$(cat "${SECRETS_DIR:-/run/secrets}/temporal_database_password")
export SQL_PASSWORD

sql_tool() {
  database=$1
  shift
  temporal-sql-tool --plugin postgres12 --ep "$POSTGRES_SEEDS" -p "$DB_PORT" -u "$POSTGRES_USER" --db "$database" "$@"
}

schemas=/etc/temporal/schema/postgresql/v12
sql_tool temporal setup-schema -v 0.0
sql_tool temporal update-schema -d "$schemas/temporal/versioned"
sql_tool temporal_visibility setup-schema -v 0.0
sql_tool temporal_visibility update-schema -d "$schemas/visibility/versioned"
