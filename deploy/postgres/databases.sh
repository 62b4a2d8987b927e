#!/bin/sh
# Runs once, when the volume is empty: two users and a database for Baton, a user and two databases for Temporal. Neither
# can open the other's. Baton's tables are of one user, which migrates and makes dumps; API and worker are the other,
# which sees one organization at a time.
set -eu
secrets=${SECRETS_DIR:-/run/secrets}

psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set baton_password="$(cat "$secrets/baton_database_password")" \
  --set baton_app_password="$(cat "$secrets/baton_app_database_password")" \
  --set temporal_password="$(cat "$secrets/temporal_database_password")" <<'SQL'
CREATE ROLE baton LOGIN BYPASSRLS PASSWORD :'baton_password';
SELECT 'CREATE ROLE baton_application NOLOGIN'
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'baton_application') \gexec
GRANT baton_application TO baton;
CREATE ROLE baton_app LOGIN PASSWORD :'baton_app_password' IN ROLE baton_application;
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE DATABASE baton OWNER baton;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE baton, temporal, temporal_visibility FROM PUBLIC;
GRANT CONNECT ON DATABASE baton TO baton_app;
\connect baton
-- Their yes or no gives nothing away, and without this an index is not asked behind row-level security.
ALTER FUNCTION pg_catalog.ts_match_vq(tsvector, tsquery) LEAKPROOF;
ALTER FUNCTION pg_catalog.arraycontains(anyarray, anyarray) LEAKPROOF;
SQL
