"""Keywords: whole words and phrases in any script, found for all rules at once."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from domain.detection.text import UNSPACED, Folded, fold, is_unspaced, unaccented

# Vowel signs belong to the words of their scripts, though ``\w`` leaves them out.
_LETTER = r"\w\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0971-\u097f\u0980-\u0dff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{_LETTER}]+")
_SPACED_WORD = re.compile(rf"(?:(?![_{UNSPACED}])[{_LETTER}])+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")  # the same for folded ASCII, three times as fast
_RUN = re.compile(rf"[{UNSPACED}]+")
_BETWEEN = re.compile(r"[\s'\-_]+")
"""What may stand between the words of a phrase: a comma or a full stop would part them."""
_PLAIN = re.compile(rf"[{_LETTER}\s'\-]+")


class Span(NamedTuple):
    """A place in the original text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword, ready to be looked for.

    ``words`` are looked for one after another as whole words; upper and lower case and accents make no difference.
    ``literal``, for keywords with other signs (``C++``, ``$100``) or in a script without spaces, is looked for as it
    stands, but never as a part of a longer word or number.
    """

    words: tuple[str, ...]
    literal: str

    @classmethod
    def of(cls, text: str) -> "Keyword":
        """The keyword that ``text`` means."""
        folded = " ".join(fold(text).text.split())
        unspaced = any(map(is_unspaced, folded)) if folded else False
        if unspaced or not _PLAIN.fullmatch(folded):
            return cls((), folded)
        return cls(tuple(unaccented(word) for word in _SPACED_WORD.findall(folded)), "")

    @property
    def findable(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.words or self.literal)


class KeywordIndex:
    """Finds which of many keywords stand in a message, by one dictionary look-up a word.

    Built once; each keyword is known by its place in ``keywords``.
    """

    def __init__(self, keywords: Iterable[str]) -> None:
        self.keywords = tuple(keywords)
        self._by_word: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
        self._by_piece: dict[str, list[tuple[int, str, int]]] = {}  # literals with a word in them, and where it is
        self._by_letters: dict[str, list[tuple[int, str]]] = {}  # literals that begin in a script without spaces
        self._rare: list[tuple[int, str]] = []  # literals of signs only
        for place, text in enumerate(self.keywords):
            keyword = Keyword.of(text)
            if keyword.words:
                self._by_word.setdefault(keyword.words[0], []).append((place, keyword.words))
            elif keyword.literal:
                self._plant_literal(place, keyword.literal)

    def _plant_literal(self, place: int, literal: str) -> None:
        piece = _SPACED_WORD.search(literal)
        if piece:
            self._by_piece.setdefault(unaccented(piece.group()), []).append((place, literal, piece.start()))
        elif is_unspaced(literal[0]):
            self._by_letters.setdefault(literal[0], []).append((place, literal))
        else:
            self._rare.append((place, literal))

    def find(self, text: str) -> dict[int, Span]:
        """The keywords in ``text``, each with the place where it first stands."""
        folded = fold(text)
        found: dict[int, Span] = {}
        self._find_words(folded, found)
        if self._by_letters:
            for run in _RUN.finditer(folded.text):
                for at in range(run.start(), run.end()):
                    for place, literal in self._by_letters.get(folded.text[at], ()):
                        if place not in found and folded.text.startswith(literal, at):
                            found[place] = _span(folded, at, at + len(literal))
        for place, literal in self._rare:
            at = folded.text.find(literal)
            if at >= 0:
                found[place] = _span(folded, at, at + len(literal))
        return found

    def _find_words(self, folded: Folded, found: dict[int, Span]) -> None:
        by_word, by_piece = self._by_word, self._by_piece
        words = _words(folded.text)
        places: list[tuple[int, int]] = []
        for at, word in enumerate(words):
            entries, pieces = by_word.get(word), by_piece.get(word)
            if entries is None and pieces is None:
                continue
            places = places or _places(folded.text)  # most messages hold no keyword and need no places
            start = places[at][0]
            for place, phrase in entries or ():
                if place not in found and (len(phrase) == 1 or _continues(folded.text, words, places, at, phrase)):
                    found[place] = _span(folded, start, places[at + len(phrase) - 1][1])
            for place, literal, offset in pieces or ():
                if place not in found and _stands_alone(folded.text, literal, start - offset):
                    found[place] = _span(folded, start - offset, start - offset + len(literal))


def _words(text: str) -> list[str]:
    """The words of folded text, without accents."""
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return [unaccented(word) for word in _SPACED_WORD.findall(text)]


def _places(text: str) -> list[tuple[int, int]]:
    """Where the words that ``_words`` gives stand."""
    return [match.span() for match in (_ASCII_WORD if text.isascii() else _SPACED_WORD).finditer(text)]


def _span(folded: Folded, start: int, end: int) -> Span:
    return Span(*folded.span(start, end))


def _continues(text: str, words: list[str], places: list[tuple[int, int]], at: int, phrase: tuple[str, ...]) -> bool:
    if at + len(phrase) > len(words):
        return False
    return all(
        words[at + step] == phrase[step] and _BETWEEN.fullmatch(text, places[at + step - 1][1], places[at + step][0])
        for step in range(1, len(phrase))
    )


def _stands_alone(text: str, literal: str, start: int) -> bool:
    """Whether ``literal`` stands at ``start`` and is not a part of a longer word or number."""
    if start < 0 or not text.startswith(literal, start):
        return False
    end = start + len(literal)
    cut_before = start > 0 and _is_letter(literal[0]) and _is_letter(text[start - 1])
    cut_after = end < len(text) and _is_letter(literal[-1]) and _is_letter(text[end])
    return not cut_before and not cut_after


def _is_letter(char: str) -> bool:
    return not is_unspaced(char) and _WORD.match(char) is not None


def find_naively(keyword: str, text: str) -> Iterator[Span]:
    """Where ``keyword`` stands in ``text``, looked for by itself; what ``KeywordIndex`` must agree with."""
    meant = Keyword.of(keyword)
    folded = fold(text)
    if meant.literal:
        for start in range(len(folded.text)):
            if _stands_alone(folded.text, meant.literal, start):
                yield _span(folded, start, start + len(meant.literal))
        return
    words, places = _words(folded.text), _places(folded.text)
    for at, word in enumerate(words):
        if meant.words and word == meant.words[0] and _continues(folded.text, words, places, at, meant.words):
            yield _span(folded, places[at][0], places[at + len(meant.words) - 1][1])
