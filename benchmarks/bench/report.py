"""The figures as tables."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_report(results: dict[str, Any], console: Console) -> None:
    """One table for each part that was measured."""
    if found := results.get("lives"):
        _lives(found, console)
    if found := results.get("lists"):
        _lists(found, console)
    if found := results.get("analytics"):
        _lists(found, console)
    if found := results.get("queue"):
        _queue(found, console)
    for part in ("startup", "cost", "intake", "steady", "restart", "memory", "assignment", "fan-out", "events"):
        if part in results:
            table = Table("", part, title_justify="left")
            for name, value in results[part].items():
                table.add_row(name.replace("_", " "), str(value))
            console.print(table)


def _lives(found: dict[str, Any], console: Console) -> None:
    table = Table("clients", "", "lives/s", "ratio", "p50 ms", "p99 ms", "p99/p50", "CPU ms a life")
    for clients, both in found.items():
        bare, baton = both["bare"], both["baton"]
        table.add_row(clients, "bare", str(bare["lives_per_second"]), "1", "", "", "", _cpu(bare))
        table.add_row(
            "",
            "Baton",
            str(baton["lives_per_second"]),
            str(both["ratio"]),
            str(baton["p50_ms"]),
            str(baton["p99_ms"]),
            str(baton["p99_over_p50"]),
            _cpu(baton),
        )
    console.print(table)


def _queue(found: dict[str, Any], console: Console) -> None:
    what = ("raised", "notified", "takeover_of_queued", "takeover_unasked")
    table = Table("clients", *(f"{name.replace('_', ' ')}, ms, p50 / p99" for name in what))
    for clients, each in found.items():
        table.add_row(clients, *(f"{each[f'{name}_p50_ms']} / {each[f'{name}_p99_ms']}" for name in what))
    console.print(table)


def _lists(found: dict[str, Any], console: Console) -> None:
    table = Table("ms, p50 / p99", *(f"{int(size):,} tickets" for size in found))
    names = next(iter(found.values()))
    for name in names:
        table.add_row(name, *(f"{queries[name]['p50']} / {queries[name]['p99']}" for queries in found.values()))
    console.print(table)


def _cpu(figures: dict[str, Any]) -> str:
    parts = dict(figures["cpu_ms_per_life"])
    total = parts.pop("total")
    return f"{total} ({', '.join(f'{part} {value}' for part, value in parts.items())})"
