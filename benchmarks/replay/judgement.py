"""What the rules made of the stream, and how that agrees with the people who labelled it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, Field

from benchmarks.replay.journal import Answered
from benchmarks.replay.readings import ConversationReading, Json, TenantReading
from benchmarks.replay.rules import SUBJECTS
from benchmarks.replay.stream import Stream, StreamMessage
from domain.rules.rule import Outcome, RuleKind
from domain.sentiment.scorer import Label, label_of


class RuleNumbers(BaseModel):
    """One rule over all organizations."""

    rule: str
    kind: str
    opened: int = Field(description="Tickets it opened, alone or with others; for a routing rule: tickets it routed.")
    alone: int = Field(description="Of these the tickets no other rule of its kind asked for or routed.")
    acted: int
    rested: int = Field(description="It matched within its cooldown.")
    shadow: int = Field(description="It matched in shadow, so nothing came of it.")


class LabelNumbers(BaseModel):
    """How often Baton and the people said the same of one label; a ratio without a denominator is ``None``."""

    label: str
    labelled: int
    said: int
    both: int
    precision: float | None
    recall: float | None


class SentimentNumbers(BaseModel):
    """Sentiment against the labels: ``confusion`` is by label, then by what Baton says."""

    messages: int
    unscored: int = Field(description="Not in a language the scorer knows; they count as neutral.")
    agreement: float
    macro_f1: float
    labels: list[LabelNumbers]
    confusion: dict[str, dict[str, int]]


class SubjectNumbers(BaseModel):
    """The tags that routing gave tickets against the reason a person named for the message that opened them."""

    tickets: int = Field(description="Whose opening message has a reason.")
    tagged: int
    labels: list[LabelNumbers]


class Judgement(BaseModel):
    """All of it; ``because`` says by what kinds of condition tickets were opened."""

    conversations: int
    escalated: int
    because: dict[str, int]
    rules: list[RuleNumbers]
    human_requests: int = Field(description="Messages that ask for a person.")
    decided_by: dict[str, int] = Field(description="Who said whether they do.")
    sentiment: SentimentNumbers | None = Field(description="None where the stream has no labels.")
    subjects: SubjectNumbers | None


def judge(stream: Stream, tenants: Sequence[TenantReading], answered: Mapping[str, Answered]) -> Judgement:
    """Count what was decided; ``answered`` is what the API read in each message, by the message's id."""
    conversations = [each for tenant in tenants for each in tenant.conversations]
    escalated = [each for each in conversations if each.escalated_by]
    by_id = {message.message: message for message in stream.messages}
    return Judgement(
        conversations=len(conversations),
        escalated=len(escalated),
        because=dict(Counter(_because(each) for each in escalated).most_common()),
        rules=_rules(conversations),
        human_requests=sum(each.human_requested for each in answered.values()),
        decided_by=dict(Counter(each.decided_by for each in answered.values())),
        sentiment=_sentiment([(by_id[id_], each) for id_, each in answered.items() if by_id[id_].sentiment]),
        subjects=_subjects(escalated, {f"{each.channel}:{each.message}": each for each in stream.messages}),
    )


def _opening(conversation: ConversationReading) -> Json:
    """The message that opened the conversation's ticket."""
    return conversation.concerns_ticket()[0]


def _openers(conversation: ConversationReading) -> list[Json]:
    """The decisions on that message which asked for the ticket."""
    message_id = _opening(conversation)["id"]
    return [each for each in conversation.escalated_by if each["message_id"] == message_id]


def _because(conversation: ConversationReading) -> str:
    """The kinds of condition that held; that something else was not there is no reason by itself."""
    kinds = {item["kind"] for decision in _openers(conversation) for item in decision["evidence"]} - {"not"}
    return " and ".join(sorted(kind.replace("_", " ") for kind in kinds))


def _rules(conversations: Sequence[ConversationReading]) -> list[RuleNumbers]:
    opened: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    outcomes: Counter[tuple[str, str]] = Counter()
    kinds: dict[str, str] = {}
    for conversation in conversations:
        for decision in conversation.decisions:
            kinds.setdefault(decision["rule_name"], decision["kind"])
            outcomes[decision["rule_name"], decision["outcome"]] += 1
        routed = [each["rule_name"] for each in conversation.decisions if each["kind"] == RuleKind.ROUTING_RULE]
        # What opens a ticket is routed; where nothing was, an agent had made the ticket before any rule asked for one.
        openers = [each["rule_name"] for each in _openers(conversation)] if conversation.escalated_by and routed else []
        for names in (openers, routed):
            opened.update(names)
            alone.update(names if len(names) == 1 else ())
    numbers = [
        RuleNumbers(
            rule=name,
            kind=kind,
            opened=opened[name],
            alone=alone[name],
            acted=outcomes[name, Outcome.ACTED],
            rested=outcomes[name, Outcome.COOLDOWN],
            shadow=outcomes[name, Outcome.SHADOW],
        )
        for name, kind in kinds.items()
    ]
    return sorted(numbers, key=lambda each: (each.kind, -each.opened, each.rule))


def _sentiment(pairs: Sequence[tuple[StreamMessage, Answered]]) -> SentimentNumbers | None:
    if not pairs:
        return None
    said = [(str(message.sentiment), label_of(answered.sentiment).value) for message, answered in pairs]
    labels = [_label(label.value, [({true}, {mine}) for true, mine in said]) for label in Label]
    cells = Counter(said)
    return SentimentNumbers(
        messages=len(pairs),
        unscored=sum(answered.sentiment is None for _, answered in pairs),
        agreement=round(sum(true == mine for true, mine in said) / len(said), 3),
        macro_f1=round(sum(2 * each.both / ((each.labelled + each.said) or 1) for each in labels) / len(labels), 3),
        labels=labels,
        confusion={true.value: {mine.value: cells[true.value, mine.value] for mine in Label} for true in Label},
    )


def _subjects(
    escalated: Sequence[ConversationReading], by_external_id: Mapping[str, StreamMessage]
) -> SubjectNumbers | None:
    pairs: list[tuple[set[str], set[str]]] = []
    for conversation in escalated:
        message = by_external_id.get(_opening(conversation)["external_id"])
        if message is not None and message.reason is not None:
            routed = [each for each in conversation.decisions if each["kind"] == RuleKind.ROUTING_RULE]
            tags = {tag for each in routed for tag in each["actions"].get("tags", ())}
            pairs.append(({message.reason}, {SUBJECTS[tag] for tag in tags if tag in SUBJECTS}))
    if not pairs:
        return None
    return SubjectNumbers(
        tickets=len(pairs),
        tagged=sum(bool(said) for _, said in pairs),
        labels=[_label(label, pairs) for label in SUBJECTS.values()],
    )


def _label(label: str, pairs: Iterable[tuple[set[str], set[str]]]) -> LabelNumbers:
    """Counts of one label over pairs of what is true and what was said."""
    labelled = said = both = 0
    for true, mine in pairs:
        labelled += label in true
        said += label in mine
        both += label in true and label in mine
    return LabelNumbers(
        label=label,
        labelled=labelled,
        said=said,
        both=both,
        precision=round(both / said, 3) if said else None,
        recall=round(both / labelled, 3) if labelled else None,
    )
