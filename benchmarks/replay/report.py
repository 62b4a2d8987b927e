"""What a replay found, as one document, and its tables for a terminal and for Markdown."""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Table

from benchmarks.replay.journal import Journal, Request
from benchmarks.replay.pace import Pace
from benchmarks.replay.reconciliation import Json, Reconciliation, TenantReading, reconcile
from benchmarks.replay.stream import Stream
from domain.events import ActorKind, EventKind
from domain.ticket import Move, Status

SHOWN_PROBLEMS = 20


class RunFacts(BaseModel):
    """What was replayed, how fast, and where."""

    messages: int
    conversations: int
    stream_began_at: datetime
    stream_ended_at: datetime
    speed_up: float
    rules: str
    seconds: float = Field(description="From the first message stored to the last, without the time between runs.")
    messages_a_second: float
    events: int
    events_a_second: float
    busiest_minute: int = Field(description="Events.")
    cores: int
    system: str


class BrandNumbers(BaseModel):
    """One organization, counted from its rows and stories."""

    brand: str
    messages: int
    tickets: int
    follow_ups: int
    answers: int
    reminders: int
    reassignments: int
    auto_resolved: int
    auto_closed: int
    reopened: int
    statuses: dict[str, int]


class RequestNumbers(BaseModel):
    """The driver's requests of one kind; milliseconds until the answer, other attempts included."""

    what: str
    count: int
    p50_ms: float
    p99_ms: float
    sent_again: int
    conflicts: int
    pending: int = Field(description="Answered before reads showed it.")


class Report(BaseModel):
    """All of it. Everything but ``requests`` is read back from the system."""

    run: RunFacts
    brands: list[BrandNumbers]
    transitions: dict[str, int]
    events: dict[str, int]
    requests: list[RequestNumbers]
    reconciliation: Reconciliation

    @property
    def whole(self) -> bool:
        """Nothing lost, nothing doubled, every read model equal to its workflow."""
        return not self.reconciliation.problems


def make_report(stream: Stream, tenants: Sequence[TenantReading], journal: Journal, pace: Pace) -> Report:
    """The report of what has been read back."""
    events = [event for tenant in tenants for ticket in tenant.tickets for event in ticket.events]
    requests = [request for done in journal.done.values() for request in done.requests]
    return Report(
        run=_run(stream, tenants, events, journal.paused_seconds(), pace),
        brands=[_brand(tenant) for tenant in tenants],
        transitions={move.value: sum(event["about"].get("move") == move for event in events) for move in Move},
        events=dict(sorted(Counter(event["kind"] for event in events).items())),
        requests=[_requests(what, requests) for what in sorted({request.what for request in requests})],
        reconciliation=reconcile(stream, tenants),
    )


def _run(
    stream: Stream, tenants: Sequence[TenantReading], events: Sequence[Json], paused: float, pace: Pace
) -> RunFacts:
    stored = sorted(
        datetime.fromisoformat(message["created_at"]) for tenant in tenants for message in _customers(tenant)
    )
    seconds = max((stored[-1] - stored[0]).total_seconds() - paused, 0.1) if stored else 0.1
    until = stored[-1] if stored else None
    during = [event for event in events if until and datetime.fromisoformat(event["at"]) <= until]
    minutes = Counter(event["at"][: len("2000-01-01T00:00")] for event in events)
    return RunFacts(
        messages=len(stored),
        conversations=len(stream.conversations),
        stream_began_at=stream.began_at,
        stream_ended_at=stream.ended_at,
        speed_up=pace.speed_up,
        rules=pace.in_words(),
        seconds=round(seconds, 1),
        messages_a_second=round(len(stored) / seconds, 1),
        events=len(events),
        events_a_second=round(len(during) / seconds, 1),
        busiest_minute=max(minutes.values(), default=0),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    )


def _customers(tenant: TenantReading) -> Iterable[Json]:
    return (message for message in tenant.messages if message["author_kind"] == "customer")


def _brand(tenant: TenantReading) -> BrandNumbers:
    events = [event for ticket in tenant.tickets for event in ticket.events]
    views = [ticket.view for ticket in tenant.tickets if ticket.view]
    kinds = Counter(event["kind"] for event in events)
    moves = Counter(event["about"].get("move") for event in events)
    by_itself = Counter(event["about"].get("move") for event in events if event["actor"]["kind"] == ActorKind.SYSTEM)
    statuses = Counter(view["status"] for view in views)
    return BrandNumbers(
        brand=tenant.brand,
        messages=sum(1 for _ in _customers(tenant)),
        tickets=len(tenant.tickets),
        follow_ups=sum(view["follow_up_of"] is not None for view in views),
        answers=kinds[EventKind.AGENT_REPLIED],
        reminders=kinds[EventKind.REMINDER_SENT],
        reassignments=kinds[EventKind.REASSIGNED],
        auto_resolved=by_itself[Move.RESOLVE],
        auto_closed=by_itself[Move.CLOSE],
        reopened=moves[Move.REOPEN],
        statuses={status.value: statuses[status] for status in Status},
    )


