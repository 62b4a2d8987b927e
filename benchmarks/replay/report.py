"""What a replay found, as one document."""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from benchmarks.replay.journal import Answered, Journal, Request
from benchmarks.replay.judgement import Judgement, judge
from benchmarks.replay.pace import Pace
from benchmarks.replay.plan import Kind, Step
from benchmarks.replay.readings import Json, TenantReading
from benchmarks.replay.reconciliation import Reconciliation, reconcile
from benchmarks.replay.service import ServiceNumbers, service
from benchmarks.replay.stream import Stream
from domain.events import ActorKind, EventKind
from domain.ticket import Move, Status


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
    conversations: int
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
    """All of it. Read back from the system, but for ``requests``, what was read in each message, and what arrived.

    The first two are in the answers to requests, and nowhere else to be had; the last is what the receiver wrote down.
    """

    run: RunFacts
    brands: list[BrandNumbers]
    judgement: Judgement
    service: list[ServiceNumbers]
    transitions: dict[str, int]
    events: dict[str, int]
    requests: list[RequestNumbers]
    reconciliation: Reconciliation

    @property
    def whole(self) -> bool:
        """Nothing lost, nothing doubled, nothing said twice, every read model equal to its workflow."""
        return not self.reconciliation.problems


def make_report(stream: Stream, tenants: Sequence[TenantReading], journal: Journal, pace: Pace) -> Report:
    """The report of what has been read back."""
    events = [event for tenant in tenants for ticket in tenant.tickets for event in ticket.events]
    requests = [request for done in journal.done.values() for request in done.requests]
    return Report(
        run=_run(stream, tenants, events, journal.paused_seconds(), pace),
        brands=[_brand(tenant) for tenant in tenants],
        judgement=judge(stream, tenants, _answered(stream, journal)),
        service=service(tenants),
        transitions={move.value: sum(event["about"].get("move") == move for event in events) for move in Move},
        events=dict(sorted(Counter(event["kind"] for event in events).items())),
        requests=[_requests(what, requests) for what in sorted({request.what for request in requests})],
        reconciliation=reconcile(stream, tenants, list(journal.done.values()), journal.received),
    )


def _answered(stream: Stream, journal: Journal) -> dict[str, Answered]:
    """What the API read in each message, by the message's id."""
    done = {message.message: journal.done.get(Step(Kind.TELL, message.at, message).key) for message in stream.messages}
    return {id_: each.answered for id_, each in done.items() if each and each.answered}


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
        conversations=len(tenant.conversations),
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
