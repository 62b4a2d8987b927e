"""A cheap guess at a message's language: its script, then which table knows its small words."""

from functools import cache, lru_cache
from itertools import islice

from domain.detection.human_request import builtin_detector
from domain.detection.language import Language
from domain.detection.text import unaccented, words_of

_WORDS_READ = 60  # enough to tell languages apart; keeps the guess cheap on long messages
_KNOWN_WORD = 0.25  # weight of a word the table has at all, beside 1 for a small word of the language

_SCRIPTS = (
    ("\u3041", "\u30ff", "ja"),
    ("\u4e00", "\u9fff", "zh"),
    ("\u0600", "\u06ff", "ar"),
    ("\u0900", "\u097f", "hi"),
    ("\u0400", "\u04ff", "ru"),
)
_OTHER_SCRIPTS_FROM = "\u0370"  # Greek and everything after Latin


@cache
def _latin_tables() -> tuple[Language, ...]:
    return tuple(table for table in builtin_detector().lexicon.languages if not table.code.startswith(("zh", "ja")))


def guess_language(text: str) -> str | None:
    """The code of the language ``text`` is probably in; ``None`` when nothing tells, or when it is none of ours."""
    script = _by_script(text)
    if script is not None:
        return script or None
    tables = _latin_tables()
    weights = [0.0] * len(tables)
    for word in islice(words_of(text[: _WORDS_READ * 16]), _WORDS_READ):
        for place, weight in _weights(word):
            weights[place] += weight
    best = max(weights, default=0.0)
    if not best:
        return None
    likeliest = [table.code for table, weight in zip(tables, weights, strict=True) if weight == best]
    return likeliest[0] if len(likeliest) == 1 else None


def _by_script(text: str) -> str | None:
    """The language of a script that only one of ours uses, ``""`` for a strange script, ``None`` for Latin letters."""
    if text.isascii():
        return None
    letters = [char for char in text[:1000] if char.isalpha()]
    foreign = [char for char in letters if char >= _OTHER_SCRIPTS_FROM and not "\u1e00" <= char <= "\u1eff"]
    if len(foreign) * 2 <= len(letters):
        return None
    for first, last, code in _SCRIPTS:
        found = sum(first <= char <= last for char in foreign)
        # A fifth is enough for Japanese, which mixes its own letters with Chinese ones.
        if found * (5 if code == "ja" else 2) > len(foreign):
            return code
    return ""


@lru_cache(maxsize=16_384)
def _weights(word: str) -> tuple[tuple[int, float], ...]:
    """What the word says for each table that knows it, by the table's place."""
    plain = unaccented(word)
    return tuple(
        (place, 1.0 if word in table.common else _KNOWN_WORD)
        for place, table in enumerate(_latin_tables())
        if word in table.common or word in table.vocabulary or plain in table.plain
    )
