"""A condition tree is read from plain JSON, written back the same, and refused with the path of what is wrong."""

import json
from typing import Any

import pytest

from domain.errors import InvalidConditions
from domain.rules.conditions import MAX_DEPTH, MAX_PARTS, KeywordIs, dump_conditions, leaves, read_conditions

WHOLE: dict[str, Any] = {
    "all": [
        {"any": [{"keyword": ["refund", "money back"]}, {"human_requested": True}, {"tag": ["vip"]}]},
        {"sentiment": {"at_most": -0.5, "messages": 2, "of_last": 3}},
        {"not": {"channel": ["email"]}},
        {"business_hours": False},
    ]
}


def test_tree_is_read_and_written_back() -> None:
    condition = read_conditions(WHOLE)
    assert dump_conditions(condition) == WHOLE
    assert read_conditions(json.loads(json.dumps(dump_conditions(condition)))) == condition
    assert sum(1 for _ in leaves(condition)) == 6


def test_a_single_word_may_stand_without_a_list() -> None:
    assert read_conditions({"keyword": " refund "}) == KeywordIs(keyword=("refund",))


def _nested(depth: int) -> object:
    tree: object = {"tag": "x"}
    for _ in range(depth):
        tree = {"not": tree}
    return tree


@pytest.mark.parametrize(
    ("data", "path", "says"),
    [
        ({"all": [{"tag": "x"}, {"keyword": []}]}, "conditions/all/1/keyword", "must not be empty"),
        ({"all": [{"tag": "x"}, {"keyword": ["ok", " "]}]}, "conditions/all/1/keyword/1", "at least 1 character"),
        ({"keyword": "-"}, "conditions/keyword", "no letter, digit or sign"),
        ({"keyword": 3}, "conditions/keyword", "must be a list"),
        ({"any": []}, "conditions/any", "must not be empty"),
        ({"not": {"any": [{"regex": ".*"}]}}, "conditions/not/any/0", "exactly one of these keys"),
        ({"keyword": "a", "tag": "b"}, "conditions", "exactly one of these keys"),
        ("refund", "conditions", "exactly one of these keys"),
        ({"sentiment": {"at_most": -2}}, "conditions/sentiment/at_most", "greater than or equal to -1"),
        ({"sentiment": {"at_most": 0, "messages": 3, "of_last": 2}}, "conditions/sentiment", "cannot be"),
        ({"sentiment": {"at_most": 0, "colour": 1}}, "conditions/sentiment/colour", "not permitted"),
        ({"human_requested": "maybe"}, "conditions/human_requested", "boolean"),
        (_nested(MAX_DEPTH), "conditions" + "/not" * MAX_DEPTH, "levels deep"),
        (_nested(50_000), "conditions" + "/not" * MAX_DEPTH, "levels deep"),  # must not exhaust the stack
        ({"any": [{"tag": "x"}] * MAX_PARTS}, "conditions", f"more than {MAX_PARTS} parts"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(data: object, path: str, says: str) -> None:
    with pytest.raises(InvalidConditions) as refusal:
        read_conditions(data)
    problems = refusal.value.context["problems"]
    assert isinstance(problems, list)
    assert [problem["path"] for problem in problems] == [path]
    assert says in problems[0]["message"]
    assert f"{path}: " in str(refusal.value)


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(InvalidConditions) as refusal:
        read_conditions({"any": [{"keyword": []}, {"tag": "ok"}, {"sentiment": {"at_most": 9}}]}, at="trigger")
    problems = refusal.value.context["problems"]
    assert isinstance(problems, list)
    assert [problem["path"] for problem in problems] == ["trigger/any/0/keyword", "trigger/any/2/sentiment/at_most"]


def test_deepest_allowed_tree_is_read() -> None:
    assert read_conditions(_nested(MAX_DEPTH - 1))
