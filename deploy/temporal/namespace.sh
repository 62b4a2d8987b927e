#!/bin/sh
# Makes Baton's namespace, sets how long it keeps closed tickets' histories, and registers the search attributes.
# Safe to repeat. TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE are the command line's own variables.
set -eu
retention=${RETENTION:-90d}

try() { # a command, once a second for a minute: a server that has just started refuses some for a while
  attempts=60
  until output=$("$@" 2>&1); do
    attempts=$((attempts - 1))
    if [ "$attempts" -eq 0 ]; then
      echo "$output" >&2
      exit 1
    fi
    sleep 1
  done
}

register() { # a search attribute and its type, unless it is there
  temporal operator search-attribute list --output json | grep -q "\"$1\"" ||
    temporal operator search-attribute create --name "$1" --type "$2"
}

try temporal operator cluster health
if temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" > /dev/null 2>&1; then
  try temporal operator namespace update --namespace "$TEMPORAL_NAMESPACE" --retention "$retention"
else
  try temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention "$retention"
fi
for attribute in TicketStatus TicketPriority TicketTeam TicketAssignee TicketOrganization; do
  try register "$attribute" Keyword
done
try register TicketBreached Bool
echo "The namespace $TEMPORAL_NAMESPACE is ready."
