"""Whether a message was written by a machine on a customer's behalf: out of office, vacation, bounce."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from domain.detection.text import fold, is_unspaced, unaccented, words_of

MAX_READ = 1500
"""Characters read: an automatic reply says what it is at its beginning, and a quoted one below does not count."""

_TABLE = Path(__file__).with_name("automatic.toml")
_ABSENCES = ("vacation", "out of office", "ooo", "autoreply", "auto-reply", "auto_reply")
_OPENING = 7  # characters in which an opening phrase begins; a mail's subject may say "Re:" first
_ENOUGH = 2  # likely phrases that together make a machine


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrase to look for, among whole words or, where a script has no spaces, anywhere."""

    text: str
    sought: str
    by_words: bool

    @classmethod
    def of(cls, text: str) -> "_Phrase":
        if any(is_unspaced(char) for char in text):
            return cls(text, fold(text).text, False)
        return cls(text, f" {' '.join(unaccented(word) for word in words_of(text))} ", True)

    def place(self, spaced: str, unspaced: str) -> int:
        """Where the phrase begins in the text, given as spaced words and as it is; -1 when it does not occur."""
        return (spaced if self.by_words else unspaced).find(self.sought)


@dataclass(frozen=True, slots=True)
class _Patterns:
    opening: tuple[_Phrase, ...]
    certain: tuple[_Phrase, ...]
    likely: tuple[_Phrase, ...]


def automatic_reply(text: str, headers: Mapping[str, str] | None = None) -> str | None:
    """Why the message counts as an automatic reply, in words for people, or ``None``.

    ``headers`` are an email's, in any case. A header is believed before the text. Patterns are conservative, since a
    customer's real answer taken for a machine's would keep the ticket waiting.
    """
    return (_by_headers(headers) if headers else None) or _by_pattern(text)


def _by_headers(headers: Mapping[str, str]) -> str | None:
    given = {name.casefold(): value.strip().casefold() for name, value in headers.items()}
    submitted = given.get("auto-submitted", "no").partition(";")[0].strip()
    if submitted not in {"", "no"}:
        return f"header Auto-Submitted: {submitted}"
    for name in ("X-Autoreply", "X-Autorespond", "X-Autoresponder"):
        if given.get(name.casefold(), "no") not in {"", "no", "false", "0"}:
            return f"header {name}"
    # Vacation programs say auto_reply; bulk and list are newsletters, which nobody waits for an answer to either.
    precedence = given.get("precedence", "")
    if precedence in {"auto_reply", "auto-reply", "bulk", "junk", "list"}:
        return f"header Precedence: {precedence}"
    if "x-auto-response-suppress" in given and any(absence in given.get("subject", "") for absence in _ABSENCES):
        return "header X-Auto-Response-Suppress with the subject of an absence"
    if given.get("x-auto-response-suppress", "") == "all" and "in-reply-to" in given and "x-mailer" not in given:
        return "header X-Auto-Response-Suppress: all"
    return None


def _by_pattern(text: str) -> str | None:
    shown = text[:MAX_READ]
    words = [unaccented(word) for word in words_of(shown)]
    spaced = f" {' '.join(words)} "
    unspaced = fold(shown).text
    for language, patterns in _patterns().items():
        hits = [phrase for phrase in patterns.opening if phrase.place(spaced, unspaced) in range(_OPENING)]
        hits = hits or [phrase for phrase in patterns.certain if phrase.place(spaced, unspaced) >= 0]
        if hits:
            return f"says {hits[0].text!r} ({language})"
        hits = _apart([phrase for phrase in patterns.likely if phrase.place(spaced, unspaced) >= 0])
        if len(hits) >= _ENOUGH:
            return f"says {hits[0].text!r} and {hits[1].text!r} ({language})"
    return None


def _apart(phrases: list[_Phrase]) -> list[_Phrase]:
    """Those of ``phrases`` that are no part of another: "I am on vacation" is one sign, not two."""
    return [
        phrase
        for phrase in phrases
        if not any(phrase is not other and phrase.sought.strip() in other.sought for other in phrases)
    ]


@cache
def _patterns() -> dict[str, _Patterns]:
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {
        code: _Patterns(*(_compiled(entry[kind]) for kind in ("opening", "certain", "likely")))
        for code, entry in table.items()
    }


def _compiled(entries: str) -> tuple[_Phrase, ...]:
    return tuple(_Phrase.of(entry.strip()) for entry in entries.split(",") if entry.strip())
