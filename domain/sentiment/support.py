"""The scorer that comes with Baton: VADER, told what words mean to people who write to support."""

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # type: ignore[import-untyped]  # it has none

from domain.detection.language_guess import guess_language
from domain.detection.text import words_of

MAX_READ = 4000
"""Characters read of a message; feelings show before that, and the time stays bounded."""

_VOCABULARY = Path(__file__).with_name("support.toml")
_LONGEST_GAP = 3  # words that "..." in a phrase may stand for
_ASKING_WEIGHT = 0.35  # "thanks" and "great" in a message that asks for something are manners

_ASKING = {"please", "kindly", "pls", "plz", "how", "need", "want", "help"}
_MODALS = {"can", "could", "would", "will", "is", "are", "do", "does", "did", "has", "have", "may"}
_ASKING_FIRST = _MODALS | {"what", "when", "where", "why", "which", "who"}

Phrases = dict[str, list[tuple[tuple[str, ...], float]]]


class SupportAnalyzer(SentimentIntensityAnalyzer):  # type: ignore[misc]  # untyped base
    """VADER with a vocabulary for support laid over its own."""

    def __init__(self, vocabulary: dict[str, Any]) -> None:
        super().__init__()
        for word in vocabulary["topics"].replace("\n", " ").split(","):
            self.lexicon.pop(word.strip(), None)
        self.lexicon.update(vocabulary["words"])
        self.phrases: Phrases = {}
        for phrase, value in vocabulary["phrases"].items():
            words = tuple(phrase.split())
            self.phrases.setdefault(words[0], []).append((words, float(value)))

    def score_valence(self, sentiments: list[float], text: str) -> dict[str, float]:
        """VADER's sum, with the phrases' values added and good words discounted in a message that asks."""
        words = words_of(text)
        asks = "?" in text or not _ASKING.isdisjoint(words) or bool(words and words[0] in _ASKING_FIRST)
        weighed = [value * _ASKING_WEIGHT if asks and value > 0 else value for value in sentiments]
        weighed += [value * (_ASKING_WEIGHT if asks and value > 0 else 1) for value in self._phrase_values(words)]
        result: dict[str, float] = super().score_valence(weighed, text)
        return result

    def knows(self, words: Sequence[str]) -> bool:
        """Whether the vocabulary has any of ``words``, alone or in a phrase."""
        return any(word in self.lexicon for word in words) or bool(self._phrase_values(words))

    def _phrase_values(self, words: Sequence[str]) -> list[float]:
        present = set(words)  # most phrases begin with words that are everywhere, and end with one that is not here
        return [
            value
            for at, word in enumerate(words)
            for phrase, value in self.phrases.get(word, ())
            if phrase[-1] in present and _stands_at(phrase, words, at)
        ]


def _stands_at(phrase: tuple[str, ...], words: Sequence[str], at: int) -> bool:
    if "..." not in phrase:
        return tuple(words[at : at + len(phrase)]) == phrase
    cut = phrase.index("...")
    head, tail = phrase[:cut], phrase[cut + 1 :]
    if tuple(words[at : at + cut]) != head:
        return False
    starts = range(at + cut, at + cut + _LONGEST_GAP + 1)
    return any(tuple(words[start : start + len(tail)]) == tail for start in starts)


class SupportScorer:
    """Scores English; ``None`` for every other language."""

    def __init__(self, analyzer: SupportAnalyzer) -> None:
        self._analyzer = analyzer

    def score(self, text: str) -> float | None:
        """See ``SentimentScorer``. A text nothing is known of is scored only if it has a word of the vocabulary."""
        text = text[:MAX_READ]
        language = guess_language(text)
        if language not in {"en", None}:
            return None
        if language is None and not self._analyzer.knows(words_of(text)):
            return None
        compound: float = self._analyzer.polarity_scores(text)["compound"]
        return compound


@cache
def builtin_scorer() -> SupportScorer:
    """The scorer with the packaged vocabulary, read once."""
    return SupportScorer(SupportAnalyzer(tomllib.loads(_VOCABULARY.read_text(encoding="utf-8"))))
