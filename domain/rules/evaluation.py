"""Which of many rules match a message, and why."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from domain.detection.human_request import NOTHING, HumanRequest
from domain.rules.conditions import (
    All,
    AnyOf,
    BusinessHours,
    ChannelIs,
    Condition,
    HumanRequested,
    KeywordIs,
    Not,
    SentimentIs,
    TagIs,
    leaves,
)
from domain.rules.keywords import KeywordIndex, Span

RuleT = TypeVar("RuleT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a message when rules are evaluated.

    ``sentiments`` are the scores of the customer's messages in this conversation, the latest, which is this message's,
    last; ``None`` where there is no score. ``channels`` are the names the channel goes by: its kind and its id.
    ``business_hours`` is ``None`` without a calendar.
    """

    text: str
    channels: frozenset[str] = frozenset()
    sentiments: tuple[float | None, ...] = ()
    human_request: HumanRequest = NOTHING
    business_hours: bool | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One condition that held: its ``path`` in the tree, what matched, and where in the text if it stands there."""

    path: str
    kind: str
    matched: str
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class RuleMatch(Generic[RuleT]):
    """A rule that matches, and everything that made it match."""

    rule: RuleT
    evidence: tuple[Evidence, ...]


Guards = frozenset[tuple[str, object]]
"""Facts of which at least one must be given before a condition can hold."""


@dataclass(slots=True)
class _Compiled(Generic[RuleT]):
    rule: RuleT
    condition: Condition


@dataclass(slots=True)
class _Reading:
    """One message while rules look at it: its facts and the keywords found in it."""

    facts: Facts
    places: Mapping[str, int]  # keyword -> its place in the index
    found: Mapping[int, Span]


@dataclass(slots=True)
class _Guarded:
    """Rules by the facts they need, so that only those that can match are evaluated."""

    by_keyword: dict[int, list[int]] = field(default_factory=dict)
    by_fact: dict[tuple[str, object], list[int]] = field(default_factory=dict)
    always: list[int] = field(default_factory=list)


class RuleSet(Generic[RuleT]):
    """Rules in order, compiled together; never changed, safe to share between threads.

    ``rules`` pairs what a match should name (an id, or the rule itself) with its conditions.
    """

    def __init__(self, rules: Iterable[tuple[RuleT, Condition]]) -> None:
        self._rules = [_Compiled(rule, condition) for rule, condition in rules]
        keywords = {
            keyword: None
            for compiled in self._rules
            for leaf in leaves(compiled.condition)
            if isinstance(leaf, KeywordIs)
            for keyword in leaf.keyword
        }
        self._index = KeywordIndex(keywords)
        self._places = {keyword: place for place, keyword in enumerate(self._index.keywords)}
        self._guarded = _Guarded()
        for number, compiled in enumerate(self._rules):
            guards = _guards(compiled.condition)
            if guards is None:
                self._guarded.always.append(number)
            for kind, value in guards or ():
                if kind == "keyword":
                    self._guarded.by_keyword.setdefault(self._places[str(value)], []).append(number)
                else:
                    self._guarded.by_fact.setdefault((kind, value), []).append(number)

    def __len__(self) -> int:
        return len(self._rules)

    def matches(self, facts: Facts) -> list[RuleMatch[RuleT]]:
        """The rules that match, in their order."""
        found = self._index.find(facts.text)
        reading = _Reading(facts, self._places, found)
        numbers = set(self._guarded.always)
        for place in found:
            numbers.update(self._guarded.by_keyword.get(place, ()))
        for given in _given(facts):
            numbers.update(self._guarded.by_fact.get(given, ()))
        matched = []
        for number in sorted(numbers):
            compiled = self._rules[number]
            evidence = _evidence(compiled.condition, reading, "conditions")
            if evidence is not None:
                matched.append(RuleMatch(compiled.rule, tuple(evidence)))
        return matched


def match_alone(condition: Condition, facts: Facts) -> tuple[Evidence, ...] | None:
    """The evidence of one rule by itself, ``None`` if it does not match; what ``RuleSet`` must agree with."""
    index = KeywordIndex(
        keyword for leaf in leaves(condition) if isinstance(leaf, KeywordIs) for keyword in leaf.keyword
    )
    places = {keyword: place for place, keyword in enumerate(index.keywords)}
    evidence = _evidence(condition, _Reading(facts, places, index.find(facts.text)), "conditions")
    return None if evidence is None else tuple(evidence)


def _given(facts: Facts) -> list[tuple[str, object]]:
    """The facts a message brings that rules may wait for."""
    given: list[tuple[str, object]] = [("human_requested", facts.human_request.requested)]
    if facts.business_hours is not None:
        given.append(("business_hours", facts.business_hours))
    if any(score is not None for score in facts.sentiments):
        given.append(("sentiment", True))
    given.extend(("channel", channel) for channel in facts.channels)
    given.extend(("tag", tag) for tag in facts.tags)
    return given


# Which guard makes the fewest rules be looked at in vain, the best first.
_RARITY = ("keyword", "tag", "human_requested", "channel", "sentiment", "business_hours")


def _guards(condition: Condition) -> Guards | None:  # noqa: PLR0911 (one answer for each kind of condition)
    """Facts of which one must be given for ``condition`` to hold; ``None`` if it can hold without any."""
    match condition:
        case KeywordIs(keyword=keywords):
            return frozenset(("keyword", keyword) for keyword in keywords)
        case SentimentIs():
            return frozenset({("sentiment", True)})
        case ChannelIs(channel=channels):
            return frozenset(("channel", channel) for channel in channels)
        case TagIs(tag=tags):
            return frozenset(("tag", tag) for tag in tags)
        case HumanRequested(human_requested=wanted):
            return frozenset({("human_requested", wanted)})
        case BusinessHours(business_hours=wanted):
            return frozenset({("business_hours", wanted)})
        case All(all=inner):
            known = [guards for guards in map(_guards, inner) if guards is not None]
            return min(known, key=_cost, default=None)
        case AnyOf(any=inner):
            each = [_guards(part) for part in inner]
            return frozenset().union(*(guards for guards in each if guards is not None)) if None not in each else None
        case Not():
            return None


def _cost(guards: Guards) -> tuple[int, int]:
    return max(_RARITY.index(kind) for kind, _ in guards), len(guards)


def _evidence(condition: Condition, reading: _Reading, path: str) -> list[Evidence] | None:
    """What made ``condition`` hold, or ``None`` if it does not."""
    match condition:
        case All(all=inner):
            gathered: list[Evidence] = []
            for place, part in enumerate(inner):
                evidence = _evidence(part, reading, f"{path}/all/{place}")
                if evidence is None:
                    return None
                gathered += evidence
            return gathered
        case AnyOf(any=inner):
            each = [_evidence(part, reading, f"{path}/any/{place}") for place, part in enumerate(inner)]
            held = [evidence for evidence in each if evidence is not None]
            return [item for evidence in held for item in evidence] if held else None
        case Not(not_=inner):
            if _evidence(inner, reading, f"{path}/not") is not None:
                return None
            return [Evidence(f"{path}/not", "not", "does not hold")]
        case _:
            return _leaf_evidence(condition, reading, path)


def _leaf_evidence(condition: Condition, reading: _Reading, path: str) -> list[Evidence] | None:
    facts = reading.facts

    def held(kind: str, matched: str, span: tuple[int, int] | None = None) -> Evidence:
        return Evidence(f"{path}/{kind}", kind, matched, span)

    evidence: list[Evidence] = []
    match condition:
        case KeywordIs(keyword=keywords):
            for keyword in keywords if reading.found else ():
                span = reading.found.get(reading.places[keyword])
                if span is not None:
                    evidence.append(held("keyword", keyword, span))
        case SentimentIs(sentiment=threshold):
            latest = facts.sentiments[-threshold.of_last :]
            low = [score for score in latest if score is not None and score <= threshold.at_most]
            if len(low) >= threshold.messages:
                share = f"{len(low)} of the last {threshold.of_last}: " if threshold.of_last > 1 else ""
                scores = ", ".join(f"{score:.2f}" for score in low)
                evidence = [held("sentiment", f"{share}{scores} at or below {threshold.at_most:g}")]
        case ChannelIs(channel=channels):
            evidence = [held("channel", channel) for channel in channels if channel in facts.channels]
        case TagIs(tag=tags):
            evidence = [held("tag", tag) for tag in tags if tag in facts.tags]
        case HumanRequested(human_requested=wanted):
            if facts.human_request.requested is wanted:
                request = facts.human_request
                said = request.reason or "asks for a person" if wanted else "does not ask for a person"
                evidence = [held("human_requested", said, request.span if wanted else None)]
        case BusinessHours(business_hours=wanted):
            if facts.business_hours is wanted:
                evidence = [held("business_hours", "in business time" if wanted else "outside business time")]
        case _:
            raise TypeError(f"{type(condition).__name__} has parts")
    return evidence or None
