"""Streams of messages in the form that replays read, made up for the tests."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

Line = dict[str, Any]

_BRANDS = ("North", "South Line")
_BEGIN = datetime(2015, 2, 16, tzinfo=UTC)


def lines(count: int, seed: int = 7) -> list[Line]:
    """``count`` messages over three days, about three to a conversation; some customers come back two days later.

    Every fifth asks for nothing that a rule looks for, and neither does any of every tenth conversation.
    """
    random = Random(seed)
    returning = [f"c{900 + number}" for number in range(count // 10)]
    others = [f"c{number}" for number in range(max(count // 3, 1))]
    moments = sorted(random.uniform(1, 70) for _ in range(count - 2 * len(returning)))
    written = [
        *((random.uniform(0, 1), conversation) for conversation in returning),
        *((moment, random.choice(others)) for moment in moments),
        *((random.uniform(119, 120), conversation) for conversation in returning),
    ]
    return [
        line(
            number,
            conversation,
            hours,
            **({"text": f"Good morning! This is message {number}."} if _asks_for_nothing(number, conversation) else {}),
        )
        for number, (hours, conversation) in enumerate(sorted(written))
    ]


def _asks_for_nothing(number: int, conversation: str) -> bool:
    return number % 5 == 1 or conversation.endswith("4")


def line(number: int, conversation: str, hours: float, **others: Any) -> Line:
    """One message; a conversation always belongs to the same brand."""
    return {
        "conversation": conversation,
        "message": f"m{number}",
        "at": (_BEGIN + timedelta(hours=hours)).isoformat(),
        "brand": _BRANDS[int(conversation.removeprefix("c")) % len(_BRANDS)],
        "channel": "twitter",
        "text": f"Where is my bag? This is question {number}.",
        "sentiment": "negative",
        "reason": "Lost Luggage" if number % 2 else None,
        **others,
    }


def write(file: Path, content: list[Line]) -> Path:
    """Write the file, one line a message."""
    file.write_text("".join(json.dumps(each) + "\n" for each in content))
    return file
