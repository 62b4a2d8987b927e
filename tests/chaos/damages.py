"""What is done to the tables of a run that nobody disturbed, and everything that has to be found then."""

from dataclasses import dataclass

from tests.chaos.report import Wrong

DOUBLED_EVENT = """
    INSERT INTO ticket_events (ticket_id, version, organization_id, kind, at, actor_kind, actor_id, actor_name, reason,
                               changes, about, request_id, fingerprint, answer, clock_events)
    SELECT ticket_id, (SELECT max(version) + 1 FROM ticket_events WHERE ticket_id = one.ticket_id), organization_id,
           kind, at, actor_kind, actor_id, actor_name, reason, changes, about, {request}, fingerprint, answer,
           clock_events
    FROM ticket_events AS one WHERE {which}
"""
NOT_UNIQUE = "DROP INDEX uq_ticket_events_request"


@dataclass(frozen=True)
class Damage:
    """What is done to the tables, and everything that has to be found; ``beside`` is what it may bring with it."""

    name: str
    statements: tuple[str, ...]
    wrong: frozenset[Wrong]
    beside: frozenset[Wrong] = frozenset()


SOME_OPEN = "(SELECT id FROM tickets WHERE status <> 'closed' ORDER BY id LIMIT 1)"
SOME_CLOSED = "(SELECT id FROM tickets WHERE status = 'closed' ORDER BY id LIMIT 1)"
SOME_REMINDED = "(SELECT ticket_id FROM ticket_events WHERE kind = 'reminder_sent' ORDER BY ticket_id LIMIT 1)"
STRANGER = "(SELECT id FROM organizations WHERE id <> {table}.organization_id ORDER BY id LIMIT 1)"
SYSTEM_CLOSED = "kind = 'status_changed' AND actor_kind = 'system' AND changes -> 'status' ->> 'after' = 'closed'"

DAMAGES = (
    Damage(
        "row_of_open_ticket",
        (f"UPDATE tickets SET title = 'x' WHERE id = {SOME_OPEN}",),
        frozenset({Wrong.MISMATCH}),
    ),
    Damage(
        "state_of_closed_ticket",
        (f"UPDATE tickets SET state = jsonb_set(state, '{{reopened}}', '9') WHERE id = {SOME_CLOSED}",),
        frozenset({Wrong.MISMATCH, Wrong.STORY}),
    ),
    Damage(
        "event_with_another_content",
        (f"UPDATE ticket_events SET changes = '{{}}' WHERE ticket_id = {SOME_CLOSED} AND {SYSTEM_CLOSED}",),
        frozenset({Wrong.STORY}),
    ),
    Damage(
        "second_effect_without_its_name",
        (DOUBLED_EVENT.format(request="NULL", which="(ticket_id, version) IN (SELECT ticket_id, version FROM "
                              "ticket_events WHERE kind IN ('escalated', 'edited') ORDER BY at LIMIT 1)"),),
        frozenset({Wrong.GAP, Wrong.STORY}),
    ),
    Damage(
        "timer_that_fired_twice",
        (DOUBLED_EVENT.format(request="NULL", which=f"kind = 'reminder_sent' AND about ->> 'step' = '1' AND "
                              f"about ->> 'episode' = '1' AND ticket_id = {SOME_REMINDED}"),),
        frozenset({Wrong.GAP, Wrong.STORY, Wrong.FIRED_TWICE}),
    ),
    Damage(
        "timer_that_never_fired",
        (f"DELETE FROM ticket_events WHERE (ticket_id, version) IN (SELECT id, version FROM tickets) AND "
         f"ticket_id = (SELECT ticket_id FROM ticket_events JOIN tickets ON id = ticket_id AND "
         f"tickets.version = ticket_events.version WHERE {SYSTEM_CLOSED} LIMIT 1)",),
        frozenset({Wrong.GAP, Wrong.STORY, Wrong.UNFIRED}),
    ),
    Damage(
        "reminder_the_customer_never_got",
        (f"DELETE FROM messages WHERE external_id LIKE 'baton:%reminder:1:1' AND ticket_id = {SOME_REMINDED}",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "reminder_the_customer_got_twice",
        ("INSERT INTO messages (id, organization_id, conversation_id, ticket_id, external_id, author_kind, body, "
         "sent_at) SELECT gen_random_uuid(), organization_id, conversation_id, ticket_id, external_id || '0', "
         f"author_kind, body, sent_at FROM messages WHERE external_id LIKE 'baton:%reminder:1:1' AND "
         f"ticket_id = {SOME_REMINDED}",),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "notification_that_was_lost",
        ("DELETE FROM notifications WHERE id = (SELECT min(id) FROM notifications WHERE key LIKE '%:assigned:%')",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "notification_by_mail_that_was_lost",
        ("DELETE FROM notifications WHERE id = "
         "(SELECT min(id) FROM notifications WHERE key LIKE '%:assigned:%' AND medium = 'email')",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "notification_by_a_medium_nobody_wanted",
        ("INSERT INTO notifications (organization_id, key, member_id, ticket_id, ticket_version, medium, kind, why, "
         "created_at) SELECT organization_id, replace(key, '\\:in_app', '\\:email'), member_id, ticket_id, "
         "ticket_version, 'email', kind, why, created_at FROM notifications WHERE kind = 'customer_replied' LIMIT 1",),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "notification_given_twice",
        ("INSERT INTO notifications (organization_id, key, member_id, ticket_id, ticket_version, kind, why, created_at)"
         " SELECT organization_id, replace(key, 'assigned:', 'assigned:7'), member_id, ticket_id, ticket_version, kind,"
         " why, created_at FROM notifications WHERE key LIKE '%:assigned:%' LIMIT 1",),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "message_of_a_stranger",
        (f"UPDATE messages SET organization_id = {STRANGER.format(table='messages')} WHERE id = "
         "(SELECT min(id::text)::uuid FROM messages)",),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "event_of_a_stranger",
        (f"UPDATE ticket_events SET organization_id = {STRANGER.format(table='ticket_events')} WHERE "
         f"ticket_id = {SOME_CLOSED} AND version = 2",),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "requester_of_a_stranger",
        (f"UPDATE requesters SET external_id = 'moved', organization_id = {STRANGER.format(table='requesters')} "
         f"WHERE id = (SELECT requester_id FROM tickets WHERE id = {SOME_CLOSED})",),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "message_nobody_sent",
        ("INSERT INTO messages (id, organization_id, conversation_id, ticket_id, external_id, author_kind, body, "
         "sent_at) SELECT gen_random_uuid(), organization_id, conversation_id, ticket_id, 'nobody', 'customer', 'x', "
         "sent_at FROM messages LIMIT 1",),
        frozenset({Wrong.UNASKED}),
    ),
)  # fmt: skip
