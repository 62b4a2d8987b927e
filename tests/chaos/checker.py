"""Compares what the clients were told with what the system has: pure, so that its own failures can be tested."""

from collections import Counter

from tests.chaos import promises_of_tickets, promises_to_clients, promises_to_people
from tests.chaos.evidence import Evidence
from tests.chaos.journal import History, Verdict
from tests.chaos.promises_to_clients import was_so_already
from tests.chaos.reading import Reading
from tests.chaos.report import Report


def check(history: History, reading: Reading) -> Report:
    """Everything that was promised, against everything that is there."""
    evidence = Evidence(history, reading)
    commands = list(history.commands.values())
    acknowledged, given_up = history.of(Verdict.ACKNOWLEDGED), history.of(Verdict.GIVEN_UP)
    return Report(
        findings=[
            *promises_to_clients.broken(evidence),
            *promises_of_tickets.broken(evidence),
            *promises_to_people.broken(evidence),
        ],
        sent=len(commands),
        acknowledged=len(acknowledged),
        without_effect=sum(
            not evidence.effects[command.key] and was_so_already(evidence, command) for command in acknowledged
        ),
        resolved=sum(bool(command.unknown) and command.verdict is not Verdict.GIVEN_UP for command in commands),
        refused=len(history.of(Verdict.REFUSED)),
        given_up=len(given_up),
        given_up_effective=sum(bool(evidence.effects[command.key]) for command in given_up),
        repeated=sum(len(command.repeated) for command in commands),
        tickets=len(evidence.rows),
        events=len(evidence.tables.events),
        fates=[fate for retold in evidence.retold.values() for fate in retold.fates],
        outages=[(outage.began, outage.ended) for outage in history.outages],
        blows=Counter((outage.part, outage.blow) for outage in history.outages),
        ended=Counter(ended.part for ended in history.ended),
    )
