"""Back-tests: what a rule would have made of what customers wrote, beside the rule it is to replace."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from domain.ladders import Frozen
from domain.rules.conditions import SentimentIs, leaves
from domain.rules.evaluation import Evidence, Facts, RuleSet
from domain.rules.rule import (
    Decided,
    Outcome,
    Rule,
    RuleKind,
    RuleMode,
    decide,
    read_escalation_event,
    read_routing_rule,
)

MOST_LISTED = 100
"""Cases a back-test lists of each ``FoundBy``; it counts all."""


class BacktestStatus(StrEnum):
    """How far a back-test is."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


class FoundBy(StrEnum):
    """Which of the two rules would have acted on a case."""

    ONLY_NEW = "only_new"
    ONLY_OLD = "only_old"
    BOTH = "both"


class Receiver(Frozen):
    """A member whom the rule tells each time it acts."""

    id: UUID
    name: str


class Trial(Frozen):
    """What is tried: a rule's definition, and that of the version it is to replace, if it is to replace one.

    ``cases`` is about how many conversations or tickets there are to be looked at.
    """

    name: str
    new: Mapping[str, Any]
    old: Mapping[str, Any] | None = None
    old_version: int | None = None
    receivers: tuple[Receiver, ...] = ()
    cases: int = 0

    def rules(self, kind: RuleKind, backtest_id: UUID) -> "TrialRules":
        """The rules; raises as ``read_escalation_event`` does."""
        read = read_escalation_event if kind is RuleKind.ESCALATION_EVENT else read_routing_rule
        new = read(backtest_id, self.name, 0, RuleMode.ON, self.new)
        # The old rule rests and acts by itself, so that it needs another id than the new one.
        nil = UUID(int=0)
        old = read(nil, self.name, self.old_version or 0, RuleMode.ON, self.old) if self.old is not None else None
        return TrialRules(new, old)


class Hit(Frozen):
    """A case on which at least one of the rules would have acted, with the first message that made it.

    The message and the evidence are the new rule's, or the old one's where only that would have acted.
    """

    conversation_id: UUID
    external_id: str | None
    ticket_id: UUID | None
    message_id: UUID | None
    at: datetime
    found_by: FoundBy
    evidence: tuple[Evidence, ...]


@dataclass
class Course:
    """What one rule makes of a case: the first message on which it acts, how often it acts and how often it rests."""

    first: tuple[UUID | None, datetime, tuple[Evidence, ...]] | None = None
    acted: int = 0
    cooldown: int = 0

    def note(self, message_id: UUID | None, at: datetime, decided: Decided[Any]) -> None:
        if decided.outcome is Outcome.COOLDOWN:
            self.cooldown += 1
            return
        self.acted += 1
        self.first = self.first or (message_id, at, decided.evidence)


class Tally(Frozen):
    """What one rule would have done: in how many cases it acts, how often in all, and how often it rests instead."""

    cases: int = 0
    acted: int = 0
    cooldown: int = 0

    def plus(self, course: Course) -> "Tally":
        """With one more case."""
        return Tally(
            cases=self.cases + (course.acted > 0),
            acted=self.acted + course.acted,
            cooldown=self.cooldown + course.cooldown,
        )


class Findings(Frozen):
    """What a back-test has found in its first ``pages`` pages.

    A case is a conversation (escalation events) or a new ticket (routing rules). ``after`` is where the next page
    begins. ``examined`` counts the cases that were passed, those without a message in the range included.
    """

    pages: int = 0
    after: tuple[datetime, UUID] | None = None
    examined: int = 0
    cases: int = 0
    messages: int = 0
    new: Tally = Tally()
    old: Tally | None = None
    counts: dict[FoundBy, int] = dict.fromkeys(FoundBy, 0)
    hits: tuple[Hit, ...] = ()


class TrialRules:
    """The rule that is tried and the one it is to replace, ready to be evaluated."""

    def __init__(self, new: Rule[Any], old: Rule[Any] | None) -> None:
        self.new, self.old = new, old
        self._rules = [each for each in (new, old) if each is not None]
        self._set = RuleSet((rule, rule.conditions) for rule in self._rules)

    @property
    def looks_back(self) -> int:
        """How many earlier messages' scores the rules ask for."""
        asked = (
            leaf.sentiment.of_last - 1
            for rule in self._rules
            for leaf in leaves(rule.conditions)
            if isinstance(leaf, SentimentIs)
        )
        return max(asked, default=0)

    def decide(self, facts: Facts, acted_at: Mapping[UUID, datetime], at: datetime) -> list[Decided[Any]]:
        """What each makes of a message, by its own cooldown."""
        return decide(self._set, facts, acted_at, at)


class Case:
    """A conversation whose messages are looked at one after the other, or a ticket with its one text."""

    def __init__(
        self, rules: TrialRules, conversation_id: UUID, external_id: str | None, ticket_id: UUID | None = None
    ) -> None:
        self.conversation_id, self.external_id, self.ticket_id = conversation_id, external_id, ticket_id
        self.messages = 0
        self.new, self.old = Course(), Course()
        self._rules = rules
        self._acted_at: dict[UUID, datetime] = {}

    def look(self, message_id: UUID | None, at: datetime, facts: Facts) -> None:
        """The next message in the order of their times."""
        self.messages += 1
        for decided in self._rules.decide(facts, self._acted_at, at):
            course = self.new if decided.rule is self._rules.new else self.old
            course.note(message_id, at, decided)
            if decided.outcome is not Outcome.COOLDOWN:
                self._acted_at[decided.rule.id] = at


class Gathering:
    """Findings to which the cases of one more page are added."""

    def __init__(self, rules: TrialRules, findings: Findings) -> None:
        self.rules, self.before = rules, findings
        self._new, self._old = findings.new, findings.old or Tally()
        self._cases, self._messages = findings.cases, findings.messages
        self._counts, self._hits = dict(findings.counts), list(findings.hits)

    def add(self, case: Case) -> None:
        """A case that has been looked at."""
        new, old = case.new, case.old
        self._cases += 1
        self._messages += case.messages
        self._new, self._old = self._new.plus(new), self._old.plus(old)
        first = new.first or old.first
        if first is None:
            return
        found_by = FoundBy.BOTH if new.first and old.first else FoundBy.ONLY_NEW if new.first else FoundBy.ONLY_OLD
        self._counts[found_by] += 1
        if self._counts[found_by] <= MOST_LISTED:
            message_id, at, evidence = first
            self._hits.append(
                Hit(
                    conversation_id=case.conversation_id,
                    external_id=case.external_id,
                    ticket_id=case.ticket_id,
                    message_id=message_id,
                    at=at,
                    found_by=found_by,
                    evidence=evidence,
                )
            )

    def page(self, examined: int, after: tuple[datetime, UUID] | None) -> Findings:
        """All findings, with what was added as one more page, which passed ``examined`` cases up to ``after``."""
        return Findings(
            pages=self.before.pages + 1,
            after=after or self.before.after,
            examined=self.before.examined + examined,
            cases=self._cases,
            messages=self._messages,
            new=self._new,
            old=self._old if self.rules.old else None,
            counts=self._counts,
            hits=tuple(self._hits),
        )
