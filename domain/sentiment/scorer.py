"""What a sentiment scorer is, and how its scores become words."""

from enum import StrEnum
from typing import Protocol

NEGATIVE_AT = -0.25
"""At or below this a message counts as negative. Milder scores are mostly plain reports of a fault."""

POSITIVE_AT = 0.35
"""At or above this a message counts as positive; below it lie courtesies such as a closing thank you."""


class Label(StrEnum):
    """A score in one word."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"


class SentimentScorer(Protocol):
    """Scores one message by itself; must accept any text and be safe to share."""

    def score(self, text: str) -> float | None:
        """From -1 (furious) to 1 (delighted), 0 without feeling; ``None`` for a language the scorer does not know."""
        ...


def label_of(score: float | None) -> Label:
    """The label of ``score``; without a score a message counts as neutral."""
    if score is None or NEGATIVE_AT < score < POSITIVE_AT:
        return Label.NEUTRAL
    return Label.NEGATIVE if score <= NEGATIVE_AT else Label.POSITIVE
