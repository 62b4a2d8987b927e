#!/bin/sh
# Runs once, when the volume is empty: a user and a database for Baton, a user and two databases for Temporal. Neither
# can open the other's.
set -eu
secrets=${SECRETS_DIR:-/run/secrets}

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set baton_password="$(cat "$secrets/baton_database_password")" \
  --set temporal_password="$(cat "$secrets/temporal_database_password")" <<'SQL'
CREATE ROLE baton LOGIN PASSWORD :'baton_password';
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE baton OWNER baton;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE baton, temporal, temporal_visibility FROM PUBLIC;
SQL
