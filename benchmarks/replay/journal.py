"""What a replay has had acknowledged, line by line, so that a second run goes on where the first stopped."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

_MARK = b'{"kind":"replay"'


class JournalError(Exception):
    """The state file cannot be used; the message says why and what to do."""


class Line(BaseModel):
    """A line of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Header(Line):
    """Which replay it is: only the very same one may be continued. ``run`` tells two beginnings apart."""

    kind: Literal["replay"] = "replay"
    digest: str
    seed: int
    speed_up: float
    target: str
    run: str


class Tenant(Line):
    """An organization of the replay, with the key that acts for it."""

    kind: Literal["organization"] = "organization"
    brand: str
    id: str
    api_key: str
    team_ids: dict[str, str]
    """By name."""
    member_ids: tuple[str, ...]
    """In the order of their turns; the supervisor is not among them."""
    supervisor_id: str
    channel_ids: dict[str, str]
    """By kind."""


class Request(Line):
    """One request that was answered: what it was for, milliseconds until the answer, attempts, status.

    ``pending``: it holds, but reads did not show it yet when it was answered.
    """

    what: str
    ms: float
    attempts: int
    status: int
    pending: bool = False


class Answered(Line):
    """What the API read in a customer's message; ``sentiment`` is ``None`` where it knows no score."""

    sentiment: float | None
    human_requested: bool
    decided_by: str


class Done(Line):
    """A step that is acknowledged; ``ticket_id`` is the conversation's ticket from here on, empty where it has none.

    ``did`` is what the agent or the bot was told that they have done, empty where there was nothing to do:
    ``escalation_id`` is what they did it with, ``member_id`` who has it from here on, ``said`` an answer's external id.
    """

    kind: Literal["done"] = "done"
    key: str
    brand: str
    ticket_id: str
    at: float = Field(default_factory=time.time)
    requests: tuple[Request, ...] = ()
    answered: Answered | None = None
    """Of a customer's message."""
    did: str = ""
    escalation_id: str = ""
    member_id: str = ""
    said: str = ""


class Does(StrEnum):
    """What the receiver did with a delivery."""

    TOOK = "took"
    FAILED = "failed"
    """It answered 500, and has not taken it."""
    CUT = "cut"
    """It dropped the line, and has not taken it."""
    CUT_AFTER = "cut_after"
    """It took it, and dropped the line before it could say so."""
    FORGED = "forged"
    """It bore no signature of the channel's, and was turned away."""


class Received(Line):
    """One attempt at a delivery, as it came to the receiver; written before it is answered.

    ``delivery_id`` is its ``webhook-id``, the same in every attempt. ``about`` is the message it holds, or the
    escalation of which it tells that it changed hands; ``digest`` is of what it says of that.
    """

    kind: Literal["received"] = "received"
    at: float = Field(default_factory=time.time)
    brand: str
    does: Does
    delivery_id: str
    type: str
    conversation: str
    about: str
    digest: str


class Began(Line):
    """A run began, or went on."""

    kind: Literal["began"] = "began"
    at: float = Field(default_factory=time.time)


class Finished(Line):
    """Every step is acknowledged and the report is written."""

    kind: Literal["finished"] = "finished"
    at: float = Field(default_factory=time.time)
    report: dict[str, Any]


class Journal:
    """The state file, held by this process alone; each line is written whole or, after a crash, dropped."""

    def __init__(self, file: Path, descriptor: int, header: Header) -> None:
        self.file = file
        self.header = header
        self.tenants: dict[str, Tenant] = {}
        self.done: dict[str, Done] = {}
        self.received: list[Received] = []
        self.runs: list[Began] = []
        self.finished: Finished | None = None
        self._descriptor = descriptor

    def write(self, line: Tenant | Began | Done | Received | Finished) -> None:
        """Append the line; it survives the end of this process from here on."""
        self._keep(line)
        os.write(self._descriptor, line.model_dump_json().encode() + b"\n")

    def paused_seconds(self) -> float:
        """How long nobody replayed: from the last step of each run to the beginning of the next."""
        ends = [
            max((done.at for done in self.done.values() if done.at < began.at), default=began.at) for began in self.runs
        ]
        return sum(began.at - end for began, end in zip(self.runs, ends, strict=True))

    def _keep(self, line: Line) -> None:
        if isinstance(line, Tenant):
            self.tenants[line.brand] = line
        elif isinstance(line, Done):
            self.done[line.key] = line
        elif isinstance(line, Received):
            self.received.append(line)
        elif isinstance(line, Began):
            self.runs.append(line)
        elif isinstance(line, Finished):
            self.finished = line

    def _load(self, lines: list[bytes]) -> None:
        kinds: dict[str, type[Line]] = {
            "organization": Tenant,
            "began": Began,
            "done": Done,
            "received": Received,
            "finished": Finished,
        }
        for number, line in enumerate(lines, start=2):
            try:
                self._keep(kinds[json.loads(line)["kind"]].model_validate_json(line))
            except (ValueError, KeyError, TypeError):
                raise _unusable(self.file, f"line {number} is not one of its lines") from None


@contextmanager
def open_journal(file: Path, wanted: Header) -> Iterator[Journal]:
    """The journal of the ``wanted`` replay, new or continued; ``JournalError`` where the file is of another one.

    A continued journal keeps the ``run`` it began with. A last line that was not written to its end is dropped:
    its step is done again, which its idempotency key makes safe.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)  # it holds API keys
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalError(f"Another replay is writing {file}; wait for it, or choose another --state.") from None
        content = file.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole and not (content.startswith(_MARK) or _MARK.startswith(content)):
            raise _unusable(file, "it does not begin as one")
        lines = whole.splitlines()
        journal = Journal(file, descriptor, _same(file, lines[0], wanted) if lines else wanted)
        journal._load(lines[1:])
        os.truncate(file, len(whole))
        if not lines:
            os.write(descriptor, wanted.model_dump_json().encode() + b"\n")
        yield journal
    finally:
        os.close(descriptor)


def read_header(file: Path) -> Header | None:
    """The replay a state file belongs to; ``None`` where there is no file yet."""
    try:
        with file.open("rb") as content:
            first = content.readline()
    except FileNotFoundError:
        return None
    return _header(file, first) if first.endswith(b"\n") else None


def _header(file: Path, line: bytes) -> Header:
    try:
        return Header.model_validate_json(line)
    except ValidationError:
        raise _unusable(file, "it does not begin as one") from None


def _same(file: Path, line: bytes, wanted: Header) -> Header:
    kept = _header(file, line)
    names = {"digest": "messages", "seed": "--seed", "speed_up": "--speed-up", "target": "--url or --own-stack"}
    other = [name for field, name in names.items() if getattr(kept, field) != getattr(wanted, field)]
    if other:
        raise JournalError(
            f"{file} belongs to a replay with other {', other '.join(other)}. Run that one again to go on with it, "
            "choose another --state for this one, or delete the file to forget it."
        )
    return kept


def _unusable(file: Path, why: str) -> JournalError:
    return JournalError(f"{file} is not the state of a replay: {why}. Choose another --state, or delete the file.")
