"""Rows of tables, put in order."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.chaos.reading import Row


def by(rows: Iterable[Row], name: str) -> dict[Any, list[Row]]:
    """The rows by what they have in a column; of a value that none has, none."""
    found: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[name]].append(row)
    return found
