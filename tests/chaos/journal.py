"""What the clients sent, what they were answered, and what was done to the system meanwhile, in that order."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Json = dict[str, Any]


def now() -> datetime:
    return datetime.now(UTC)


class What(StrEnum):
    """What a command asks for."""

    CREATE = "create"
    STATUS = "status"
    EDIT = "edit"
    ASSIGN = "assign"
    ESCALATE = "escalate"
    CUSTOMER_MESSAGE = "customer_message"
    AGENT_MESSAGE = "agent_message"
    NOTE = "note"

    # Of conversations.
    SAY = "say"
    REPLY = "reply"
    RAISE = "raise"
    CLAIM = "claim"
    TAKE_OVER = "take_over"
    HAND_BACK = "hand_back"
    RESOLVE = "resolve"
    DISMISS = "dismiss"

    @property
    def is_fact(self) -> bool:
        """Whether it is stored first and told to the ticket then."""
        return self in (What.CUSTOMER_MESSAGE, What.AGENT_MESSAGE, What.NOTE)

    @property
    def is_said(self) -> bool:
        """Whether it is a message of a conversation."""
        return self in (What.SAY, What.REPLY)

    @property
    def takes(self) -> bool:
        """Whether it gives the conversation to a member."""
        return self in (What.CLAIM, What.TAKE_OVER)

    @property
    def ends(self) -> bool:
        """Whether it ends an escalation."""
        return self in (What.HAND_BACK, What.RESOLVE, What.DISMISS)

    @property
    def of_conversation(self) -> bool:
        """Whether it is about a conversation, and no ticket."""
        return self.is_said or self.takes or self.ends or self is What.RAISE


class Verdict(StrEnum):
    """How a command ended for its client; ``given_up`` is never known to have been done or not."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    GIVEN_UP = "given_up"


class Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Organization(Line):
    """A tenant, as it was set up before anything was sent. Ids only, but for the key that acts for it."""

    kind: Literal["organization"] = "organization"
    id: str
    name: str
    api_key: str
    member_ids: tuple[str, ...]
    """Agents, in the order of their turns."""
    supervisor_id: str
    team_ids: tuple[str, ...]
    channel_id: str
    """Of its conversations; it is answered at the run's receiver."""


class Sent(Line):
    """A command, before its first attempt. ``command`` is its Idempotency-Key; a creation has no ``ticket`` yet.

    ``conversation`` is its platform's name of it, ``escalation`` the id of the one that is claimed, resolved or
    dismissed.
    """

    kind: Literal["sent"] = "sent"
    command: str
    client: str
    organization: str
    what: What
    ticket: str | None
    member: str | None
    """On whose behalf."""
    body: Json
    if_version: int | None = None
    waits: bool = True
    """False: sent with ``Prefer: respond-async``."""
    conversation: str | None = None
    escalation: str | None = None
    at: datetime = Field(default_factory=now)


class Unknown(Line):
    """An attempt whose outcome the client could not know."""

    kind: Literal["unknown"] = "unknown"
    command: str
    why: str
    at: datetime = Field(default_factory=now)


class Answered(Line):
    """The end of a command. ``version`` is the ticket's or the escalation's in the answer, ``fact`` the message's or
    note's id. A refused claim names in ``owner`` who has the conversation, as ``id: name``.
    """

    kind: Literal["answered"] = "answered"
    command: str
    verdict: Verdict
    status: int | None = None
    code: str | None = None
    ticket: str | None = None
    version: int | None = None
    fact: str | None = None
    escalation: str | None = None
    owner: str | None = None
    pending: bool = False
    """The answer said that the read model does not show it yet."""
    at: datetime = Field(default_factory=now)


class Repeated(Line):
    """An acknowledged command was sent again on purpose at ``asked_at``, and answered so."""

    kind: Literal["repeated"] = "repeated"
    command: str
    asked_at: datetime
    status: int
    version: int | None = None
    fact: str | None = None
    escalation: str | None = None
    pending: bool = False
    at: datetime = Field(default_factory=now)


