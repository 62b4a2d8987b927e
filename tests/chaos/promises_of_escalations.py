"""What escalations owe: one live a conversation, one owner at a time, a story that follows, everyone told once."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from uuid import UUID

from domain.escalation import LIVE, Escalation, EscalationStatus
from domain.escalation_story import ChangeKind, EscalationChange
from domain.escalation_timers import escalation_timers
from domain.ladders import Target
from tests.chaos.promises_to_people import media
from tests.chaos.reading import Row
from tests.chaos.report import Finding, Wrong
from tests.chaos.retelling_of_escalations import untimed
from tests.chaos.rows import by
from tests.chaos.talk_evidence import TalkEvidence


def broken(talks: TalkEvidence) -> Iterator[Finding]:
    """Every promise about an escalation, or about a conversation that has one, that was broken."""
    notified = by((row for row in talks.tables.notifications if row["ticket_id"] is None), "conversation_id")
    for id_, row in talks.rows.items():
        state = Escalation.model_validate(row["state"])
        yield from _story(talks, row, state)
        yield from _other_columns(row, state)
        yield from _unfired(talks, state)
        yield from _owners(id_, talks.stories.get(id_, []))
        yield from _strangers(talks, row)
    for conversation_id, rows in talks.by_conversation.items():
        yield from _two_live(conversation_id, rows)
        yield from _other_workflow(talks, conversation_id, rows)
        yield from _notices(talks, rows, notified.pop(conversation_id, []))
    for rows in notified.values():
        for row in rows:
            yield Finding(Wrong.TOLD_TWICE, f"notification {row['key']} of an escalation that is not there")
    for row in talks.conversations.values():
        yield from _conversation(talks, row)
    yield from _unasked(talks)
    yield from _api(talks)


def _story(talks: TalkEvidence, row: Row, state: Escalation) -> Iterator[Finding]:
    story, retold = talks.stories.get(row["id"], []), talks.retold[row["id"]]
    versions = [change["version"] for change in story]
    if versions != list(range(1, row["version"] + 1)):
        yield Finding(Wrong.GAP, f"escalation {row['id']} at v{row['version']} has {versions}")
    if retold.problem:
        yield Finding(Wrong.STORY, f"escalation {row['id']}: {retold.problem}")
    elif retold.end != untimed(state):
        yield Finding(Wrong.STORY, f"escalation {row['id']}: its state does not follow from its story")


def _other_columns(row: Row, state: Escalation) -> Iterator[Finding]:
    """The columns that lists filter and sort by repeat what the whole state says."""
    expected: dict[str, Any] = {
        name: getattr(state, name) for name in row if name in Escalation.model_fields and name != "state"
    }
    expected |= {"priority_rank": state.priority.rank, "in_line_since": state.in_line_since}
    if differing := [name for name, value in expected.items() if row[name] != value]:
        yield Finding(Wrong.MISMATCH, f"escalation {row['id']}: the row's {', '.join(differing)} differ from its state")


def _unfired(talks: TalkEvidence, state: Escalation) -> Iterator[Finding]:
    for timer in escalation_timers(state):
        if timer.due_at < talks.tables.at:
            yield Finding(Wrong.UNFIRED, f"escalation {state.id}: {timer.kind} due at {timer.due_at.isoformat()}")


def _owners(escalation_id: UUID, story: Sequence[Row]) -> Iterator[Finding]:
    """Nobody gets a conversation that somebody has."""
    holder: str | None = None
    for change in story:
        if change["kind"] == ChangeKind.CLAIMED:
            owner = change["about"].get("owner_id")
            if holder is not None:
                place = f"escalation {escalation_id} v{change['version']}"
                yield Finding(Wrong.TWO_OWNERS, f"{place}: {owner} gets what {holder} has")
            holder = owner
        elif change["kind"] == ChangeKind.RETURNED:
            holder = None


def _two_live(conversation_id: UUID, rows: Sequence[Row]) -> Iterator[Finding]:
    """One has ended before the next one begins."""
    for earlier, later in pairwise(rows):
        if earlier["closed_at"] is None or earlier["closed_at"] > later["raised_at"]:
            what = f"{earlier['id']} was live when {later['id']} began"
            yield Finding(Wrong.TWO_LIVE, f"conversation {conversation_id}: {what}")


def _other_workflow(talks: TalkEvidence, conversation_id: UUID, rows: Sequence[Row]) -> Iterator[Finding]:
    found, last = talks.reading.escalations.get(conversation_id), rows[-1]
    state = Escalation.model_validate(last["state"])
    if found is None or found.problem:
        yield Finding(Wrong.MISMATCH, f"escalation {last['id']}: {found.problem if found else 'it has no workflow'}")
    elif found.escalation is None:
        if state.is_live:  # else a run may have come for a reason that was known, and found nothing to do
            yield Finding(Wrong.MISMATCH, f"escalation {last['id']} is {state.status}, its workflow knows of none")
    elif found.escalation != state:
        yield Finding(Wrong.MISMATCH, f"escalation {last['id']} differs from its workflow's")


def _notices(talks: TalkEvidence, rows: Sequence[Row], stored: Sequence[Row]) -> Iterator[Finding]:
    """Everybody whom the stories of a conversation name has each notice by each medium, once, and nobody another.

    Nobody in a run has chosen anything, so that the defaults hold.
    """
    expected = {key for row in rows for change in talks.retold[row["id"]].told for key in _told(talks, row, change)}
    failed = [row["id"] for row in rows if talks.retold[row["id"]].problem]
    keys = [row["key"] for row in stored if not any(row["key"].startswith(f"{id_}:") for id_ in failed)]
    for key in sorted(expected - set(keys)):
        if not any(key.startswith(f"{id_}:") for id_ in failed):
            yield Finding(Wrong.UNTOLD, f"nobody has {key}")
    for key in sorted(set(keys) - expected):
        yield Finding(Wrong.TOLD_TWICE, f"somebody has {key}")


def _told(talks: TalkEvidence, row: Row, change: EscalationChange) -> Iterator[str]:
    organization = talks.history.organizations[str(row["organization_id"])]
    teams = talks.tables.rules[row["organization_id"]].teams
    told = {change.actor.member_id}
    for notice in change.notices:
        named = {*notice.member_ids}
        if Target.TEAM in notice.targets and row["team_id"]:
            named |= {*teams[row["team_id"]].member_ids}
        if Target.SUPERVISORS in notice.targets:
            named.add(UUID(organization.supervisor_id))
        for member in named - told:
            for medium in media(notice.kind):
                yield f"{row['id']}:{notice.key}:{member}:{medium}"
        told |= named


def _conversation(talks: TalkEvidence, row: Row) -> Iterator[Finding]:
    """Who has it, and since when its customer waits, is what its escalations and its messages say."""
    expected: dict[str, object] = {"handled_by": "bot", "owner_id": None}
    live: Mapping[str, Any] | None = None
    for escalation in talks.by_conversation.get(row["id"], ()):
        is_live = escalation["status"] in LIVE
        live = escalation if is_live else None
        if escalation["first_claimed_at"] is not None:
            claimed = escalation["status"] == EscalationStatus.CLAIMED
            expected = {
                "handled_by": "human" if is_live else "bot",
                "owner_id": escalation["owner_id"] if claimed else None,
            }
    said = talks.messages_of.get(row["id"], [])
    answered = max((each["sent_at"] for each in said if each["author_kind"] == "agent"), default=None)
    waits = [
        each["sent_at"]
        for each in said
        if each["author_kind"] == "customer" and (answered is None or each["sent_at"] > answered)
    ]
    times = {"answered_at": answered, "waiting_since": min(waits, default=None)}
    if differing := [name for name, value in (expected | times).items() if row[name] != value]:
        yield Finding(Wrong.MISMATCH, f"conversation {row['external_id']}: its {', '.join(differing)} do not follow")
    if live and any(live[name] != row[name] for name in times):
        yield Finding(Wrong.MISMATCH, f"escalation {live['id']} does not know since when its customer waits")


def _unasked(talks: TalkEvidence) -> Iterator[Finding]:
    """Nobody says, notes or gives as a reason what no client has."""
    said = {row["id"] for command in talks.commands for row in talks.said(command)}
    noted = {row["id"] for command in talks.commands for row in talks.notes_of(command)}
    reasons = {talks.reason_id(command) for command in talks.commands}
    for rows in talks.messages.values():
        for row in rows:
            if row["id"] not in said:
                yield Finding(Wrong.UNASKED, f"message {row['id']} in conversation {row['conversation_id']}")
    for row in talks.tables.escalation_notes:
        if row["id"] not in noted:
            yield Finding(Wrong.UNASKED, f"note {row['id']} on escalation {row['escalation_id']}")
    for id_, row in talks.reasons.items():
        if id_ not in reasons:
            yield Finding(Wrong.UNASKED, f"reason {id_} in conversation {row['conversation_id']}")
    for id_ in set(talks.stories) - set(talks.rows):
        yield Finding(Wrong.MISMATCH, f"changes of escalation {id_}, which is not there")


def _strangers(talks: TalkEvidence, row: Row) -> Iterator[Finding]:
    """Only its own organization's conversation, members, teams and clients have to do with an escalation."""
    own, place = row["organization_id"], f"escalation {row['id']}"
    rules = talks.tables.rules[own]
    conversation = talks.conversations.get(row["conversation_id"])
    if conversation is None or conversation["organization_id"] != own:
        yield Finding(Wrong.FOREIGN, f"{place}: its conversation")
    if row["owner_id"] and row["owner_id"] not in rules.members:
        yield Finding(Wrong.FOREIGN, f"{place}: its owner")
    if row["team_id"] and row["team_id"] not in rules.teams:
        yield Finding(Wrong.FOREIGN, f"{place}: its team")
    for change in talks.stories.get(row["id"], ()):
        if change["organization_id"] != own or change["conversation_id"] != row["conversation_id"]:
            yield Finding(Wrong.FOREIGN, f"{place} v{change['version']}")


def _api(talks: TalkEvidence) -> Iterator[Finding]:
    for id_, listed in talks.reading.api.items():
        own = {str(row["id"]): row["version"] for row in talks.rows.values() if str(row["organization_id"]) == id_}
        if unlike := {escalation for escalation, _ in own.items() ^ listed.escalations.items()}:
            yield Finding(Wrong.MISMATCH, f"the API lists {sorted(unlike)} otherwise than the tables")
