"""All languages together: which of them a message may be in, and its words read with one of their tables."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.detection.language import Language, Node
from domain.detection.roles import REAL
from domain.detection.text import Clause, Word, unaccented

_SHORTEST_CORRECTED = 4
_REPEATED = re.compile(r"(.)\1{2,}")
_LONGEST_CORRECTED = 24  # no trigger word is longer; keeps hostile runs of letters cheap


_LANGUAGES_READ = 3  # of those that know a clause equally well; a word they all know means the same in all
_BORROWED = 0.8  # weight of a word that a language has from another
_NEARLY = 0.85  # a language that knows fewer words of a clause, measured by the best one, would misread it

Corrections = dict[str, Mapping[int, str]]
"""Misspelt words: the spelling that was meant, by the language's place."""


@dataclass(slots=True)
class Token:
    """A word or a phrase with its roles (0: unknown); ``corrected``: a letter was wrong."""

    roles: int
    start: int
    end: int
    corrected: bool = False
    length: int = 1  # words, or for unknown runs without spaces about as much as that many words
    number: bool = False


class Lexicon:
    """Look-ups over ``languages``; built once, never changed, safe to share between threads."""

    def __init__(self, languages: Sequence[Language]) -> None:
        self.languages = tuple(languages)
        self._anchored: dict[str, int] = {}  # anchor word -> bit per language
        self._place = {language.code: place for place, language in enumerate(self.languages)}
        self._known: set[str] = set()
        self._nouns: dict[str, int] = {}
        self._nearby: dict[str, list[tuple[str, int]]] = {}  # a word less one letter -> words and their languages
        self._unspaced = [  # languages that put no spaces between words, each with its anchors
            (position, re.compile("|".join(map(re.escape, sorted(anchors)))))
            for position, language in enumerate(self.languages)
            if (anchors := language.anchors & language.unspaced)
        ]
        self._corrections = lru_cache(maxsize=16_384)(self._spellings)
        corrected: dict[str, int] = {}
        for position, language in enumerate(self.languages):
            bit = 1 << position
            for word in language.anchors:
                for form in {word, unaccented(word)}:
                    self._anchored[form] = self._anchored.get(form, 0) | bit
            self._known.update(language.vocabulary, language.plain)
            for word, roles in language.nouns.items():
                if len(word) > _SHORTEST_CORRECTED:
                    self._nouns[word] = self._nouns.get(word, 0) | roles
            for word in language.corrected:
                if word not in language.unspaced:
                    corrected[word] = corrected.get(word, 0) | bit
        for word, bits in corrected.items():
            for form in {word, unaccented(word)}:
                for shorter in {form, *_less_one(form)}:
                    self._nearby.setdefault(shorter, []).append((word, bits))

    def candidates(self, clauses: Iterable[Clause]) -> tuple[list[Language], Corrections]:
        """The languages with an anchor in ``clauses``, and corrections: word to spelling per language position."""
        found = 0
        corrections: Corrections = {}
        pieces: set[str] = set()
        for clause in clauses:
            for word in clause.words:
                text = word.text
                if word.unspaced:
                    pieces.add(text)
                elif bits := self._anchored.get(text):
                    found |= bits
                elif text not in self._known and text not in corrections:
                    plain = unaccented(text)
                    bits = self._anchored.get(plain, 0)
                    if not bits and plain not in self._known:
                        corrections[text] = near = self._corrections(plain)
                        for position, spelling in near.items():
                            if spelling in self.languages[position].anchors:
                                bits |= 1 << position
                    found |= bits
        runs = "\n".join(pieces)
        for position, anchors in self._unspaced if pieces else ():
            if anchors.search(runs):
                found |= 1 << position
        return [language for position, language in enumerate(self.languages) if found >> position & 1], corrections

    def _spellings(self, word: str) -> Mapping[int, str]:
        word = _REPEATED.sub(r"\1", word)
        if not _SHORTEST_CORRECTED - 1 <= len(word) <= _LONGEST_CORRECTED:
            return {}
        found: dict[int, str] = {}
        for candidate in (word, *_less_one(word)):
            for spelling, bits in self._nearby.get(candidate, ()):
                if word == spelling or _one_edit(word, unaccented(spelling)):
                    for position in range(len(self.languages)):
                        if bits >> position & 1:
                            found.setdefault(position, spelling)
        return found

    def fitting(self, clause: Clause, languages: Sequence[Language], corrections: Corrections) -> list[Language]:
        """Of ``languages`` those that know nearly as many of the clause's words as the one that knows the most."""
        if len(languages) == 1:
            return list(languages)
        known = [0.0] * len(languages)
        lenders = [self._lender(language) for language in languages]
        for word in clause.words:
            text = word.text
            if word.unspaced:
                for place, language in enumerate(languages):
                    known[place] += language.known_characters(text)
                continue
            near = corrections.get(text)
            plain = unaccented(text)
            for place, language in enumerate(languages):
                if text in language.vocabulary or plain in language.plain:
                    known[place] += _BORROWED if text in lenders[place] else 1
                elif near and self._place[language.code] in near:
                    known[place] += 1
        enough = max(known) * _NEARLY
        ranked = sorted(range(len(languages)), key=known.__getitem__, reverse=True)[:_LANGUAGES_READ]
        return [languages[place] for place in ranked if known[place] >= enough]

    def _lender(self, language: Language) -> frozenset[str]:
        place = self._place.get(language.borrows or "")
        return self.languages[place].vocabulary if place is not None else frozenset()

    def read(self, clause: Clause, language: Language, corrections: Corrections) -> list[Token]:
        """The clause as tokens of ``language``, the longest phrases first."""
        position = self._place[language.code]
        words: list[tuple[str | None, Word, bool]] = []
        for word in clause.words:
            if word.unspaced:
                words.extend((piece.text if known else None, piece, False) for piece, known in _pieces(word, language))
                continue
            spelling = language.canonical(word.text)
            if spelling is None and (near := corrections.get(word.text)):
                spelling = near.get(position)
                words.append((spelling, word, spelling is not None))
            else:
                words.append((spelling, word, False))
        tokens: list[Token] = []
        at = 0
        while at < len(words):
            end, roles = _longest(language.tree, words, at)
            first = words[at][1]
            if end == at:
                text = first.text
                roles = self._nouns.get(text, 0) if words[at][0] is None else 0
                length = 1 + len(text) // 3 if first.unspaced else 1
                tokens.append(Token(roles, first.start, first.end, False, length, text[0].isdigit()))
                at += 1
                continue
            corrected = any(word[2] for word in words[at:end])
            tokens.append(Token(roles & ~REAL, first.start, words[end - 1][1].end, corrected))
            at = end
        return tokens


