"""What is done to the tables of conversations, escalations and deliveries, and everything that has to be found then."""

from tests.chaos.damages import STRANGER, Damage
from tests.chaos.report import Wrong

_CHANGE = "(escalation_id, version) IN (SELECT escalation_id, version FROM escalation_changes WHERE {which} LIMIT 1)"
ADDED = _CHANGE.format(which="kind = 'reason_added' ORDER BY at, version")
CLAIMED = _CHANGE.format(which="kind = 'claimed' ORDER BY at, version")
RETURNED = _CHANGE.format(which="kind = 'returned' ORDER BY at, version")
ONE_AGAIN = """
    INSERT INTO escalation_changes (escalation_id, version, organization_id, conversation_id, kind, at, actor_kind,
                                    actor_id, actor_name, why, about, request_id, fingerprint, answer)
    SELECT escalation_id, (SELECT max(version) + 1 FROM escalation_changes WHERE escalation_id = one.escalation_id),
           organization_id, conversation_id, kind, at, actor_kind, actor_id, actor_name, why, about, request_id,
           fingerprint, answer
    FROM escalation_changes AS one WHERE {which}
"""
CHAT = "(SELECT id FROM conversations WHERE external_id IS NOT NULL ORDER BY id LIMIT 1)"
ANSWER = "(SELECT min(number) FROM deliveries WHERE kind = 'message')"
NOTICE = "(SELECT min(id) FROM notifications WHERE ticket_id IS NULL)"
LAST = "(SELECT id FROM escalations ORDER BY raised_at DESC LIMIT 1)"
FOLLOWED = (
    "(SELECT one.id FROM escalations AS one JOIN escalations AS next ON next.conversation_id = one.conversation_id "
    "AND next.raised_at > one.raised_at ORDER BY one.raised_at LIMIT 1)"
)