class Received(Line):
    """A request that reached the receiver: which delivery it was of, and what the receiver did with it.

    ``content`` is what it brought but for its signature. ``taken`` deliveries count as told; of one that is ``taken``
    and not ``answered`` the sender cannot know it.
    """

    kind: Literal["received"] = "received"
    delivery: str
    """Its ``webhook-id``."""
    signed: bool
    """Whether its signature holds."""
    taken: bool
    answered: bool
    """With 200."""
    content: Json
    at: datetime = Field(default_factory=now)


class Outage(Line):
    """A part was killed or stopped and is of use again; ``processes`` of its processes were struck."""

    kind: Literal["outage"] = "outage"
    part: str
    blow: Literal["kill", "stop"]
    processes: int
    began: datetime
    ended: datetime


class Ended(Line):
    """A process ended by itself, and was started again."""

    kind: Literal["ended"] = "ended"
    part: str
    code: int
    at: datetime = Field(default_factory=now)


AnyLine = Annotated[
    Organization | Sent | Unknown | Answered | Repeated | Received | Outage | Ended, Field(discriminator="kind")
]
_LINES: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)


@dataclass
class Command:
    """Everything the journal has about one command. ``turn`` counts acknowledgements through the whole journal."""

    sent: Sent
    unknown: list[Unknown] = field(default_factory=list)
    answered: Answered | None = None
    repeated: list[Repeated] = field(default_factory=list)
    turn: int = 0

    @property
    def key(self) -> str:
        return self.sent.command

    @property
    def verdict(self) -> Verdict:
        return self.answered.verdict if self.answered else Verdict.GIVEN_UP

    @property
    def ticket(self) -> str | None:
        """The ticket that took it, else the one it was meant for."""
        return (self.answered and self.answered.ticket) or self.sent.ticket


class History:
    """The journal's lines, put together."""

    def __init__(self, lines: Iterable[AnyLine]) -> None:
        self.organizations: dict[str, Organization] = {}
        self.commands: dict[str, Command] = {}
        self.received: list[Received] = []
        self.outages: list[Outage] = []
        self.ended: list[Ended] = []
        for turn, line in enumerate(lines):
            self._take(line, turn)

    @property
    def of_tickets(self) -> list[Command]:
        """The commands that are about tickets."""
        return [command for command in self.commands.values() if not command.sent.what.of_conversation]

    @property
    def of_conversations(self) -> list[Command]:
        """The commands that are about conversations."""
        return [command for command in self.commands.values() if command.sent.what.of_conversation]

    def of(self, verdict: Verdict) -> list[Command]:
        """The commands that ended so, in the order in which they were answered."""
        found = [command for command in self.commands.values() if command.verdict is verdict]
        return sorted(found, key=lambda command: command.turn)

    def _take(self, line: AnyLine, turn: int) -> None:
        if isinstance(line, Organization):
            self.organizations[line.id] = line
        elif isinstance(line, Sent):
            self.commands[line.command] = Command(line)
        elif isinstance(line, Unknown):
            self.commands[line.command].unknown.append(line)
        elif isinstance(line, Answered):
            self.commands[line.command].answered = line
            self.commands[line.command].turn = turn
        elif isinstance(line, Repeated):
            self.commands[line.command].repeated.append(line)
        elif isinstance(line, Received):
            self.received.append(line)
        elif isinstance(line, Outage):
            self.outages.append(line)
        else:
            self.ended.append(line)


class Journal:
    """The file, one JSON object a line; each line is with the operating system before the next step is taken."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.acknowledged = 0

    def write(self, line: AnyLine) -> None:
        os.write(self._descriptor, line.model_dump_json().encode() + b"\n")
        if isinstance(line, Answered) and line.verdict is Verdict.ACKNOWLEDGED:
            self.acknowledged += 1


@contextmanager
def open_journal(file: Path) -> Iterator[Journal]:
    """A new journal, readable for its owner only: it holds API keys."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        yield Journal(descriptor)
    finally:
        os.close(descriptor)


def read_journal(file: Path) -> History:
    with file.open("rb") as lines:
        return History(_LINES.validate_json(line) for line in lines)
