"""What clients were told of tickets: what was acknowledged took effect once and in turn, what was refused did not."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from domain.events import EventKind
from tests.chaos.evidence import Evidence
from tests.chaos.journal import Command, Verdict, What
from tests.chaos.reading import Row
from tests.chaos.report import Finding, Wrong


def broken(evidence: Evidence) -> Iterator[Finding]:
    """Every promise to a client that was broken."""
    for command in evidence.history.of_tickets:
        effects, facts = evidence.effects[command.key], evidence.facts.get(command.key, [])
        what = f"{command.sent.what} {command.key} ({command.verdict})"
        if len(effects) > 1:
            places = ", ".join(f"ticket {row['ticket_id']} v{row['version']}" for row in effects)
            yield Finding(Wrong.DOUBLED, f"{what}: {places}")
        if len(facts) > 1:
            yield Finding(Wrong.DOUBLED, f"{what}: stored {len(facts)} times")
        if command.verdict is Verdict.REFUSED:
            yield from _traces(command, what, effects, facts)
        if command.verdict is Verdict.ACKNOWLEDGED:
            if not effects and not was_so_already(evidence, command):
                yield Finding(Wrong.LOST, f"{what} on ticket {command.ticket}: no event")
            if command.sent.what.is_fact and not facts:
                yield Finding(Wrong.LOST, f"{what} on ticket {command.ticket}: not stored")
            if effects:
                yield from _other_answers(evidence, command, what, effects[0])
    yield from _out_of_order(evidence)


def was_so_already(evidence: Evidence, command: Command) -> bool:
    """An assignment to whom it is assigned already is acknowledged and leaves no event.

    It was found so at some version between its sending and its answer, which shows what others did meanwhile too.
    """
    answered, body = command.answered, command.sent.body
    if command.sent.what is not What.ASSIGN or answered is None or answered.version is None or not command.ticket:
        return False
    events = evidence.events.get(UUID(command.ticket), [])
    before = (event["version"] for event in events if event["at"] <= command.sent.at)
    first = max((version for version in before if version <= answered.version), default=1)
    return any(
        all(held.get(name) == body[name] for name in ("team_id", "assignee_id") if name in body)
        for held in (_held(events, version) for version in range(first, answered.version + 1))
    )


def _traces(command: Command, what: str, effects: Sequence[Row], facts: Sequence[Row]) -> Iterator[Finding]:
    """What a refused command did. Where nobody waited for an answer, the refusal itself is on record."""
    assert command.answered
    if not command.sent.waits:
        effects = [each for each in effects if not _is_its_refusal(each, command.answered.code)]
    if effects or facts:
        place = f"ticket {effects[0]['ticket_id']} v{effects[0]['version']}" if effects else "stored, but not told"
        unknown = f" after {len(command.unknown)} unknown attempts" if command.unknown else ""
        yield Finding(Wrong.TRACE, f"{what}, {command.answered.code}{unknown}: {place}")


def _is_its_refusal(effect: Row, code: str | None) -> bool:
    return bool(effect["kind"] == EventKind.COMMAND_REFUSED and effect["about"]["code"] == code)


def _other_answers(evidence: Evidence, command: Command, what: str, effect: Row) -> Iterator[Finding]:
    """An answer, the first or a repeated one, that names something else than what was done."""
    assert command.answered
    if str(effect["ticket_id"]) != command.ticket:
        yield Finding(Wrong.ANSWER, f"{what}: answered for ticket {command.ticket}, is on {effect['ticket_id']}")
    answers = [(command.answered.version, command.answered.pending)]
    answers += [(again.version, again.pending) for again in command.repeated]
    for version, pending in answers:
        # A pending answer to a repetition shows the ticket as it is now.
        if version is not None and version != effect["version"] and not (pending and version > effect["version"]):
            yield Finding(Wrong.ANSWER, f"{what}: answered with v{version}, is v{effect['version']}")
    for again in command.repeated:
        if effect["kind"] == EventKind.COMMAND_REFUSED:
            # What nobody waited for: handed on again until it is on record, and told to all who ask after that.
            unheard = again.status == 202 and not _was_shown(evidence, effect, again.asked_at)
            if not (unheard or 400 <= again.status < 500):
                yield Finding(Wrong.ANSWER, f"{what}: refused, sent again, answered {again.status}")
        elif not 200 <= again.status < 300:
            yield Finding(Wrong.ANSWER, f"{what}: sent again, answered {again.status}")
        elif again.fact != command.answered.fact:
            yield Finding(Wrong.ANSWER, f"{what}: sent again, is another message")


def _was_shown(evidence: Evidence, effect: Row, by_then: datetime) -> bool:
    """Whether an answer had shown the effect's ticket as it was on record after it."""
    ticket, version = str(effect["ticket_id"]), effect["version"]
    return any(
        answer.version is not None and answer.version >= version and not answer.pending and answer.at <= by_then
        for command in evidence.history.of_tickets
        if command.ticket == ticket
        for answer in (command.answered, *command.repeated)
        if answer is not None
    )


def _out_of_order(evidence: Evidence) -> Iterator[Finding]:
    """What one client had acknowledged on one ticket takes effect in the same order."""
    last: dict[tuple[str, str], tuple[int, Command]] = {}
    for command in evidence.history.of(Verdict.ACKNOWLEDGED):
        effects = evidence.effects[command.key]
        if not effects:
            continue
        ticket, version = str(effects[0]["ticket_id"]), effects[0]["version"]
        before, earlier = last.get((command.sent.client, ticket), (0, command))
        if version <= before:
            what = f"{command.key} (v{version}) was sent after {earlier.key} (v{before}) was acknowledged"
            yield Finding(Wrong.DISORDERED, f"ticket {ticket}: {what}")
        last[command.sent.client, ticket] = max(before, version), command


def _held(events: Sequence[Row], version: int) -> Mapping[str, object]:
    """Team and assignee at a version."""
    made = events[0]["answer"] if events else None
    held = {name: (made or {}).get(name) for name in ("team_id", "assignee_id")}
    for event in events:
        if event["version"] <= version:
            held |= {name: change["after"] for name, change in event["changes"].items() if name in held}
    return held
