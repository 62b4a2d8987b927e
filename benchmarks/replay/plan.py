"""What agents do with a conversation: steps at moments of the stream, the same for the same seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from benchmarks.replay.stream import Conversation, Stream, StreamMessage


class Kind(StrEnum):
    """What a step does."""

    TELL = "tell"
    """A message of the customer goes in; what comes of it is not the replay's to say."""
    ASSIGN = "assign"
    """A ticket nobody owns gets an assignee."""
    START = "start"
    """The assignee takes the ticket up before answering."""
    ANSWER = "answer"
    WAIT = "wait"
    RESOLVE = "resolve"
    CLOSE = "close"

    RAISE = "raise"
    """A chatbot's flow comes to its "Escalate to human" node."""
    CLAIM = "claim"
    """An agent looks into the queue and takes the conversation, if it is there."""
    TAKE_OVER = "take_over"
    """An agent takes the conversation, whether anybody had asked for a human or not."""
    FILE = "file"
    """A ticket is made of the escalation, or the conversation's attached to it."""
    HAND_BACK = "hand_back"
    SETTLE = "settle"
    """The escalation is resolved."""
    DISMISS = "dismiss"


@dataclass(frozen=True)
class Step:
    """Something to do at ``at``, with the conversation's present ticket and escalation, as far as it has them.

    ``message`` is the message that calls for it and ``member`` the position, in the team, of whoever
    does it where the ticket has no owner. ``key`` is unique in the replay and always the same.
    """

    kind: Kind
    at: datetime
    message: StreamMessage
    member: int = 0

    @property
    def key(self) -> str:
        return f"{self.message.message}:{self.kind}"


@dataclass(frozen=True)
class Habits:
    """How the agents of the replay work; shares are of 1, delays are in minutes of the stream."""

    ignored: float = 0.06
    """Conversations that are assigned and then taken up by nobody."""
    slow: float = 0.2
    """Assignees who let the team's limit pass."""
    starts_first: float = 0.3
    waits: float = 0.55
    resolves: float = 0.35
    """After an answer; the rest is left in progress."""
    closes: float = 0.2
    """Resolved tickets that are closed by hand."""
    hands_over: float = 0.04
    """Messages after which the bot's flow asks for a human."""
    claims: float = 0.55
    """Of what is done about a message; where neither this nor the next, agents work on the ticket alone."""
    takes_over: float = 0.06
    goes_silent: float = 0.06
    """Agents who have taken a conversation and then say nothing."""
    files: float = 0.5
    """Escalations that an agent has a ticket go with."""
    ends: tuple[tuple[Kind, float], ...] = ((Kind.SETTLE, 0.45), (Kind.HAND_BACK, 0.3), (Kind.DISMISS, 0.12))
    """How an escalation ends once there is nothing more to be said; the rest stays as it is."""

    def patience(self, random: Random) -> float:
        """How long an assignee takes to act."""
        return random.uniform(90, 360) if random.random() < self.slow else random.uniform(4, 40)

    def end(self, random: Random) -> Kind | None:
        """What becomes of an escalation; ``None`` where nothing does."""
        left = random.random()
        for kind, share in self.ends:
            left -= share
            if left < 0:
                return kind
        return None


def plan(stream: Stream, seed: int, members: int, habits: Habits | None = None) -> dict[str, tuple[Step, ...]]:
    """The steps of each conversation, by its id and in order; ``members`` is how many a team has."""
    return {
        conversation.id: tuple(_steps(conversation, Random(f"{seed}:{conversation.id}"), members, habits or Habits()))
        for conversation in stream.conversations
    }


def _steps(conversation: Conversation, random: Random, members: int, habits: Habits) -> Iterator[Step]:
    ignored = random.random() < habits.ignored
    following = [*(message.at for message in conversation.messages[1:]), None]
    for message, until in zip(conversation.messages, following, strict=True):
        yield Step(Kind.TELL, message.at, message)
        # What would come after the next message is not done: the agent sees that one first.
        for step in _reaction(message, random, random.randrange(members), habits):
            if ignored and step.kind not in _BEFORE_AGENTS:
                break
            if until is not None and step.at >= until:
                break
            yield step


def _reaction(message: StreamMessage, random: Random, member: int, habits: Habits) -> Iterator[Step]:
    """What agents do about one message, if the customer leaves them the time."""
    if random.random() < habits.hands_over:
        yield Step(Kind.RAISE, message.at + _minutes(random.uniform(0.2, 0.8)), message, member)
    at = message.at + _minutes(random.uniform(1, 10))
    yield Step(Kind.ASSIGN, at, message, member)
    at += _minutes(habits.patience(random))
    way = random.random()
    taken = way < habits.claims + habits.takes_over
    if taken:
        yield Step(Kind.CLAIM if way < habits.claims else Kind.TAKE_OVER, at, message, member)
        if random.random() < habits.goes_silent:
            return
        at += _minutes(random.uniform(1, 10))
    if random.random() < habits.starts_first:
        yield Step(Kind.START, at, message, member)
        at += _minutes(random.uniform(2, 15))
    yield Step(Kind.ANSWER, at, message, member)
    at += _minutes(random.uniform(1, 5))
    if random.random() < habits.files:
        yield Step(Kind.FILE, at, message, member)
        at += _minutes(random.uniform(1, 5))
    if end := habits.end(random):
        # What nobody has taken cannot be handed back.
        yield Step(end if taken or end is not Kind.HAND_BACK else Kind.SETTLE, at, message, member)
        at += _minutes(random.uniform(1, 5))
    outcome = random.random()
    if outcome < habits.waits:
        yield Step(Kind.WAIT, at, message, member)
    elif outcome < habits.waits + habits.resolves:
        yield Step(Kind.RESOLVE, at, message, member)
        if random.random() < habits.closes:
            yield Step(Kind.CLOSE, at + _minutes(random.uniform(20, 120)), message, member)


_BEFORE_AGENTS = (Kind.RAISE, Kind.ASSIGN)
"""What happens without anybody who takes a conversation up."""


def _minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
