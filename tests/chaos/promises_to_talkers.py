"""What clients were told of conversations: what was acknowledged has its effect once, and who lost is told who won."""

from collections.abc import Iterator
from uuid import UUID

from domain.escalation_story import ChangeKind
from tests.chaos.journal import Command, Verdict, What
from tests.chaos.reading import Row
from tests.chaos.report import Finding, Wrong
from tests.chaos.talk_evidence import TalkEvidence

_LOST_TO_ANOTHER = "claimed_by_another"
_MAY_BE_REFUSED = frozenset({_LOST_TO_ANOTHER, "escalation_over", "not_claimed"})


def broken(talks: TalkEvidence) -> Iterator[Finding]:
    """Every promise to whoever works on conversations that was broken."""
    for command in talks.commands:
        what = f"{command.sent.what} {command.key} ({command.verdict}) in {command.sent.conversation}"
        effects, said = talks.effects(command), talks.said(command)
        if len(effects) > 1 or len(said) > 1:
            yield Finding(Wrong.DOUBLED, f"{what}: {len(effects)} changes, {len(said)} messages")
        if command.verdict is Verdict.REFUSED:
            yield from _traces(talks, command, what)
            yield from _unjust(talks, command, what)
        elif command.verdict is Verdict.ACKNOWLEDGED:
            yield from _lost(talks, command, what)
            yield from _other_answers(talks, command, what)
    yield from _out_of_order(talks)


def _lost(talks: TalkEvidence, command: Command, what: str) -> Iterator[Finding]:
    effects = talks.effects(command)
    if command.sent.what.is_said:
        if not talks.said(command):
            yield Finding(Wrong.LOST, f"{what}: not stored")
        return
    if command.sent.what is What.RAISE:
        reason = talks.reasons.get(talks.reason_id(command))
        if reason is None or not effects:
            yield Finding(Wrong.LOST, f"{what}: {'in no story' if reason else 'not stored'}")
        elif reason["escalation_id"] != effects[0]["escalation_id"]:
            yield Finding(Wrong.MISMATCH, f"{what}: its reason is {reason['escalation_id']}'s, its change another's")
        return
    if "note" in command.sent.body and not talks.notes_of(command):
        yield Finding(Wrong.LOST, f"{what}: its note")
    if not effects:
        yield Finding(Wrong.LOST, f"{what}: no change")
    elif command.sent.what.takes and _owner(talks, effects[0]) != command.sent.member:
        yield Finding(Wrong.TWO_OWNERS, f"{what}: {_owner(talks, effects[0])} has it by that change")


def _owner(talks: TalkEvidence, effect: Row) -> str | None:
    """Who has the conversation by a claim, by a takeover that made the escalation first, or by an earlier claim."""
    claims = [change for change in talks.stories[effect["escalation_id"]] if change["kind"] == ChangeKind.CLAIMED]
    if effect["kind"] == ChangeKind.UNCHANGED:
        by = [change for change in claims if change["version"] < effect["version"]][-1:]
    else:
        by = [change for change in claims if effect["version"] <= change["version"] <= effect["version"] + 1]
    return by[0]["about"].get("owner_id") if by else None


def _traces(talks: TalkEvidence, command: Command, what: str) -> Iterator[Finding]:
    """A refused command has changed nothing, said nothing, and given no reason."""
    assert command.answered
    left = [f"v{row['version']} of {row['escalation_id']}" for row in talks.effects(command)]
    left += ["a message"] * bool(talks.said(command)) + ["a note"] * bool(talks.notes_of(command))
    left += ["a reason"] * (talks.reason_id(command) in talks.reasons)
    if left:
        unknown = f" after {len(command.unknown)} unknown attempts" if command.unknown else ""
        yield Finding(Wrong.TRACE, f"{what}, {command.answered.code}{unknown}: {', '.join(left)}")


def _unjust(talks: TalkEvidence, command: Command, what: str) -> Iterator[Finding]:
    """Claims and what ends escalations may be refused, and who lost to another is told to whom."""
    answered = command.answered
    assert answered
    if answered.code not in _MAY_BE_REFUSED or not (command.sent.what.takes or command.sent.what.ends):
        yield Finding(Wrong.ANSWER, f"{what}: refused with {answered.status} {answered.code}")
    elif answered.code == _LOST_TO_ANOTHER:
        others = {episode.owner for episode in talks.had(command) if episode.owner_id != command.sent.member}
        if answered.owner not in others:
            yield Finding(Wrong.ANSWER, f"{what}: refused for {answered.owner}, who did not have it")


def _other_answers(talks: TalkEvidence, command: Command, what: str) -> Iterator[Finding]:
    """An answer, the first or a repeated one, that names something else than what was done."""
    effects, said, answered = talks.effects(command), talks.said(command), command.answered
    assert answered
    if said and answered.fact != str(said[0]["id"]):
        yield Finding(Wrong.ANSWER, f"{what}: answered with message {answered.fact}, is {said[0]['id']}")
    if effects and answered.escalation:
        of, version = str(effects[0]["escalation_id"]), effects[0]["version"]
        if answered.escalation != of or (answered.version or 0) < version:
            told = f"{answered.escalation} v{answered.version}"
            yield Finding(Wrong.ANSWER, f"{what}: answered with {told}, is {of} v{version}")
    for again in command.repeated:
        if not effects and not said:
            continue  # it is lost, and named so
        if not 200 <= again.status < 300:
            yield Finding(Wrong.ANSWER, f"{what}: sent again, answered {again.status}")
        elif again.fact != answered.fact or (
            again.escalation and answered.escalation and again.escalation != answered.escalation
        ):
            yield Finding(Wrong.ANSWER, f"{what}: sent again, is another")


def _out_of_order(talks: TalkEvidence) -> Iterator[Finding]:
    """What one client had acknowledged in one conversation takes effect in the same order, and is said in it."""
    last: dict[tuple[str, UUID, str], tuple[object, Command]] = {}
    turns = {
        row["id"]: turn for rows in talks.by_conversation.values() for turn, row in enumerate(rows)
    }  # escalations of a conversation follow one another
    for command in talks.history.of(Verdict.ACKNOWLEDGED):
        if not command.sent.what.of_conversation or not command.answered or command.answered.pending:
            continue
        effects, said = talks.effects(command), talks.said(command)
        if not effects and not said:
            continue
        place: object = (
            said[0]["created_at"] if said else (turns.get(effects[0]["escalation_id"], -1), effects[0]["version"])
        )
        line = command.sent.client, talks.conversation_id(command), "said" if said else "done"
        before = last.get(line)
        if before and place <= before[0]:  # type: ignore[operator]
            what = f"{command.key} was sent after {before[1].key} was acknowledged"
            yield Finding(Wrong.DISORDERED, f"conversation {command.sent.conversation}: {what}")
        last[line] = place, command
