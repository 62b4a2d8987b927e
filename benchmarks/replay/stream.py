"""The file of messages, checked line by line before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from domain.sentiment.scorer import Label
from domain.ticket import MAX_TAG, ChannelKind

_Key = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,150}$")]
"""Becomes part of an Idempotency-Key, so it is visible ASCII."""
_Name = Annotated[str, StringConstraints(pattern=r"^[\x21-\x2e\x30-\x7e]{1,150}$")]
"""Becomes part of an address, so it has no slash."""
_Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TAG)]


class StreamError(Exception):
    """The file cannot be replayed; the message says where it is wrong and what to do, and holds no customer's text."""


class StreamMessage(BaseModel):
    """One line of the file: a customer's message; fields beyond these are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    conversation: _Name
    message: _Key
    at: AwareDatetime
    brand: _Word
    channel: _Word
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    sentiment: Label | None = None
    """How a human read it."""
    reason: _Word | None = None
    """What a human says it complains about."""


def channel_kind(message: StreamMessage) -> str:
    """The message's channel where Baton knows it, else the API, through which all of them come here.

    So do mails: what the receiver gets are webhooks.
    """
    known = [kind.value for kind in ChannelKind if kind is not ChannelKind.EMAIL]
    return message.channel if message.channel in known else ChannelKind.API.value


@dataclass(frozen=True)
class Conversation:
    """The messages of one customer to one brand, the earliest first."""

    id: str
    brand: str
    messages: tuple[StreamMessage, ...]


@dataclass(frozen=True)
class Stream:
    """What will be replayed; ``digest`` names exactly these messages."""

    conversations: tuple[Conversation, ...]
    digest: str

    @property
    def messages(self) -> list[StreamMessage]:
        """All of them, by conversation."""
        return [message for conversation in self.conversations for message in conversation.messages]

    @property
    def brands(self) -> list[str]:
        """Each becomes an organization."""
        return sorted({conversation.brand for conversation in self.conversations})

    @property
    def began_at(self) -> datetime:
        """The moment of the first message."""
        return self.conversations[0].messages[0].at

    @property
    def ended_at(self) -> datetime:
        """The moment of the last message."""
        return max(conversation.messages[-1].at for conversation in self.conversations)


def read_stream(file: Path, limit: int | None = None) -> Stream:
    """The first ``limit`` messages (all of them without one), in the order of their times, or a ``StreamError``."""
    lines = _lines(file)[:limit]
    messages: list[StreamMessage] = []
    line_of: dict[str, int] = {}
    brand_of: dict[str, str] = {}
    digest = sha256()
    for number, line in enumerate(lines, start=1):
        message = _message(file, number, line)
        earlier = line_of.setdefault(message.message, number)
        if earlier != number:
            raise _wrong(file, number, f"the message id {message.message} was on line {earlier} already")
        if brand_of.setdefault(message.conversation, message.brand) != message.brand:
            raise _wrong(file, number, f"the conversation {message.conversation} belongs to another brand above")
        messages.append(message)
        digest.update(line + b"\n")
    if not messages:
        raise StreamError(f"{file} holds no messages; give a file with one JSON object on each line.")
    return Stream(_conversations(sorted(messages, key=lambda message: message.at)), digest.hexdigest())


def _lines(file: Path) -> list[bytes]:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise StreamError(f"There is no file {file}; give the path of a stream of messages (JSON lines).") from None
    except OSError as error:
        raise StreamError(f"{file} cannot be read: {error.strerror}.") from None
    lines = content.split(b"\n")
    if lines[-1] == b"":
        return lines[:-1]
    try:  # a last line without its end is whole if it parses, else the file was cut off within it
        StreamMessage.model_validate_json(lines[-1])
    except ValidationError:
        raise StreamError(
            f"{file}, line {len(lines)}: the file ends in the middle of this line, so it was cut off. Get the whole "
            f"file again, or replay the lines before: --limit {len(lines) - 1}"
        ) from None
    return lines


def _message(file: Path, number: int, line: bytes) -> StreamMessage:
    try:
        message = StreamMessage.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        problem = f"{field}: {first['msg']}" if field else first["msg"]
        raise _wrong(file, number, problem) from None
    if "\x00" in message.text:
        raise _wrong(file, number, "text: holds a NUL character, which cannot be stored")
    return message


def _wrong(file: Path, number: int, problem: str) -> StreamError:
    advice = f"Mend this line, or replay only those before it: --limit {number - 1}" if number > 1 else "Mend this line"
    return StreamError(f"{file}, line {number}: {problem}. {advice}. Nothing was sent.")


def _conversations(messages: Sequence[StreamMessage]) -> tuple[Conversation, ...]:
    grouped: dict[str, list[StreamMessage]] = {}
    for message in messages:
        grouped.setdefault(message.conversation, []).append(message)
    return tuple(Conversation(id_, own[0].brand, tuple(own)) for id_, own in grouped.items())
