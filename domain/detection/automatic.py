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


@dataclass(frozen=True, slots=True)
class _Phrase:
    """A phrase to look for, among whole words or, where a script has no spaces, anywhere."""

    text: str
    kind: str
    language: str
    sought: str
    by_words: bool

    def place(self, spaced: str, unspaced: str) -> int:
        """Where the phrase begins in the text, given as spaced words and as it is; -1 when it does not occur."""
        return (spaced if self.by_words else unspaced).find(self.sought)


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
    spaced, unspaced = f" {' '.join(words)} ", fold(shown).text
    has_unspaced = any(is_unspaced(word) for word in words)
    by_word, without_spaces = _index()
    candidates = [phrase for word in by_word.keys() & set(words) for phrase in by_word[word]]
    candidates += without_spaces if has_unspaced else ()
    places = {phrase: phrase.place(spaced, unspaced) for phrase in candidates}
    standing = (phrase for phrase in candidates if places[phrase] >= 0)
    found = sorted(standing, key=lambda phrase: (places[phrase], phrase.text))
    for phrase in found:
        if phrase.kind == "certain" or (phrase.kind == "opening" and places[phrase] < _OPENING):
            return f"says {phrase.text!r} ({phrase.language})"
    likely = _apart([phrase for phrase in found if phrase.kind == "likely"])
    for phrase in likely:
        other = next((other for other in likely if other is not phrase and other.language == phrase.language), None)
        if other is not None:
            return f"says {phrase.text!r} and {other.text!r} ({phrase.language})"
    return None


def _apart(phrases: list[_Phrase]) -> list[_Phrase]:
    """Those of ``phrases`` that are no part of another: "I am on vacation" is one sign, not two."""
    return [
        phrase
        for phrase in phrases
        if not any(phrase is not other and phrase.sought.strip() in other.sought for other in phrases)
    ]


@cache
def _index() -> tuple[dict[str, list[_Phrase]], list[_Phrase]]:
    """The phrases by their longest word, and those of scripts without spaces."""
    by_word: dict[str, list[_Phrase]] = {}
    without_spaces: list[_Phrase] = []
    for language, kinds in tomllib.loads(_TABLE.read_text(encoding="utf-8")).items():
        for kind, entries in kinds.items():
            for entry in entries.split(","):
                text = entry.strip()
                if any(map(is_unspaced, text)):
                    without_spaces.append(_Phrase(text, kind, language, fold(text).text, False))
                elif text:
                    words = [unaccented(word) for word in words_of(text)]
                    phrase = _Phrase(text, kind, language, f" {' '.join(words)} ", True)
                    by_word.setdefault(max(words, key=len), []).append(phrase)
    return by_word, without_spaces
