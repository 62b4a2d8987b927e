"""Compares what the clients were told with what the system has: pure, so that its own failures can be tested."""

from collections import Counter

from domain.escalation_story import ChangeKind
from tests.chaos import (
    promises_of_deliveries,
    promises_of_escalations,
    promises_of_tickets,
    promises_to_clients,
    promises_to_people,
    promises_to_talkers,
)
from tests.chaos.evidence import Evidence, Memory
from tests.chaos.journal import Command, History, Verdict, What
from tests.chaos.promises_of_deliveries import known_as
from tests.chaos.promises_to_clients import was_so_already
from tests.chaos.reading import Reading
from tests.chaos.report import Report, TalkCounts
from tests.chaos.talk_evidence import TalkEvidence


def check(history: History, reading: Reading, memory: Memory | None = None) -> Report:
    """Everything that was promised, against everything that is there."""
    evidence = Evidence(history, reading, memory)
    commands = list(history.commands.values())
    acknowledged, given_up = history.of(Verdict.ACKNOWLEDGED), history.of(Verdict.GIVEN_UP)
    return Report(
        findings=[
            *promises_to_clients.broken(evidence),
            *promises_of_tickets.broken(evidence),
            *promises_to_people.broken(evidence),
            *promises_to_talkers.broken(evidence.talks),
            *promises_of_escalations.broken(evidence.talks),
            *promises_of_deliveries.broken(evidence.talks),
        ],
        sent=len(commands),
        acknowledged=len(acknowledged),
        without_effect=sum(not _effects(evidence, command) and _was_so(evidence, command) for command in acknowledged),
        resolved=sum(bool(command.unknown) and command.verdict is not Verdict.GIVEN_UP for command in commands),
        refused=len(history.of(Verdict.REFUSED)),
        given_up=len(given_up),
        given_up_effective=sum(bool(_effects(evidence, command)) for command in given_up),
        repeated=sum(len(command.repeated) for command in commands),
        tickets=len(evidence.rows),
        events=len(evidence.tables.events),
        talks=_talks(evidence.talks),
        fates=[fate for retold in evidence.retold.values() for fate in retold.fates],
        outages=[(outage.began, outage.ended) for outage in history.outages],
        blows=Counter((outage.part, outage.blow) for outage in history.outages),
        ended=Counter(ended.part for ended in history.ended),
    )


def _effects(evidence: Evidence, command: Command) -> int:
    if command.sent.what.of_conversation:
        return len(evidence.talks.effects(command)) + len(evidence.talks.said(command))
    return len(evidence.effects[command.key])


def _was_so(evidence: Evidence, command: Command) -> bool:
    if command.sent.what.of_conversation:
        return any(effect["kind"] == ChangeKind.UNCHANGED for effect in evidence.talks.effects(command))
    return was_so_already(evidence, command)


def _talks(talks: TalkEvidence) -> TalkCounts:
    acknowledged = [each for each in talks.commands if each.verdict is Verdict.ACKNOWLEDGED]
    kinds = Counter(change["kind"] for change in talks.tables.changes)
    taken = Counter(request.delivery for request in talks.history.received if request.taken)
    return TalkCounts(
        conversations=len(talks.conversations),
        escalations=len(talks.rows),
        raised=sum(each.sent.what is What.RAISE for each in acknowledged),
        taken=sum(each.sent.what.takes for each in acknowledged),
        contested=sum(each.answered is not None and each.answered.owner is not None for each in talks.commands),
        returned=kinds[ChangeKind.RETURNED],
        steps=kinds[ChangeKind.LADDER_STEP],
        notices=sum(row["ticket_id"] is None for row in talks.tables.notifications),
        replies=sum(each.sent.what is What.REPLY for each in acknowledged),
        deliveries=len({known_as(row["id"]) for row in talks.tables.deliveries} & set(taken)),
        requests=len(talks.history.received),
        again=sum(count > 1 for count in taken.values()),
    )
