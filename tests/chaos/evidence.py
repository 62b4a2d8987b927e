"""What a run left behind, put together: which command had which effects, and what follows from each story."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from domain.ticket import Ticket
from tests.chaos.journal import History
from tests.chaos.reading import Reading, Row
from tests.chaos.retelling import Asked, Retold, Teller, beginning

AFTERMATH = timedelta(seconds=15)
"""How long after an outage its effects may be felt: a workflow task and a retried activity wait up to ten seconds."""


class Evidence:
    """The journal beside the system's own word.

    ``rows`` are tickets by id, ``events`` their stories in order. ``facts`` are stored messages and notes, and
    ``effects`` events, by the key of the command that brought them. ``retold`` is what follows from each story.
    """

    def __init__(self, history: History, reading: Reading) -> None:
        self.history = history
        self.reading = reading
        self.tables = reading.tables
        self.rows = {row["id"]: row for row in self.tables.tickets}
        self.events = by(self.tables.events, "ticket_id")
        self.facts = self._stored_facts()
        self.effects = self._found_effects()
        self._asked = self._requests()
        self.retold = {id_: self._retell(id_) for id_ in self.rows}

    def _stored_facts(self) -> dict[str, list[Row]]:
        """Messages and notes by the key of the command that brought them, which every text ends in."""
        stored = by((*self.tables.messages, *self.tables.notes), "body")
        facts = [command for command in self.history.commands.values() if command.sent.what.is_fact]
        return {command.key: stored.get(command.sent.body["body"], []) for command in facts}

    def _found_effects(self) -> dict[str, list[Row]]:
        """By command, the events that say that it was done, or refused without its sender waiting."""
        keys = {str(row["id"]): key for key, rows in self.facts.items() for row in rows}
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.tables.events:
            fact = row["about"].get("message_id") or row["about"].get("note_id")
            key = keys.get(fact) if fact else row["request_id"]
            if key in self.history.commands:
                found[key].append(row)
        return found

    def _requests(self) -> dict[str, Asked]:
        """What was asked for, by the id under which a story names it."""
        found: dict[str, Asked] = {}
        for command in self.history.commands.values():
            found[command.key] = Asked(command.sent)
            for row in self.facts.get(command.key, []):
                at = row.get("sent_at") or row["created_at"]
                found[str(row["id"])] = Asked(command.sent, at, row.get("automatic", False))
        return found

    def _retell(self, ticket: UUID) -> Retold:
        events, row = self.events.get(ticket, []), self.rows[ticket]
        if not events or events[0]["version"] != 1 or not events[0]["answer"]:
            return Retold((), problem="its story has no beginning")
        start = beginning(Ticket.model_validate(events[0]["answer"]))
        teller = Teller(self.tables.rules[row["organization_id"]], self._disturbed)
        held = Ticket.model_validate(row["state"])
        return teller.tell(start, events, self._asked, held, self.tables.at)

    def _disturbed(self, since: datetime, until: datetime) -> bool:
        return any(outage.began <= until and since <= outage.ended + AFTERMATH for outage in self.history.outages)


def by(rows: Iterable[Row], name: str) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found
