"""The measured quality does not fall: thresholds on the labelled data, below what was measured when they were set."""

import random
from functools import cache
from typing import Any

import pytest

from benchmarks.score import (
    DATA,
    HANDOFF,
    REAL,
    SENTIMENT,
    inside_long_message,
    main,
    read_rows,
    score_requests,
    score_sentiment,
    with_one_edit,
)
from domain.detection.automatic import automatic_reply
from domain.detection.human_request import builtin_detector

needs_data = pytest.mark.skipif(
    not all((DATA / name).exists() for name in (HANDOFF, SENTIMENT, REAL)),
    reason=f"the labelled messages are not beside the checkout ({DATA.parent.name}/{DATA.name})",
)


@cache
def _requests() -> dict[str, Any]:
    return score_requests(read_rows(DATA / HANDOFF), builtin_detector())


@needs_data
@pytest.mark.parametrize(
    ("measure", "figure", "at_least"),
    [
        ("all", "f1", 0.95),
        ("all", "precision", 0.95),
        ("English", "f1", 0.95),
        ("Spanish to Dutch", "f1", 0.93),
        ("recall with one typo", "share", 0.85),
        ("recall inside a long message", "share", 0.93),
    ],
)
def test_requests_are_found(measure: str, figure: str, at_least: float) -> None:
    assert _requests()[measure][figure] >= at_least


@needs_data
@pytest.mark.parametrize(
    ("measure", "at_most"),
    [("false alarms, hard negatives", 0.06), ("false alarms, other negatives", 0.008)],
)
def test_false_alarms_are_rare(measure: str, at_most: float) -> None:
    assert _requests()[measure]["share"] <= at_most


@needs_data
def test_support_messages_are_read_for_their_mood() -> None:
    rows = [row for row in read_rows(DATA / SENTIMENT) if row["source"].startswith("support")]
    figures = score_sentiment(rows)
    assert figures["macro F1"] >= 0.70
    assert figures["by label"]["negative"]["precision"] >= 0.85
    assert figures["by label"]["negative"]["recall"] >= 0.75
    assert figures["neutral called negative"]["share"] <= 0.05


@needs_data
def test_real_messages_are_not_taken_for_automatic_replies() -> None:
    rows = read_rows(DATA / REAL)
    assert sum(automatic_reply(row["text"]) is not None for row in rows) <= 0.005 * len(rows)


def test_one_edit_changes_one_word_and_long_messages_keep_the_request() -> None:
    edited = with_one_edit("please transfer me to an operator", random.Random(3))
    assert (
        sum(a != b for a, b in zip(edited.split(), ["please", "transfer", "me", "to", "an", "operator"], strict=True))
        == 1
    )
    long = inside_long_message("get me a human", [f"sentence number {n}" for n in range(20)], random.Random(3))
    assert "get me a human." in long
    assert long.count(".") >= 7


def test_scoring_without_data_says_so_and_succeeds(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 0
    assert "is missing" in capsys.readouterr().err
