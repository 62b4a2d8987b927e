"""How well and how fast messages are read, on labelled data: requests for a person, sentiment, replies, rules.

Run as ``python -m benchmarks.score``; ``--json`` prints the figures for programs, ``--data`` names another directory.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from domain.detection.automatic import automatic_reply
from domain.detection.human_request import HumanRequestDetector, builtin_detector
from domain.rules.conditions import read_conditions
from domain.rules.evaluation import Facts, RuleSet
from domain.sentiment.scorer import Label, label_of
from domain.sentiment.support import builtin_scorer

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
"""Where the labelled messages are, beside the checkout; they are not part of the project."""

HANDOFF = "handoff_dev.jsonl"
SENTIMENT = "sentiment_dev.jsonl"
REAL = "airline_messages.jsonl"

_HARD = "author-written"  # sources whose negatives were written to look like requests
_LATIN_GROUP = ("es", "pt", "fr", "de", "it", "nl")
_SEED = 20250301
_RARE = 0.001
"""Words in so few of the messages are what rules are written for; each message still matches about one rule."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

Row = dict[str, Any]
Figures = dict[str, Any]


def read_rows(path: Path) -> list[Row]:
    """The rows of a ``.jsonl`` file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def counts(pairs: Iterable[tuple[bool, bool]]) -> Figures:
    """Precision, recall and F1 of (said, true) pairs; a ratio without a denominator is 0."""
    listed = list(pairs)
    hits = sum(said and true for said, true in listed)
    said = sum(said for said, _ in listed)
    true = sum(true for _, true in listed)
    precision, recall = hits / said if said else 0.0, hits / true if true else 0.0
    f1 = 2 * hits / (said + true) if said + true else 0.0
    return {"rows": len(listed), "precision": precision, "recall": recall, "f1": f1}


def share(flags: Iterable[bool]) -> Figures:
    """How many of ``flags`` are set."""
    listed = list(flags)
    return {"rows": len(listed), "share": sum(listed) / len(listed) if listed else 0.0}


def with_one_edit(text: str, chance: random.Random) -> str:
    """``text`` with one letter dropped, doubled, changed or swapped in one of its words of four letters or more."""
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not places:
        return text
    place = chance.choice(places)
    word = words[place]
    at = chance.randrange(1, len(word) - 1)
    words[place] = chance.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + chance.choice(_LETTERS) + word[at + 1 :],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
        )
    )
    return " ".join(words)


def inside_long_message(text: str, others: Sequence[str], chance: random.Random) -> str:
    """``text`` as one sentence among six to ten that ask for nothing."""
    sentences = chance.sample(list(others), chance.randrange(6, 11))
    sentences.insert(chance.randrange(len(sentences) + 1), text)
    return ". ".join(sentence.strip().rstrip(".") for sentence in sentences) + "."


def hostile_messages() -> dict[str, str]:
    """Messages of 5,000 characters made to be slow to read."""
    chance = random.Random(_SEED)
    return {
        "one letter": "a" * 5000,
        "trigger words": ("talk to agent " * 400)[:5000],
        "nouns only": ("agent " * 1000)[:5000],
        "misspelt words": " ".join(["tlak", "agnet", "humna", "persno"] * 250)[:5000],
        "unknown words": " ".join("".join(chance.choices(_LETTERS, k=9)) for _ in range(500)),
        "refusals": ("i do not want to talk to an agent and " * 130)[:5000],
        "letters apart": "h u m a n " * 500,
        "punctuation": ".,!?" * 1250,
        "Chinese run": "我要找人工客服" * 714,
        "Japanese run": "オペレーターと話したい" * 454,
        "combining marks": "e" + "\u0301" * 4999,
        "Arabic": ("أريد التحدث مع موظف " * 250)[:5000],
        "every script": "".join(chr(chance.randrange(32, 0x2FFF)) for _ in range(5000)),
    }


def timing(call: Callable[[str], object], texts: Sequence[str]) -> Figures:
    """Median and 99th percentile in milliseconds of ``call`` on each of ``texts``."""
    taken = sorted(_seconds(call, text) for text in texts)
    return {"p50_ms": taken[len(taken) // 2] * 1e3, "p99_ms": taken[int(len(taken) * 0.99)] * 1e3}


def _seconds(call: Callable[[str], object], text: str) -> float:
    # Processor time: the work neither waits nor shares itself out, and a busy machine measures the same.
    began = time.process_time()
    call(text)
    return time.process_time() - began


def score_requests(rows: Sequence[Row], detector: HumanRequestDetector) -> Figures:
    """Every measure of the human-request detector on labelled ``rows``."""

    def said(text: str) -> bool:
        return detector.detect(text).requested

    def of(chosen: Iterable[Row]) -> Figures:
        return counts((said(row["text"]), bool(row["label"])) for row in chosen)

    positives = [row["text"] for row in rows if row["label"]]
    negatives = [row for row in rows if not row["label"]]
    hard = [row["text"] for row in negatives if row["source"].startswith(_HARD)]
    easy = [row["text"] for row in negatives if not row["source"].startswith(_HARD)]
    english = [text for text in easy if text.isascii() and len(text.split()) > 4 and not said(text)]
    chance = random.Random(_SEED)
    mistyped = [with_one_edit(text, chance) for text in positives if text.isascii()]
    embedded = [inside_long_message(text, english, chance) for text in positives if text.isascii()]
    return {
        "all": of(rows),
        "English": of(row for row in rows if row["lang"] == "en"),
        "Spanish to Dutch": of(row for row in rows if row["lang"] in _LATIN_GROUP),
        "by language": {
            lang: of(row for row in rows if row["lang"] == lang) for lang in sorted({r["lang"] for r in rows})
        },
        "false alarms, hard negatives": share(map(said, hard)),
        "false alarms, other negatives": share(map(said, easy)),
        "recall with one typo": share(map(said, mistyped)),
        "recall inside a long message": share(map(said, embedded)),
        "time": timing(detector.detect, [row["text"] for row in rows]),
        "hostile, slowest ms": max(
            min(_seconds(detector.detect, text) for _ in range(3)) for text in hostile_messages().values()
        )
        * 1e3,
    }


def score_sentiment(rows: Sequence[Row]) -> Figures:
    """Every measure of the sentiment scorer on labelled ``rows``."""
    score = builtin_scorer().score
    said = [(label_of(score(row["text"])), Label(row["label"])) for row in rows]
    by_label = {label.value: counts((mine is label, true is label) for mine, true in said) for label in Label}
    neutral = [mine for mine, true in said if true is Label.NEUTRAL]
    return {
        "macro F1": sum(figures["f1"] for figures in by_label.values()) / len(by_label),
        "by label": by_label,
        "neutral called negative": share(mine is Label.NEGATIVE for mine in neutral),
        "time": timing(score, [row["text"] for row in rows]),
    }


def score_rules(texts: Sequence[str]) -> Figures:
    """What it costs to hold a message against 500 rules with 2,500 keywords: words of ``texts`` that are not common."""
    chance = random.Random(_SEED)
    known = Counter(word for text in texts for word in set(text.casefold().split()) if word.isalpha())
    vocabulary = sorted(word for word, times in known.items() if times <= len(texts) * _RARE)
    rules = RuleSet(
        (number, read_conditions({"all": [{"keyword": chance.sample(vocabulary, 5)}, {"sentiment": {"at_most": 0.5}}]}))
        for number in range(500)
    )
    facts = [Facts(text, sentiments=(0.0,)) for text in texts]
    began = time.process_time()
    matches = sum(len(rules.matches(each)) for each in facts)
    return {
        "mean_us": (time.process_time() - began) / len(texts) * 1e6,
        "matches a message": matches / len(texts),
    }


def score_all(data: Path) -> Figures:
    """All figures for the files in ``data``; raises ``FileNotFoundError`` when one is missing."""
    requests, sentiments, real = (read_rows(data / name) for name in (HANDOFF, SENTIMENT, REAL))
    for row in sentiments:
        row["support"] = row["source"].startswith("support")
    detector = builtin_detector()
    texts = [row["text"] for row in real]
    return {
        "requests for a person": score_requests(requests, detector),
        "sentiment, all sources": score_sentiment(sentiments),
        "sentiment, support messages": score_sentiment([row for row in sentiments if row["support"]]),
        "real messages": {
            "requests for a person": share(detector.detect(text).requested for text in texts),
            "requests, time": timing(detector.detect, texts),
            "sentiment": score_sentiment([row | {"label": row["sentiment"]} for row in real]),
            "taken for automatic replies": share(automatic_reply(text) is not None for text in texts),
            "500 rules, 2,500 keywords": score_rules(texts),
        },
    }


def _lines(figures: Figures, depth: int = 0) -> Iterable[str]:
    for name, value in figures.items():
        if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
            yield f"{'  ' * depth}{name}"
            yield from _lines(value, depth + 1)
        elif isinstance(value, dict):
            yield f"{'  ' * depth}{name:<{34 - 2 * depth}}" + "  ".join(
                f"{key} {_number(at)}" for key, at in value.items()
            )
        else:
            yield f"{'  ' * depth}{name:<{34 - 2 * depth}}{_number(value)}"


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 0 also where the data is missing, which is said, since it is not part of the project."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="directory of the labelled .jsonl files")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        figures = score_all(options.data)
    except FileNotFoundError as missing:
        print(f"Nothing to score: {missing.filename} is missing.", file=sys.stderr)
        return 0
    print(json.dumps(figures, indent=2) if options.json else "\n".join(_lines(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
