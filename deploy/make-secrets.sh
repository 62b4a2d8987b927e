#!/bin/sh
# Makes the secrets that docker-compose.yml mounts, each a file of its own in deploy/secrets. What is there stays.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

make_secret() {
  if [ ! -s "secrets/$1" ]; then
    name=$1
    shift
    "$@" > "secrets/$name.new"
    # Containers run as users that are nobody out here, so the file is readable and the folder is what keeps it private.
    chmod 444 "secrets/$name.new"
    mv "secrets/$name.new" "secrets/$name"
    echo "made deploy/secrets/$name"
  fi
}

encryption_key() {
  printf '%s:%s\n' "$(date +%Y-%m)" "$(openssl rand -base64 32)"
}

make_secret postgres_password openssl rand -hex 24
make_secret temporal_database_password openssl rand -hex 24
make_secret baton_database_password openssl rand -hex 24
make_secret baton_app_database_password openssl rand -hex 24
make_secret baton_secret_key openssl rand -hex 32
make_secret baton_operator_key openssl rand -hex 32
make_secret baton_codec_token openssl rand -hex 32
make_secret baton_encryption_keys encryption_key
