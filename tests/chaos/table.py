"""A run's report as a table for people."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from tests.chaos.report import Report, Wrong
from tests.chaos.retelling import Fate
from tests.chaos.system import PARTS

_SHOWN = 40
"""Findings that are printed; the others are counted."""

_ABOVE = frozenset(
    {
        *(Wrong.LOST, Wrong.DOUBLED, Wrong.UNFIRED, Wrong.FIRED_TWICE, Wrong.TWO_LIVE, Wrong.TWO_OWNERS),
        *(Wrong.UNDELIVERED, Wrong.DELIVERED_IN_VAIN, Wrong.RECORDED, Wrong.FORGED),
    }
)
"""What is counted beside what it went wrong with."""


def table(report: Report) -> str:
    """Everything that was counted; what went wrong is listed below."""
    rows = list(_rows(report))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value:>12}" if value else f"\n{name}" for name, value in rows]
    shown = [f"- {finding.wrong}: {finding.text}" for finding in report.findings[:_SHOWN]]
    if len(report.findings) > _SHOWN:
        shown.append(f"- and {len(report.findings) - _SHOWN} more")
    return "\n".join([*lines, "", *(shown or ["Nothing lost, nothing doubled, nothing amiss."])]).lstrip("\n")


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    """Name and value; a heading has no value."""
    yield "Commands", ""
    yield "sent", f"{report.sent:,}"
    yield "acknowledged", f"{report.acknowledged:,}"
    yield "  of them already so", f"{report.without_effect:,}"
    yield "unknown, then resolved", f"{report.resolved:,}"
    yield "refused", f"{report.refused:,}"
    yield "given up as unknown", f"{report.given_up:,}"
    yield "  of them in effect", f"{report.given_up_effective:,}"
    yield "repeated on purpose", f"{report.repeated:,}"
    yield "lost", f"{report.count(Wrong.LOST):,}"
    yield "doubled", f"{report.count(Wrong.DOUBLED):,}"
    yield "Disturbances", ""
    for part in PARTS:
        kills, stops = report.blows[part, "kill"], report.blows[part, "stop"]
        yield part, f"{kills} kills, {stops} stops"
    for part, times in sorted(report.ended.items()):
        yield f"{part} ended by itself", f"{times:,}"
    yield "Timers", ""
    yield "due", f"{len(report.fates):,}"
    yield "  while something was down", f"{len(report.due_while_away()):,}"
    yield "fired", f"{len(report.timers(Fate.FIRED)):,}"
    yield "overtaken by somebody's act", f"{len(report.timers(Fate.OVERTAKEN)):,}"
    yield "unfired", f"{report.count(Wrong.UNFIRED):,}"
    yield "fired twice", f"{report.count(Wrong.FIRED_TWICE):,}"
    yield from _spread("lateness", [fate.late for fate in report.timers(Fate.FIRED)])
    yield from _spread("  once all was up", report.late_once_up())
    talks = report.talks
    yield "Conversations", ""
    yield "worked on", f"{talks.conversations:,}"
    yield "escalations", f"{talks.escalations:,}"
    yield "asked for a human", f"{talks.raised:,}"
    yield "claimed or taken over", f"{talks.taken:,}"
    yield "refused, and told who has it", f"{talks.contested:,}"
    yield "given back by silence", f"{talks.returned:,}"
    yield "ladder steps", f"{talks.steps:,}"
    yield "notices to members", f"{talks.notices:,}"
    yield "two live at once", f"{report.count(Wrong.TWO_LIVE):,}"
    yield "two owners at once", f"{report.count(Wrong.TWO_OWNERS):,}"
    yield "Deliveries", ""
    yield "answers acknowledged", f"{talks.replies:,}"
    yield "delivered, by key", f"{talks.deliveries:,}"
    yield "  taken again under the same key", f"{talks.again:,}"
    yield "requests at the receiver", f"{talks.requests:,}"
    yield "never delivered", f"{report.count(Wrong.UNDELIVERED):,}"
    yield "delivered in vain", f"{report.count(Wrong.DELIVERED_IN_VAIN):,}"
    yield "recorded otherwise", f"{report.count(Wrong.RECORDED):,}"
    yield "signatures that do not hold", f"{report.count(Wrong.FORGED):,}"
    yield "The rest", ""
    yield "tickets compared", f"{report.tickets:,}"
    yield "events retold", f"{report.events:,}"
    for wrong in Wrong:
        if wrong not in _ABOVE:
            yield wrong.value, f"{report.count(wrong):,}"


def _spread(name: str, values: Sequence[timedelta]) -> Iterator[tuple[str, str]]:
    late = sorted(value.total_seconds() for value in values)
    if late:
        yield f"{name}, p50", f"{late[len(late) // 2]:.2f} s"
        yield f"{name}, max", f"{late[-1]:.2f} s"
