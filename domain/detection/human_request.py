"""Whether a customer asks, now, to be put through to a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from domain.detection.grammar import Extent, best_match, only_urges
from domain.detection.language import PACKAGED, Language, read_tables
from domain.detection.lexicon import Lexicon, Token
from domain.detection.text import Clause, clauses

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
_FEW = 4  # words of a clause that may be a request by naming whom it wants
_ENOUGH = 4  # requests in one message; more of them say nothing new
_CERTAIN = 0.9  # nothing read further on would change the decision


def _rest(parts: Sequence[Clause], place: int) -> Clause | None:
    """The clause that ends the sentence which the one at ``place`` begins, where both are short."""
    clause = parts[place]
    if not clause.starts_sentence or clause.ends_sentence or len(clause.words) > _FEW or place + 1 == len(parts):
        return None
    following = parts[place + 1]
    return following if following.ends_sentence and len(following.words) <= _FEW else None


def _extent(clause: Clause, rest: Sequence[Token]) -> Extent:
    """How much of its sentence a clause is; a ``rest`` that only urges ("agent, please help") does not count."""
    if clause.starts_sentence and (clause.ends_sentence or (rest and only_urges(rest))):
        return Extent.WHOLE
    return Extent.END if clause.ends_sentence else Extent.MIDDLE


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
        requests = 0
        for place, clause in enumerate(parts if languages else ()):
            if best.score >= _CERTAIN or requests == _ENOUGH:
                break
            following = _rest(parts, place)
            for language in self.lexicon.fitting(clause, languages, corrections):
                tokens = self.lexicon.read(clause, language, corrections)
                urges = self.lexicon.read(following, language, corrections) if following else []
                match = best_match(tokens, language, _extent(clause, urges))
                requests += match is not None and match.score >= THRESHOLD
                if match and match.score > best.score:
                    span = (tokens[match.first].start, tokens[match.last].end)
                    best = HumanRequest(round(match.score, 2), span, match.pattern, language.code)
        return best


@cache
def builtin_detector() -> HumanRequestDetector:
    """The detector with the packaged tables, read once."""
    return HumanRequestDetector.reading()
