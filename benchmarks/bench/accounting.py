"""CPU time of processes and all that come from them, and memory, as the system accounts for them."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil


def cpu_seconds(pids: Mapping[str, Iterable[int]]) -> dict[str, float]:
    """User and system time of each part so far, children that have ended included."""
    return {part: sum(_family_seconds(pid) for pid in of_part) for part, of_part in pids.items()}


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds of each part between two accounts."""
    return {part: after[part] - before[part] for part in after}


def resident_bytes(pid: int) -> int:
    """Memory of one process that is its own: what is shared with others is not counted."""
    return int(psutil.Process(pid).memory_full_info().uss)


def _family_seconds(pid: int) -> float:
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total