def _requests(what: str, requests: Sequence[Request]) -> RequestNumbers:
    mine = [request for request in requests if request.what == what]
    times = sorted(request.ms for request in mine)
    return RequestNumbers(
        what=what,
        count=len(mine),
        p50_ms=_percentile(times, 0.5),
        p99_ms=_percentile(times, 0.99),
        sent_again=sum(request.attempts > 1 for request in mine),
        conflicts=sum(request.status == 409 for request in mine),
        pending=sum(request.pending for request in mine),
    )


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Section:
    """A table with a heading; the first column names the row."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def sections(report: Report) -> list[Section]:
    """The report as tables, in the order they are read."""
    return [_run_section(report.run), _brands_section(report.brands), _transitions_section(report), *_rest(report)]


def _run_section(run: RunFacts) -> Section:
    span = timedelta(seconds=round((run.stream_ended_at - run.stream_began_at).total_seconds()))
    kept = span.total_seconds() / run.seconds
    rows = [
        ("Stream", f"{run.messages:,} messages in {run.conversations:,} conversations over {_days(span)}"),
        ("Speed-up", f"{run.speed_up:g} times asked for, {kept:,.0f} times reached"),
        ("Rules, in the stream's time", run.rules),
        ("Duration", f"{run.seconds:,.0f} s"),
        ("Messages", f"{run.messages_a_second:,.1f} a second"),
        (
            "Events",
            f"{run.events:,}; {run.events_a_second:,.1f} a second, {run.busiest_minute:,} in the busiest minute",
        ),
        ("Machine", f"{run.cores} cores for Postgres, Temporal, worker, API and this driver; {run.system}"),
    ]
    return Section("Run", ("what", "measured"), rows)


def _brands_section(brands: Sequence[BrandNumbers]) -> Section:
    names = [name for name in BrandNumbers.model_fields if name not in ("brand", "statuses")]
    rows = [(each.brand, *(f"{getattr(each, name):,}" for name in names)) for each in brands]
    rows.append(("all", *(f"{sum(getattr(each, name) for each in brands):,}" for name in names)))
    return Section("Organizations", ("brand", *(name.replace("_", " ") for name in names)), rows)


def _transitions_section(report: Report) -> Section:
    statuses = Counter[str]()
    for brand in report.brands:
        statuses.update(brand.statuses)
    rows = [
        ("Transitions", _listed(report.transitions)),
        ("Events", _listed(report.events)),
        ("Tickets at the end", _listed(statuses)),
    ]
    return Section("What happened", ("what", "how often"), rows)


def _rest(report: Report) -> list[Section]:
    requests = [
        (
            each.what,
            *(f"{number:,.0f}" for number in (each.count, each.p50_ms, each.p99_ms)),
            *(str(number) for number in (each.sent_again, each.conflicts, each.pending)),
        )
        for each in report.requests
    ]
    messages, models = report.reconciliation.messages, report.reconciliation.read_models
    checks = [
        ("Messages stored once", f"{messages.stored_once:,} of {messages.sent:,}"),
        ("Messages told to one ticket, once", f"{messages.told_once:,} of {messages.sent:,}"),
        (
            "Lost, stored twice, altered, not told, told twice, unknown",
            ", ".join(
                str(count)
                for count in (
                    messages.lost,
                    messages.stored_twice,
                    messages.altered,
                    messages.not_told,
                    messages.told_twice,
                    messages.unknown,
                )
            ),
        ),
        ("Read models equal to their workflow", f"{models.equal:,} of {models.tickets:,}"),
        ("Differing, missing, stories with a gap", f"{models.differing}, {models.missing}, {models.gaps}"),
        ("Compared with a running workflow, with an ended one", f"{models.running:,}, {models.ended:,}"),
    ]
    columns = ("kind", "count", "p50 ms", "p99 ms", "sent again", "conflicts", "pending")
    return [Section("Requests", columns, requests), Section("Reconciliation", ("what", "result"), checks)]


def problems_in_words(report: Report) -> list[str]:
    """The first problems, and how many more there are; empty where all is well."""
    problems = report.reconciliation.problems
    more = len(problems) - SHOWN_PROBLEMS
    return problems[:SHOWN_PROBLEMS] + (
        [f"and {more} more, all of them in the JSON report (--json)"] if more > 0 else []
    )


def show(report: Report, console: Console) -> None:
    """Print the tables, then the problems."""
    for section in sections(report):
        table = Table(title=section.title, title_justify="left", title_style="bold")
        for position, column in enumerate(section.columns):
            table.add_column(column, justify="right" if position and len(section.columns) > 2 else "left")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
    for problem in problems_in_words(report):
        console.print(f"- {problem}")


def markdown(report: Report) -> str:
    """The tables and the problems for a page."""
    parts = []
    for section in sections(report):
        align = "---" if len(section.columns) == 2 else "---:"
        lines = [
            f"### {section.title}",
            "",
            _row(section.columns),
            _row(["---", *[align] * (len(section.columns) - 1)]),
        ]
        parts.append("\n".join([*lines, *(_row(row) for row in section.rows)]))
    if problems := problems_in_words(report):
        parts.append("\n".join(["### Problems", "", *(f"- {problem}" for problem in problems)]))
    return "\n\n".join(parts) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items())


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} days"
