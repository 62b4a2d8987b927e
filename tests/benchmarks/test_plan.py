"""What agents do follows from the stream and the seed alone."""

from pathlib import Path

import pytest

from benchmarks.replay.plan import Habits, Kind, Step, plan
from benchmarks.replay.stream import Stream, read_stream
from tests.benchmarks.streams import line, lines, write

MEMBERS = 4


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    return read_stream(write(tmp_path_factory.mktemp("plan") / "stream", lines(300)))


def _steps(stream: Stream, seed: int = 1, habits: Habits | None = None) -> list[Step]:
    return [step for steps in plan(stream, seed, MEMBERS, habits).values() for step in steps]


def test_every_message_goes_in_once_in_the_order_of_its_conversation(stream: Stream) -> None:
    plans = plan(stream, 1, MEMBERS)
    for conversation in stream.conversations:
        sent = [step for step in plans[conversation.id] if step.kind is Kind.TELL]
        assert tuple(step.message for step in sent) == conversation.messages


def test_steps_of_a_conversation_are_in_order_and_no_key_occurs_twice(stream: Stream) -> None:
    for steps in plan(stream, 1, MEMBERS).values():
        assert list(steps) == sorted(steps, key=lambda step: step.at)
    keys = [step.key for step in _steps(stream)]
    assert len(keys) == len(set(keys))


def test_the_same_seed_gives_the_same_steps_and_another_seed_others(stream: Stream) -> None:
    assert _steps(stream) == _steps(stream)
    assert _steps(stream) != _steps(stream, seed=2)


def test_a_conversation_has_the_same_steps_in_a_longer_stream(stream: Stream, tmp_path: Path) -> None:
    more = [line(1000 + number, f"c{1000 + number}", hours=number) for number in range(40)]
    longer = read_stream(write(tmp_path / "stream", [*lines(300), *more]))
    known = {conversation.id for conversation in stream.conversations}
    assert [step for step in _steps(longer) if step.message.conversation in known] == _steps(stream)


@pytest.mark.parametrize("kind", list(Kind))
def test_agents_do_everything_that_can_be_done(kind: Kind, stream: Stream) -> None:
    assert any(step.kind is kind for step in _steps(stream))


def test_ignored_conversations_are_assigned_and_then_left_alone(stream: Stream) -> None:
    kinds = {step.kind for step in _steps(stream, habits=Habits(ignored=1))}
    assert kinds == {Kind.TELL, Kind.RAISE, Kind.ASSIGN}
