"""A file is understood as a whole or refused with the line that is wrong, before anything is sent."""

import json
from pathlib import Path

import pytest

from benchmarks.replay.__main__ import UNUSABLE, main
from benchmarks.replay.stream import StreamError, read_stream
from tests.benchmarks.streams import line, lines, write

NOWHERE = "http://127.0.0.1:9"


def test_messages_are_in_the_order_of_their_times_whatever_the_order_of_lines(tmp_path: Path) -> None:
    content = [line(1, "c1", 3), line(2, "c1", 1), line(3, "c2", 2)]
    stream = read_stream(write(tmp_path / "stream", content))
    assert [(each.id, [message.message for message in each.messages]) for each in stream.conversations] == [
        ("c1", ["m2", "m1"]),
        ("c2", ["m3"]),
    ]
    assert stream.brands == ["North", "South Line"]
    assert stream.ended_at > stream.began_at


def test_limit_takes_the_first_lines_and_what_is_wrong_after_them_does_not_matter(tmp_path: Path) -> None:
    file = write(tmp_path / "stream", lines(5))
    whole = read_stream(file)
    file.write_text(file.read_text() + "no message\n")
    assert read_stream(file, 5) == whole
    assert len(read_stream(file, 3).messages) == 3
    assert read_stream(file, 3).digest != whole.digest


def test_a_last_line_without_its_end_counts_if_it_is_whole(tmp_path: Path) -> None:
    file = write(tmp_path / "stream", lines(5))
    file.write_text(file.read_text().rstrip("\n"))
    assert len(read_stream(file).messages) == 5


GOOD = [json.dumps(each) for each in lines(3)]
WRONG = {
    "an empty file": ("", "holds no messages"),
    "no JSON": ("\n".join([GOOD[0], "hello", GOOD[1], ""]), "line 2: Invalid JSON"),
    "an empty line": ("\n".join([GOOD[0], "", GOOD[1], ""]), "line 2: Invalid JSON"),
    "a list": ("\n".join([GOOD[0], "[]", ""]), "line 2: Input should be an object"),
    "a field too few": (json.dumps({**lines(1)[0], "brand": None}) + "\n", "line 1: brand: "),
    "a time without its zone": (json.dumps(line(1, "c1", 1, at="2015-02-16T10:00:00")) + "\n", "line 1: at: "),
    "an empty text": (json.dumps(line(1, "c1", 1, text="")) + "\n", "line 1: text: "),
    "a text that cannot be stored": (json.dumps(line(1, "c1", 1, text="a\x00b")) + "\n", "line 1: text: "),
    "an id that no header can hold": (json.dumps(line(1, "c1", 1, message="m 1")) + "\n", "line 1: message: "),
    "a message twice": ("\n".join([*GOOD, GOOD[0], ""]), "line 4: the message id m0 was on line 1 already"),
    "one conversation, two brands": (
        "\n".join([json.dumps(line(1, "c1", 1)), json.dumps(line(2, "c1", 2, brand="Other")), ""]),
        "line 2: the conversation c1 belongs to another brand",
    ),
    "cut off": ("\n".join([*GOOD[:2], GOOD[2][:40]]), "line 3: the file ends in the middle of this line"),
    "cut off within a character": ("\n".join([*GOOD[:2], GOOD[2][:40]]) + "\udcc3", "line 3: the file ends"),
}


@pytest.mark.parametrize(("content", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_its_line_and_nothing_is_sent(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stream"
    file.write_bytes(content.encode(errors="surrogateescape"))
    state = tmp_path / "state"
    assert main([str(file), "--url", NOWHERE, "--state", str(state)]) == UNUSABLE
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert "bag?" not in shown  # what customers wrote is not for terminals and logs
    assert not state.exists()


def test_a_missing_file_and_a_folder_are_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="There is no file"):
        read_stream(tmp_path / "nothing")
    with pytest.raises(StreamError, match="cannot be read: Is a directory"):
        read_stream(tmp_path)
