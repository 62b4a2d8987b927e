"""What a run left behind of conversations: which command had which effects, and who had which conversation when."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.escalation_commands import Raise
from domain.escalation_story import ENDED, ChangeKind
from domain.ids import known_conversation_id, raising_id
from tests.chaos.journal import Command, History, What
from tests.chaos.reading import Reading, Row
from tests.chaos.retelling_of_escalations import EscalationTeller, RetoldEscalation
from tests.chaos.rows import by


@dataclass(frozen=True)
class Episode:
    """A member has a conversation; ``until`` is ``None`` where that has not ended."""

    escalation_id: UUID
    owner: str
    """As a refused claim names them."""
    since: datetime
    until: datetime | None

    @property
    def owner_id(self) -> str:
        return self.owner.partition(":")[0]

    def meets(self, began: datetime, ended: datetime) -> bool:
        """Whether it was going on at some time between the two."""
        return self.since <= ended and (self.until is None or self.until >= began)


class TalkEvidence:
    """The journal beside the system's own word, of the conversations that clients have named.

    ``rows`` are escalations by id, ``stories`` their changes in order, ``episodes`` who had them, and ``retold`` what
    follows from each story. ``by_conversation`` has a conversation's escalations in the order they were raised in.
    """

    def __init__(self, history: History, reading: Reading) -> None:
        self.history = history
        self.reading = reading
        self.tables = tables = reading.tables
        self.commands = history.of_conversations
        self.conversations = {row["id"]: row for row in tables.conversations if row["external_id"]}
        self.rows = {row["id"]: row for row in tables.escalations}
        self.by_conversation = by(tables.escalations, "conversation_id")
        self.stories = by(tables.changes, "escalation_id")
        self.reasons = {row["id"]: row for row in tables.reasons}
        mine = [row for row in tables.messages if row["conversation_id"] in self.conversations]
        self.messages, self.messages_of = by(mine, "body"), by(mine, "conversation_id")
        self.notes = by(tables.escalation_notes, "body")
        self._by_request = self._changes_by_request()
        self.episodes = {id_: list(_episodes(id_, story)) for id_, story in self.stories.items()}
        self._tellers: dict[UUID, EscalationTeller] = {}
        self.retold = {id_: self._retell(row) for id_, row in self.rows.items()}

    def conversation_id(self, command: Command) -> UUID:
        """The conversation a command is about."""
        assert command.sent.conversation
        return known_conversation_id(UUID(command.sent.organization), command.sent.conversation)

    def reason_id(self, command: Command) -> UUID:
        """The reason that the command gives, if it is one that gives any."""
        return raising_id(self.conversation_id(command), command.key)

    def effects(self, command: Command) -> list[Row]:
        """The changes that say that it was done."""
        return self._by_request[self.conversation_id(command), self._request_id(command)]

    def said(self, command: Command) -> list[Row]:
        """The messages it has left."""
        return self.messages.get(f"Said by {command.key}", [])

    def notes_of(self, command: Command) -> list[Row]:
        """The notes it has left."""
        return self.notes.get(f"Said by {command.key}", [])

    def had(self, command: Command) -> list[Episode]:
        """Who had the conversation, or the escalation the command was meant for, while it was on its way."""
        assert command.answered
        of = command.sent.escalation
        return [
            episode
            for row in self.by_conversation[self.conversation_id(command)]
            for episode in self.episodes.get(row["id"], ())
            if of in (None, str(row["id"])) and episode.meets(command.sent.at, command.answered.at)
        ]

    def _request_id(self, command: Command) -> str:
        return str(self.reason_id(command)) if command.sent.what is What.RAISE else command.key

    def _changes_by_request(self) -> dict[tuple[UUID, str], list[Row]]:
        found: dict[tuple[UUID, str], list[Row]] = defaultdict(list)
        for row in self.tables.changes:
            if row["request_id"]:
                found[row["conversation_id"], row["request_id"]].append(row)
        return found

    def _retell(self, row: Row) -> RetoldEscalation:
        organization = row["organization_id"]
        if organization not in self._tellers:
            mine = [command for command in self.commands if command.sent.organization == str(organization)]
            self._tellers[organization] = EscalationTeller(
                self.tables.rules[organization],
                {self._request_id(command): command.sent for command in mine},
                {
                    self._request_id(command): Raise.model_validate(self.reasons[reason_id]["raising"])
                    for command in mine
                    if (reason_id := self.reason_id(command)) in self.reasons
                },
            )
        return self._tellers[organization].tell(row, self.stories.get(row["id"], []))


def _episodes(escalation_id: UUID, story: Sequence[Row]) -> Iterator[Episode]:
    claimed: Row | None = None
    for change in story:
        if claimed and change["kind"] in (ChangeKind.CLAIMED, ChangeKind.RETURNED, *ENDED):
            yield Episode(escalation_id, _owner(claimed), claimed["at"], change["at"])
            claimed = None
        if change["kind"] == ChangeKind.CLAIMED:
            claimed = change
    if claimed:
        yield Episode(escalation_id, _owner(claimed), claimed["at"], None)


def _owner(claimed: Row) -> str:
    return f"{claimed['about'].get('owner_id')}: {claimed['about'].get('owner_name')}"
