"""Text as the detectors see it: folded, cut into words that know where they stood, and grouped into clauses."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

MAX_CLAUSE = 300
"""Characters in one clause; longer runs without punctuation are cut, so that work grows with length only."""

_LATEST = 16
"""Texts that are remembered as they were cut: all that read one message cut the same text."""

_LONGEST_RUN = 100  # characters of a script without spaces that are taken as one piece
_OVERLAP = 60  # characters that two halves of a cut clause share: a request is rarely longer

UNSPACED = "\u3005-\u3007\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Characters of scripts that put no space between words, as a regular expression's range."""

# Vowel signs and other marks that ``\w`` leaves out, though words of these scripts are full of them.
_MARKS = "\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0971-\u097f\u0980-\u0dff\u0e00-\u0e7f"

_PIECES = re.compile(
    rf"(?P<unspaced>[{UNSPACED}]+)"
    rf"|(?P<word>(?:[^\W_{UNSPACED}]|[{_MARKS}])+(?:'(?:[^\W_{UNSPACED}]|[{_MARKS}])+)*)"
    # Full-width punctuation has become ASCII by now; the rest is Chinese, Japanese, Arabic and Hindi.
    r"|(?P<stop>[.](?!\w)|[!?;\n\r¿¡。؟؛।॥|])"
    r"|(?P<pause>[,:،、()\[\]\"“”«»「」\u2013\u2014]|\s-+\s)"
)
_APOSTROPHES = str.maketrans("\u2019\u2018\u02bc\u00b4`\u2032", "''''''")
# What NFKC would do to the commonest characters it changes, without moving anything.
_ONE_FOR_ONE = (
    _APOSTROPHES | {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0xA0: " ", 0x3000: " ", 0x2026: "."}
)
_LETTERLESS = re.compile("[\u00ad\u0307\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CONTRACTIONS = frozenset({"t", "s", "d", "m", "re", "ve", "ll"})
_UNACCENTED = str.maketrans({"\u0131": "i", "ł": "l", "ø": "o", "đ": "d", "æ": "ae", "œ": "oe"})


class Word(NamedTuple):
    """One word, or one run of a script without spaces; ``start`` and ``end`` point into the original text."""

    text: str
    start: int
    end: int
    unspaced: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """Words between two pauses; the flags say whether a full stop, a line's end or the text's end bounds it."""

    words: tuple[Word, ...]
    starts_sentence: bool
    ends_sentence: bool


@lru_cache(maxsize=8192)
def _fold_cluster(cluster: str) -> str:
    folded = unicodedata.normalize("NFKC", cluster).casefold().translate(_APOSTROPHES)
    # casefold() turns the Turkish capital I with a dot into i and a dot above; formatting characters carry no letter.
    return "".join(char for char in folded if char != "\u0307" and unicodedata.category(char) != "Cf")


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text; character ``i`` came from ``starts[i]`` to ``ends[i]`` of the original (``None``: from ``i``)."""

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where the folded characters from ``start`` to ``end`` stand in the original."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


@lru_cache(maxsize=_LATEST)
def fold(text: str) -> Folded:
    """``text`` in NFKC and case-folded, with straight apostrophes and without formatting characters."""
    if text.isascii():
        return Folded(text.lower().replace("`", "'"))
    simple = text.translate(_ONE_FOR_ONE)
    if unicodedata.is_normalized("NFKC", simple) and not _LETTERLESS.search(simple):
        lower = simple.casefold()
        if len(lower) == len(text):  # nothing grew, so every character is where it was
            return Folded(lower)
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    position, length = 0, len(text)
    while position < length:
        end = position + 1
        # A letter and the accents written after it become one letter; eight are more than any language stacks.
        while end < length and end - position < 8 and text[end] > "\u02ff" and unicodedata.combining(text[end]):
            end += 1
        cluster = _fold_cluster(text[position:end])
        folded.append(cluster)
        starts.extend([position] * len(cluster))
        ends.extend([end] * len(cluster))
        position = end
    return Folded("".join(folded), starts, ends)


@lru_cache(maxsize=8192)
def unaccented(word: str) -> str:
    """``word`` without accents, for people who type without them."""
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(char for char in decomposed if not "\u0300" <= char <= "\u036f").translate(_UNACCENTED)


def is_unspaced(word: str) -> bool:
    """Whether ``word`` begins in a script that puts no spaces between words."""
    first = word[:1]
    return "\u3005" <= first <= "\u30ff" or "\u3400" <= first <= "\u9fff" or "\uf900" <= first <= "\ufaff"


@lru_cache(maxsize=_LATEST)
def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of ``text`` that hold words, in order, none much longer than ``MAX_CLAUSE`` characters."""
    folded = fold(text)
    found: list[Clause] = []
    words: list[Word] = []
    starts_sentence = True
    for piece in _PIECES.finditer(folded.text):
        kind = piece.lastgroup
        if kind in {"word", "unspaced"}:
            words.extend(_words(piece, folded))
            continue
        ends_sentence = kind == "stop"
        if words:
            found.extend(_cut(words, starts_sentence, ends_sentence))
            words = []
            starts_sentence = ends_sentence
        else:
            starts_sentence = starts_sentence or ends_sentence
            if ends_sentence and found and not found[-1].ends_sentence:
                found[-1] = Clause(found[-1].words, found[-1].starts_sentence, True)
    if words:
        found.extend(_cut(words, starts_sentence, True))
    elif found and not found[-1].ends_sentence:
        found[-1] = Clause(found[-1].words, found[-1].starts_sentence, True)
    return tuple(found)


@lru_cache(maxsize=_LATEST)
def words_of(text: str) -> tuple[str, ...]:
    """The folded words of ``text``, without their places."""
    return tuple(word.text for clause in clauses(text) for word in clause.words)


def _words(piece: re.Match[str], folded: Folded) -> list[Word]:
    """A match as words: contractions stay whole (``don't``), elided articles come off (``l'agent``)."""
    start, end = piece.span()
    text = piece.group()
    if piece.lastgroup == "unspaced":
        cuts = range(start, end, _LONGEST_RUN)
        return [
            Word(folded.text[at : min(at + _LONGEST_RUN, end)], *folded.span(at, min(at + _LONGEST_RUN, end)), True)
            for at in cuts
        ]
    if "'" not in text or text.rpartition("'")[2] in _CONTRACTIONS:
        return [Word(text, *folded.span(start, end))]
    parts: list[Word] = []
    for part in text.split("'"):
        parts.append(Word(part, *folded.span(start, start + len(part))))
        start += len(part) + 1
    return parts


def _cut(words: list[Word], starts_sentence: bool, ends_sentence: bool) -> list[Clause]:
    if words[-1].end - words[0].start <= MAX_CLAUSE:
        return [Clause(tuple(words), starts_sentence, ends_sentence)]
    pieces: list[Clause] = []
    begin = 0
    while begin < len(words):
        end = begin + 1
        while end < len(words) and words[end].end - words[begin].start <= MAX_CLAUSE:
            end += 1
        last = end == len(words)
        pieces.append(Clause(tuple(words[begin:end]), starts_sentence and begin == 0, ends_sentence and last))
        if last:
            break
        cut = end
        while end - 1 > begin and words[cut - 1].end - words[end - 1].start <= _OVERLAP:
            end -= 1
        begin = end
    return pieces