def _longest(tree: Node, words: Sequence[tuple[str | None, Word, bool]], at: int) -> tuple[int, int]:
    """Where the longest phrase that starts at ``at`` ends, and its roles; ``at`` itself when there is none."""
    node, end, roles = tree, at, 0
    for position in range(at, len(words)):
        spelling = words[position][0]
        following = node.next.get(spelling) if spelling is not None else None
        if following is None:
            break
        node = following
        if node.roles:
            end, roles = position + 1, node.roles
    return end, roles


def _pieces(run: Word, language: Language) -> Iterable[tuple[Word, bool]]:
    """A run without spaces as the longest pieces the table has, and what is left between them."""
    text, pieces, longest = run.text, language.unspaced, language.longest_piece
    exact = run.end - run.start == len(text)
    unknown = at = 0

    def piece(start: int, end: int) -> Word:
        return (
            Word(text[start:end], run.start + start, run.start + end, True)
            if exact
            else Word(text[start:end], run.start, run.end, True)
        )

    while at < len(text):
        end = next((end for end in range(min(len(text), at + longest), at, -1) if text[at:end] in pieces), at)
        if end == at:
            at += 1
            continue
        if unknown < at:
            yield piece(unknown, at), False
        yield piece(at, end), True
        unknown = at = end
    if unknown < at:
        yield piece(unknown, at), False


def _less_one(word: str) -> list[str]:
    return [word[:at] + word[at + 1 :] for at in range(len(word))]


def _one_edit(written: str, meant: str) -> bool:
    """Whether one letter added, left out, changed or swapped makes ``meant`` of ``written``.

    A word of four letters must keep its first one, since short words have many neighbours.
    """
    if len(meant) == _SHORTEST_CORRECTED and written[0] != meant[0] and written[:2] != meant[1::-1]:
        return False
    shared = min(len(written), len(meant))
    left = 0
    while left < shared and written[left] == meant[left]:
        left += 1
    a, b = written[left:], meant[left:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
