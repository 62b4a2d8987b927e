"""One language's table, read from TOML and compiled for look-up."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from domain.detection.roles import ANCHORS, CORRECTED, NOUNS, ROLES
from domain.detection.text import is_unspaced, unaccented, words_of

PACKAGED = Path(__file__).parent / "languages"
"""The tables that come with Baton."""

_OPTIONS = frozenset(
    {"code", "name", "noun_first", "negation_inside", "negation_after", "compounds", "prefixes", "borrows"}
)


class InvalidTable(ValueError):
    """A language table that cannot be used; the message names the file's language and the entry."""


@dataclass(slots=True)
class Node:
    """A step in the tree of phrases: the words that may follow, and the roles of the phrase that ends here."""

    roles: int = 0
    next: dict[str, "Node"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Language:
    """A compiled table.

    ``noun_first``: verbs stand after their nouns. ``negation_inside`` and ``negation_after``: a negator may stand
    between verb and noun, or after both. ``compounds``: nouns stand side by side, so that a strange word after a noun
    makes another noun of it ("agent fee"). ``borrows``: the code of a language whose words this one is full of; such
    words say little about which of the two a message is in.
    """

    code: str
    name: str
    noun_first: bool
    negation_inside: bool
    negation_after: bool
    compounds: bool
    borrows: str | None
    tree: Node
    vocabulary: frozenset[str]
    plain: Mapping[str, str]  # without accents -> as the table has it
    anchors: frozenset[str]
    corrected: frozenset[str]
    nouns: Mapping[str, int]  # single words -> roles
    common: frozenset[str]  # words by which the language is recognized
    unspaced: frozenset[str]  # the pieces that runs without spaces are cut into
    longest_piece: int

    def canonical(self, word: str) -> str | None:
        """``word`` as the table spells it, with or without its accents, or ``None`` when the table does not have it."""
        return word if word in self.vocabulary else self.plain.get(unaccented(word))

    def known_characters(self, run: str) -> int:
        """How many characters of a run without spaces belong to the table's pieces."""
        known = at = 0
        while at < len(run):
            end = next(
                (end for end in range(min(len(run), at + self.longest_piece), at, -1) if run[at:end] in self.unspaced),
                at,
            )
            known += end - at
            at = max(end, at + 1)
        return known


def read_tables(directories: Iterable[Path]) -> list[Language]:
    """Every language of the ``*.toml`` files in ``directories``; files of one language add up.

    Raises ``InvalidTable`` for an unknown role, option or group of endings, and ``OSError`` as reading does.
    """
    tables: dict[str, dict[str, Any]] = {}
    for directory in directories:
        for path in sorted(directory.glob("*.toml")):
            _merge(tables, tomllib.loads(path.read_text(encoding="utf-8")), path.name)
    return [compile_table(table) for table in tables.values()]


def _merge(tables: dict[str, dict[str, Any]], addition: dict[str, Any], file: str) -> None:
    code = addition.get("code")
    if not isinstance(code, str):
        raise InvalidTable(f'{file}: a table needs a code, such as code = "en"')
    table = tables.setdefault(code, {"endings": {}, "words": {}})
    for option, value in addition.items():
        if option == "endings":
            table["endings"].update(value)
        elif option == "words":
            for role, entries in value.items():
                table["words"].setdefault(role, []).append(entries)
        elif option in _OPTIONS:
            table[option] = value
        else:
            raise InvalidTable(f"{file}: there is no option {option!r}")


def compile_table(table: Mapping[str, Any]) -> Language:
    """The language of ``table``: its options, ``endings`` and, per role, texts of entries parted by commas."""
    code = str(table["code"])
    endings = {name: tuple(value.split()) for name, value in table["endings"].items()}
    tree = Node()
    vocabulary: set[str] = set()
    anchors: set[str] = set()
    corrected: set[str] = set()
    common: set[str] = set()
    nouns: dict[str, int] = {}
    prefixes = tuple(table.get("prefixes", ()))
    for role, texts in table["words"].items():
        bit = ROLES.get(role)
        if bit is None:
            raise InvalidTable(f"{code}: there is no role {role!r}")
        for phrase in _phrases(texts, endings, code, role):
            for words in _prefixed(phrase, prefixes if bit & NOUNS else ()):
                _plant(tree, words, bit)
                vocabulary.update(words)
                if bit & ANCHORS:
                    anchors.update(words if len(words) == 1 else [max(words, key=len)])
                if bit & CORRECTED:
                    corrected.update(word for word in words if len(word) >= 4)
                if len(words) == 1:
                    if bit & NOUNS:
                        nouns[words[0]] = nouns.get(words[0], 0) | bit
                    if role in {"skip", "me", "first", "negator", "link", "want", "mine"}:
                        common.add(words[0])
    plain: dict[str, str] = {}
    for word in sorted(vocabulary):
        plain.setdefault(unaccented(word), word)
    unspaced = frozenset(word for word in vocabulary if is_unspaced(word))
    return Language(
        code=code,
        name=str(table.get("name", code)),
        noun_first=bool(table.get("noun_first", False)),
        negation_inside=bool(table.get("negation_inside", False)),
        negation_after=bool(table.get("negation_after", False)),
        compounds=bool(table.get("compounds", False)),
        borrows=table.get("borrows"),
        tree=tree,
        vocabulary=frozenset(vocabulary),
        plain=plain,
        anchors=frozenset(anchors),
        corrected=frozenset(corrected),
        nouns=nouns,
        common=frozenset(common),
        unspaced=unspaced,
        longest_piece=max(map(len, unspaced), default=0),
    )


def _phrases(texts: list[str], endings: Mapping[str, tuple[str, ...]], code: str, role: str) -> Iterable[list[str]]:
    for text in texts:
        for entry in text.replace("\n", ",").split(","):
            if entry.strip():
                try:
                    yield from _expanded(entry.split(), endings)
                except KeyError as missing:
                    raise InvalidTable(f"{code}: {role}: {entry.strip()!r} uses no known endings: {missing}") from None


def _expanded(words: list[str], endings: Mapping[str, tuple[str, ...]]) -> Iterable[list[str]]:
    """Each form of a phrase: ``agent/s`` stands for the stem with every ending of the group ``s`` (``-`` is none)."""
    choices: list[list[str]] = []
    for word in words:
        stem, slash, group = word.partition("/")
        choices.append([stem + ending.replace("-", "") for ending in endings[group]] if slash else [stem])
    for chosen in product(*choices):
        # The same cutting as for messages, so that a phrase with an apostrophe has the words a message will have.
        yield [*words_of(" ".join(chosen))]


def _prefixed(words: list[str], prefixes: tuple[str, ...]) -> Iterable[list[str]]:
    yield words
    for prefix in prefixes:
        yield [prefix + words[0], *words[1:]]


def _plant(tree: Node, words: list[str], bit: int) -> None:
    node = tree
    for word in words:
        node = node.next.setdefault(word, Node())
    node.roles |= bit
