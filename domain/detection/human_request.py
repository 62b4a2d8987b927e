"""Whether a customer asks, now, to be put through to a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from domain.detection.grammar import best_match
from domain.detection.language import PACKAGED, Language, read_tables
from domain.detection.lexicon import Lexicon
from domain.detection.text import clauses

THRESHOLD = 0.5
"""A score of at least this counts as a request; one between ``UNSURE_ABOVE`` and this may be one."""

UNSURE_ABOVE = 0.25
"""Scores above this and below ``CERTAIN_FROM`` are worth a second opinion."""

CERTAIN_FROM = 0.8


@dataclass(frozen=True, slots=True)
class HumanRequest:
    """What was found: ``span`` is where in the text (start, end), ``pattern`` which form of request, in which language.

    ``score`` is 0 to 1; without any sign of a request it is 0, and the rest is ``None``.
    """

    score: float
    span: tuple[int, int] | None = None
    pattern: str | None = None
    language: str | None = None

    @property
    def requested(self) -> bool:
        """Whether the customer asks for a person."""
        return self.score >= THRESHOLD

    @property
    def unsure(self) -> bool:
        """Whether a second opinion would be worth its time."""
        return UNSURE_ABOVE < self.score < CERTAIN_FROM

    @property
    def reason(self) -> str | None:
        """The pattern and the language in words, for the people who ask why."""
        return f"{self.pattern} ({self.language})" if self.pattern and self.language else self.pattern


NOTHING = HumanRequest(0.0)
_CERTAIN = 0.9  # nothing read further on would change the decision


class HumanRequestDetector:
    """Reads messages with the tables of ``languages``; holds no state of a message, safe to share."""

    def __init__(self, languages: Sequence[Language]) -> None:
        self.lexicon = Lexicon(languages)

    @classmethod
    def reading(cls, *directories: Path) -> "HumanRequestDetector":
        """A detector with the packaged tables and those in ``directories``, which add languages or words to them."""
        return cls(read_tables((PACKAGED, *directories)))

    def detect(self, text: str) -> HumanRequest:
        """The strongest request in ``text``; any text is accepted, and the time it takes grows with its length only."""
        parts = clauses(text)
        languages, corrections = self.lexicon.candidates(parts)
        best = NOTHING
        for clause in parts if languages else ():
            if best.score >= _CERTAIN:
                break
            for language in self.lexicon.fitting(clause, languages, corrections):
                tokens = self.lexicon.read(clause, language, corrections)
                match = best_match(tokens, language, clause.starts_sentence and clause.ends_sentence)
                if match and match.score > best.score:
                    span = (tokens[match.first].start, tokens[match.last].end)
                    best = HumanRequest(round(match.score, 2), span, match.pattern, language.code)
        return best


@cache
def builtin_detector() -> HumanRequestDetector:
    """The detector with the packaged tables, read once."""
    return HumanRequestDetector.reading()