TALK_DAMAGES = (
    Damage(
        "request_for_a_human_in_no_story",
        (f"DELETE FROM escalation_changes WHERE {ADDED}",),
        frozenset({Wrong.LOST, Wrong.GAP, Wrong.STORY}),
    ),
    Damage(
        "request_for_a_human_twice_in_a_story",
        ("DROP INDEX uq_escalation_changes_request", ONE_AGAIN.format(which=ADDED)),
        frozenset({Wrong.DOUBLED, Wrong.GAP, Wrong.STORY}),
    ),
    Damage(
        "request_for_a_human_that_no_workflow_was_told",
        (
            "UPDATE escalation_reasons SET escalation_id = NULL WHERE id = "
            f"(SELECT CAST(request_id AS uuid) FROM escalation_changes WHERE {ADDED})",
        ),
        frozenset({Wrong.MISMATCH}),
    ),
    Damage(
        "two_escalations_live_at_once",
        (f"UPDATE escalations SET closed_at = closed_at + interval '1 hour' WHERE id = {FOLLOWED}",),
        frozenset({Wrong.TWO_LIVE, Wrong.MISMATCH}),
    ),
    Damage(
        "conversation_given_to_a_second_member",
        (f"UPDATE escalation_changes SET kind = 'claimed' WHERE {RETURNED}",),
        frozenset({Wrong.TWO_OWNERS, Wrong.STORY, Wrong.UNDELIVERED}),
    ),
    Damage(
        "another_winner_than_was_acknowledged",
        (
            "UPDATE escalation_changes AS one SET about = about || jsonb_build_object('owner_id', (SELECT id FROM "
            "members WHERE organization_id = one.organization_id AND id::text <> one.about ->> 'owner_id' LIMIT 1)) "
            f"WHERE {CLAIMED}",
        ),
        frozenset({Wrong.TWO_OWNERS, Wrong.STORY, Wrong.DELIVERED_IN_VAIN}),
        beside=frozenset({Wrong.ANSWER, Wrong.LOST}),  # of those who were told the first winner's name
    ),
    Damage(
        "step_of_the_queue_that_was_never_taken",
        (
            "UPDATE escalations SET state = jsonb_set(state, '{climb,run,due_at}', to_jsonb(now() - interval '1 h')) "
            "WHERE id = (SELECT id FROM escalations WHERE status = 'queued' AND state ->> 'climb' IS NOT NULL LIMIT 1)",
        ),
        frozenset({Wrong.UNFIRED, Wrong.STORY, Wrong.MISMATCH}),
    ),
    Damage(
        "step_of_the_queue_that_was_taken_twice",
        (ONE_AGAIN.format(which=_CHANGE.format(which="kind = 'ladder_step' ORDER BY at, version")),),
        frozenset({Wrong.GAP, Wrong.STORY}),
    ),
    Damage(
        "escalation_whose_columns_differ",
        (f"UPDATE escalations SET priority_rank = 9 WHERE id = {LAST}",),
        frozenset({Wrong.MISMATCH}),
    ),
    Damage(
        "escalation_whose_state_does_not_follow",
        (f"UPDATE escalations SET state = jsonb_set(state, '{{stay}}', '7') WHERE id = {LAST}",),
        frozenset({Wrong.STORY, Wrong.MISMATCH}),
    ),
    Damage(
        "conversation_that_somebody_else_has",
        (f"UPDATE conversations SET owner_id = gen_random_uuid() WHERE id = {CHAT}",),
        frozenset({Wrong.MISMATCH}),
    ),
    Damage(
        "customer_who_waits_since_another_time",
        (f"UPDATE conversations SET waiting_since = now() WHERE id = {CHAT}",),
        frozenset({Wrong.MISMATCH}),
    ),
    Damage(
        "team_that_was_not_told_of_the_queue",
        (f"DELETE FROM notifications WHERE id = {NOTICE}",),
        frozenset({Wrong.UNTOLD}),
    ),
    Damage(
        "team_that_was_told_of_the_queue_twice",
        (
            "INSERT INTO notifications (organization_id, key, member_id, conversation_id, medium, kind, why, "
            "created_at) SELECT organization_id, replace(key, ':raised:', ':raised:7'), member_id, conversation_id, "
            "medium, kind, why, created_at FROM notifications WHERE key LIKE '%:raised:%' LIMIT 1",
        ),
        frozenset({Wrong.TOLD_TWICE}),
    ),
    Damage(
        "answer_that_was_not_stored",
        (f"DELETE FROM messages WHERE id = (SELECT message_id FROM deliveries WHERE number = {ANSWER})",),
        frozenset({Wrong.LOST, Wrong.DELIVERED_IN_VAIN}),
        beside=frozenset({Wrong.MISMATCH}),  # where it was the last one: its customer waits since another time
    ),
    Damage(
        "answer_whose_delivery_is_not_recorded",
        (f"DELETE FROM deliveries WHERE number = {ANSWER}",),
        frozenset({Wrong.UNDELIVERED, Wrong.DELIVERED_IN_VAIN}),
    ),
    Damage(
        "answer_that_has_still_to_go_out",
        (f"UPDATE deliveries SET state = 'pending' WHERE number = {ANSWER}",),
        frozenset({Wrong.RECORDED}),
    ),
    Damage(
        "answer_recorded_as_delivered_twice",
        (f"UPDATE deliveries SET attempts = attempts || attempts WHERE number = {ANSWER}",),
        frozenset({Wrong.RECORDED}),
    ),
    Damage(
        "delivery_nobody_has_asked_for",
        (
            "INSERT INTO deliveries (id, organization_id, key, conversation_id, channel_id, connector, kind, state, "
            "created_at, due_at, try_until) SELECT gen_random_uuid(), organization_id, 'nobody', conversation_id, "
            f"channel_id, connector, 'handed_back', state, created_at, due_at, try_until FROM deliveries "
            f"WHERE number = {ANSWER}",
        ),
        frozenset({Wrong.DELIVERED_IN_VAIN}),
    ),
    Damage(
        "change_of_a_stranger",
        (
            "UPDATE escalation_changes SET organization_id = "
            f"{STRANGER.format(table='escalation_changes')} WHERE {CLAIMED}",
        ),
        frozenset({Wrong.FOREIGN}),
    ),
    Damage(
        "message_of_a_conversation_nobody_sent",
        (
            "INSERT INTO messages (id, organization_id, conversation_id, external_id, author_kind, body, sent_at) "
            "SELECT gen_random_uuid(), organization_id, id, 'nobody', 'bot', 'x', now() FROM conversations "
            f"WHERE id = {CHAT}",
        ),
        frozenset({Wrong.UNASKED}),
    ),
    Damage(
        "note_nobody_wrote",
        (
            "INSERT INTO escalation_notes (id, organization_id, escalation_id, body) "
            f"SELECT gen_random_uuid(), organization_id, id, 'x' FROM escalations WHERE id = {LAST}",
        ),
        frozenset({Wrong.UNASKED}),
    ),
    Damage(
        "note_that_was_lost",
        ("DELETE FROM escalation_notes WHERE id = (SELECT min(id::text)::uuid FROM escalation_notes)",),
        frozenset({Wrong.LOST}),
    ),
    Damage(
        "reason_nobody_gave",
        (
            "INSERT INTO escalation_reasons (id, organization_id, conversation_id, escalation_id, source, raising, at) "
            "SELECT gen_random_uuid(), organization_id, conversation_id, escalation_id, source, raising, at "
            "FROM escalation_reasons LIMIT 1",
        ),
        frozenset({Wrong.UNASKED}),
    ),
)
