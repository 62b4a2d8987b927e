"""A back-test counts what each of two rules would have done, by its own cooldown, and lists some of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.errors import InvalidConditions
from domain.rules.backtest import MOST_LISTED, Case, Findings, FoundBy, Gathering, Tally, Trial
from domain.rules.evaluation import Facts
from domain.rules.rule import RuleKind

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVENT = RuleKind.ESCALATION_EVENT


def definition(conditions: Any, cooldown: timedelta = timedelta(0)) -> dict[str, Any]:
    return {"conditions": conditions, "actions": {}, "cooldown_seconds": cooldown.total_seconds()}


def tried(trial: Trial, *conversations: list[str], kind: RuleKind = EVENT) -> Findings:
    """What is found in conversations of messages a minute apart, in one page."""
    rules = trial.rules(kind, uuid4())
    gathering = Gathering(rules, Findings())
    for number, texts in enumerate(conversations, start=1):
        case = Case(rules, UUID(int=number), f"chat-{number}")
        for minute, text in enumerate(texts):
            case.look(UUID(int=minute), NOW + minute * MINUTE, Facts(text))
        gathering.add(case)
    return gathering.page(len(conversations), (NOW, uuid4()))


def test_what_each_rule_would_have_done_and_how_they_differ() -> None:
    trial = Trial(name="T", new=definition({"keyword": ["refund", "late"]}), old=definition({"keyword": "refund"}))
    findings = tried(trial, ["hello", "a refund"], ["it is late", "a refund, it is late"], ["late"], ["hello"])
    assert (findings.cases, findings.messages, findings.examined) == (4, 6, 4)
    assert (findings.new, findings.old) == (Tally(cases=3, acted=4), Tally(cases=2, acted=2))
    assert findings.counts == {FoundBy.BOTH: 2, FoundBy.ONLY_NEW: 1, FoundBy.ONLY_OLD: 0}
    first, second, third = findings.hits
    assert (first.external_id, first.message_id, first.at) == ("chat-1", UUID(int=1), NOW + MINUTE)
    assert [(each.path, each.matched, each.span) for each in first.evidence] == [
        ("conditions/keyword", "refund", (2, 8))
    ]
    # The new rule acts on an earlier message than the old one: that is the one to look at.
    assert (second.found_by, second.message_id) == (FoundBy.BOTH, UUID(int=0))
    assert third.found_by is FoundBy.ONLY_NEW


def test_what_only_the_replaced_rule_finds_is_shown_by_its_own_evidence() -> None:
    trial = Trial(name="T", new=definition({"keyword": "refund"}), old=definition({"keyword": "late"}))
    (hit,) = tried(trial, ["so late"], ["hello"]).hits
    assert (hit.found_by, hit.evidence[0].matched) == (FoundBy.ONLY_OLD, "late")


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (0, 0, (Tally(cases=2, acted=8), Tally(cases=2, acted=8))),
        (2, 0, (Tally(cases=2, acted=4, cooldown=4), Tally(cases=2, acted=8))),
        (0, 3, (Tally(cases=2, acted=8), Tally(cases=2, acted=4, cooldown=4))),
        (60, 60, (Tally(cases=2, acted=2, cooldown=6), Tally(cases=2, acted=2, cooldown=6))),
    ],
)
def test_each_rule_rests_by_its_own_cooldown_in_each_conversation(
    new: int, old: int, expected: tuple[Tally, Tally]
) -> None:
    refund = {"keyword": "refund"}
    trial = Trial(name="T", new=definition(refund, new * MINUTE), old=definition(refund, old * MINUTE))
    findings = tried(trial, ["refund"] * 4, ["refund"] * 4)
    assert (findings.new, findings.old) == expected


def test_all_are_counted_and_some_are_listed() -> None:
    findings = tried(Trial(name="T", new=definition({"keyword": "refund"})), *[["refund"]] * (MOST_LISTED + 5))
    assert (findings.counts[FoundBy.ONLY_NEW], len(findings.hits)) == (MOST_LISTED + 5, MOST_LISTED)
    assert findings.old is None


def test_findings_survive_being_stored() -> None:
    findings = tried(Trial(name="T", new=definition({"keyword": "refund"})), ["a refund"])
    assert Findings.model_validate(findings.model_dump(mode="json")) == findings


@pytest.mark.parametrize(("of_last", "asked"), [(1, 0), (5, 4)])
def test_rules_say_how_far_they_look_back(of_last: int, asked: int) -> None:
    conditions = {"any": [{"keyword": "x"}, {"not": {"sentiment": {"at_most": 0, "of_last": of_last}}}]}
    assert Trial(name="T", new=definition(conditions)).rules(EVENT, uuid4()).looks_back == asked


def test_definition_that_is_no_rule_is_refused() -> None:
    with pytest.raises(InvalidConditions):
        Trial(name="T", new=definition({"moon": "full"})).rules(EVENT, uuid4())
