"""Tells a ticket's story again with the domain's own functions: every recorded event has to follow from the one before.

What was asked is taken from the clients' journal, never from the event it led to. One thing cannot be seen in a story:
when the workflow learned its organization's terms, which is whenever the read model's writer has answered. So the
story is followed along several paths at once, and holds if one of them fits.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from domain import lifecycle
from domain.clocks import ClockEventKind, Metric
from domain.commands import AgentReplied, Assign, ChangeStatus, Command, CustomerReplied, Edit, Escalate, NoteAdded
from domain.errors import DomainError
from domain.events import Actor, ActorKind, EventKind, TicketEvent
from domain.ladders import acknowledgement_ladder
from domain.priority import Priority
from domain.story import Story
from domain.terms import SlaTerms, Terms, Wanted, adopt, wanted
from domain.ticket import Status, Ticket
from domain.timers import Choice, Timer, TimerKind, fire, timers
from tests.chaos.journal import Json, Sent, What
from tests.chaos.reading import Row, Settled

UNRECORDED = timedelta(seconds=10)
"""How long recording may take while nothing is disturbed: the machine may be busy."""
_MOST_PATHS = 32
_MOST_UNRECORDED = 12


class Fate(StrEnum):
    """What became of a timer that was due."""

    FIRED = "fired"
    OVERTAKEN = "overtaken"
    """Somebody acted before it could fire, and the ticket waits for it no more."""
    UNFIRED = "unfired"


@dataclass(frozen=True)
class TimerFate:
    kind: TimerKind
    metric: Metric | None
    due_at: datetime
    fate: Fate
    at: datetime
    """When it fired or was overtaken."""

    @property
    def late(self) -> timedelta:
        return self.at - self.due_at


@dataclass(frozen=True)
class Asked:
    """A request as the client sent it; ``fact_at`` is the stored message's or note's time."""

    sent: Sent
    fact_at: datetime | None = None
    automatic: bool = False


@dataclass(frozen=True)
class Retold:
    """What follows from the story. ``ends`` are the states it may have led to, ``undated``; none where it fails."""

    ends: Sequence[Ticket]
    fates: Sequence[TimerFate] = ()
    told: Sequence[TicketEvent] = ()
    problem: str = ""


@dataclass(frozen=True)
class _Path:
    ticket: Ticket
    unrecorded: tuple[Ticket, ...] = ()
    """States the read model's writer may not have answered for yet, the oldest first."""
    fates: tuple[TimerFate, ...] = ()
    told: tuple[TicketEvent, ...] = ()


class Teller:
    """Tells stories of one organization. ``disturbed`` says whether something was away between two moments."""

    def __init__(self, rules: Settled, disturbed: Callable[[datetime, datetime], bool]) -> None:
        self._rules = rules
        self._disturbed = disturbed

    def tell(
        self, start: Ticket, events: Sequence[Row], asked: Mapping[str, Asked], held: Ticket, until: datetime
    ) -> Retold:
        """Follow ``events`` from ``start``, a ticket at version 0, to ``held``; ``until`` is when they were read."""
        paths = [_Path(start)]
        index = 0
        while index < len(events):
            row = events[index]
            if row["at"] < paths[0].ticket.updated_at:
                problem = f"v{row['version']} {row['kind']} happened before the event before it"
                return Retold((), problem=problem)
            steps = [step for path in paths for step in self._steps(path, row, asked) if _is_next(step, events, index)]
            if not steps:
                return Retold((), problem=self._why(paths, row, asked))
            index += len(steps[0].story.events)
            paths = _distinct(after for step in steps for after in self._after(step))
        ends = [path for path in paths if not path.unrecorded]
        taken = next((end for end in ends if undated(end.ticket) == undated(held)), ends[0])
        unfired = [
            TimerFate(timer.kind, timer.metric, timer.due_at, Fate.UNFIRED, until)
            for timer in timers(taken.ticket)
            if timer.due_at < until
        ]
        return Retold([undated(end.ticket) for end in ends], (*taken.fates, *unfired), taken.told)

    def terms(self, ticket: Ticket, need: Wanted) -> Terms:
        """What the organization's rules say to a ticket that wants to know."""
        rules = self._rules
        team = rules.teams.get(ticket.team_id) if ticket.team_id else None
        acknowledgement = None
        if need.acknowledgement and team:
            if team.ladder_id:
                acknowledgement = rules.ladders[team.ladder_id]
            elif team.acknowledge_within:
                acknowledgement = acknowledgement_ladder(team.acknowledge_within)
        climbed = {}
        for metric in need.breach_ladders:
            policy = ticket.clocks.of(metric).policy
            climbed[metric] = (
                rules.ladders.get(policy.escalation_ladder_id) if policy and policy.escalation_ladder_id else None
            )
        plan = rules.book.plan(ticket, ticket.updated_at) if need.sla else None
        return Terms(
            reminders=rules.reminders if need.reminders else None,
            acknowledgement=acknowledgement,
            team_id=ticket.team_id,
            auto_close_after=rules.auto_close_after,
            reopen_window=rules.reopen_window,
            sla=SlaTerms(asked=ticket.sla_asked, plan=plan) if plan else None,
            breach_ladders=climbed,
        )

    def _steps(self, path: _Path, row: Row, asked: Mapping[str, Asked]) -> "Iterator[_Step]":
        """The stories that may have begun with the event."""
        if path.unrecorded and not self._may_be_unrecorded(path.unrecorded[0].updated_at, row["at"]):
            return
        if row["request_id"] is None:
            if row["actor_kind"] == ActorKind.SYSTEM:
                yield from self._fired(path, row)
            return
        request = asked.get(row["request_id"])
        if row["kind"] == EventKind.CREATED:
            yield _Step(path, _created(path.ticket, row), None)
        elif request is not None:
            story = self._obeyed(path.ticket, request, row)
            if story is not None:
                yield _Step(path, story, None)

    def _fired(self, path: _Path, row: Row) -> "Iterator[_Step]":
        """Timers fire once everything is recorded, unless a successor had to be found meanwhile."""
        for timer in timers(path.ticket):
            if timer.due_at > row["at"] or (path.unrecorded and not timer.successor):
                continue
            for choice in self._choices(path.ticket, timer, row):
                yield _Step(path, fire(path.ticket, timer, row["at"], choice), timer)

    def _choices(self, ticket: Ticket, timer: Timer, row: Row) -> Iterator[Choice | None]:
        if timer.successor is None:
            yield None
            return
        change = row["changes"].get("assignee_id")
        if change and change["after"]:
            member = UUID(change["after"])
            yield Choice(member_id=member, name=self._rules.members.get(member))
            return
        yield Choice()
        if ticket.assignee_id:  # found, but it has the ticket already
            yield Choice(member_id=ticket.assignee_id, name=ticket.assignee_name)

    def _obeyed(self, ticket: Ticket, request: Asked, row: Row) -> Story | None:
        """What the request makes of the ticket, a refusal included; ``None`` where it would have left no trace."""
        now, actor = row["at"], _actor(row)
        if request.sent.what.is_fact:
            return _told(ticket, request, row)
        command = self._command(request.sent, actor, row)
        try:
            return lifecycle.decide(ticket, command, now)
        except DomainError as refusal:
            return None if request.sent.waits else lifecycle.refused(ticket, command, refusal, now)

    def _command(self, sent: Sent, actor: Actor, row: Row) -> Command:
        body = sent.body
        common: Json = {
            "request_id": row["request_id"],
            "fingerprint": row["fingerprint"] or "",
            "actor": actor,
            "if_version": sent.if_version,
        }
        if sent.what is What.STATUS:
            return ChangeStatus(
                **common,
                to=Status(body["to"]),
                reason=body.get("reason"),
                tell_customer=body.get("tell_customer", True),
            )
        if sent.what is What.ESCALATE:
            return Escalate(**common, reason=body["reason"])
        if sent.what is What.EDIT:
            priority = Priority(body["priority"]) if "priority" in body else None
            # The API keeps a tag once and in lower case.
            tags = tuple(dict.fromkeys(tag.casefold() for tag in body["tags"])) if "tags" in body else None
            return Edit(**common, title=body.get("title"), priority=priority, tags=tags)
        team = UUID(body["team_id"]) if body.get("team_id") else None
        member = UUID(body["assignee_id"]) if body.get("assignee_id") else None
        named: dict[str, Literal["team", "assignee"]] = {"team_id": "team", "assignee_id": "assignee"}
        return Assign(
            **common,
            fields=frozenset(field for name, field in named.items() if name in body),
            team_id=team,
            team_name=self._rules.teams[team].name if team else None,
            assignee_id=member,
            assignee_name=self._rules.members[member] if member else None,
            reason=body.get("reason"),
        )

    def _after(self, step: "_Step") -> Iterator[_Path]:
        """The ways in which the ticket may have gone on to learn its terms."""
        path, ticket = step.path, step.story.ticket
        whole = self._adopted(ticket, ticket)
        fates = (*path.fates, *_fates(step, whole))
        told = (*path.told, *step.story.events)
        yield _Path(whole, (), fates, told)
        if ticket.status is Status.CLOSED and whole == ticket:
            return
        yield _Path(ticket, (*path.unrecorded, ticket)[-_MOST_UNRECORDED:], fates, told)
        for earlier in path.unrecorded:
            informed = self._adopted(ticket, earlier)  # by the answer to what was recorded before this story
            yield _Path(self._adopted(informed, informed), (), fates, told)
            yield _Path(informed, (informed,), fates, told)

    def _adopted(self, ticket: Ticket, asked_as: Ticket) -> Ticket:
        """The ticket with the terms that were found for an earlier, or this, state of it."""
        need = wanted(asked_as)
        return adopt(ticket, self.terms(asked_as, need)) if need else ticket

    def _may_be_unrecorded(self, since: datetime, until: datetime) -> bool:
        return until - since < UNRECORDED or self._disturbed(since, until)

    def _why(self, paths: Sequence[_Path], row: Row, asked: Mapping[str, Asked]) -> str:
        ticket = paths[0].ticket
        if row["request_id"] is None and row["actor_kind"] != ActorKind.SYSTEM:
            return f"v{row['version']} {row['kind']} was caused by no request"
        if row["request_id"] and row["kind"] != EventKind.CREATED and row["request_id"] not in asked:
            return f"v{row['version']} {row['kind']} was asked for by nobody"
        found = [step.story.events for path in paths for step in self._steps(path, row, asked)]
        if not found or not found[0]:
            waits = ", ".join(f"{timer.kind} {timer.due_at.isoformat()}" for timer in timers(ticket))
            return (
                f"v{row['version']} {row['kind']} cannot follow on {ticket.status} (waiting for: {waits or 'nothing'})"
            )
        expected = _recorded_as(found[0][0])
        differing = sorted(name for name, value in expected.items() if row[name] != value)
        details = "; ".join(f"{name} is {row[name]!r}, should be {expected[name]!r}" for name in differing)
        return f"v{row['version']} {row['kind']}: {details or 'what belongs to it is missing'}"


@dataclass(frozen=True)
class _Step:
    """A path taken one story further; ``timer`` is the one that fired, if one did."""

    path: _Path
    story: Story
    timer: Timer | None


def beginning(ticket: Ticket) -> Ticket:
    """The ticket at version 0, from what never changes of any later state and what it had when it was made."""
    given = {"id", "organization_id", "number", "title", "priority", "tags", "source", "channel", "requester_id"}
    given |= {"conversation_id", "follow_up_of", "team_id", "team_name", "assignee_id", "assignee_name", "created_at"}
    at = ticket.created_at
    return Ticket(
        **{name: getattr(ticket, name) for name in given},
        updated_at=at,
        status_since=at,
        assigned_at=at if ticket.assignee_id else None,
        assignment_episode=1 if ticket.assignee_id else 0,
    )


def _created(ticket: Ticket, row: Row) -> Story:
    return lifecycle.create(ticket, _actor(row), row["at"], row["request_id"], row["fingerprint"] or "")


def _told(ticket: Ticket, request: Asked, row: Row) -> Story | None:
    fact_id, actor, at, now = UUID(row["request_id"]), _actor(row), request.fact_at, row["at"]
    if at is None:
        return None
    if request.sent.what is What.CUSTOMER_MESSAGE:
        replied = CustomerReplied(message_id=fact_id, at=at, actor=actor, automatic=request.automatic)
        return lifecycle.customer_replied(ticket, replied, now)
    if request.sent.what is What.AGENT_MESSAGE:
        return lifecycle.agent_replied(ticket, AgentReplied(message_id=fact_id, at=at, actor=actor), now)
    return lifecycle.note_added(ticket, NoteAdded(note_id=fact_id, at=at, actor=actor), now)


def _actor(row: Row) -> Actor:
    return Actor(kind=ActorKind(row["actor_kind"]), id=row["actor_id"], name=row["actor_name"])


def _is_next(step: _Step, events: Sequence[Row], index: int) -> bool:
    """Whether the story is what was recorded from ``index`` on."""
    found = events[index : index + len(step.story.events)]
    if not step.story.events or len(found) != len(step.story.events):
        return False
    return all(
        all(row[name] == value for name, value in _recorded_as(event).items())
        for event, row in zip(step.story.events, found, strict=True)
    )


def _recorded_as(event: TicketEvent) -> dict[str, Any]:
    return {
        "version": event.version,
        "kind": event.kind,
        "at": event.at,
        "reason": event.reason,
        "changes": {name: change.model_dump() for name, change in event.changes.items()},
        "about": event.about,
        "clock_events": [clock.model_dump(mode="json") for clock in event.clocks],
    }


def _fates(step: _Step, after: Ticket) -> Iterator[TimerFate]:
    """What the story made of the timers that were due when it happened; those still waited for are not named."""
    at = step.story.now
    pending = {_name(timer) for ticket in (after, step.story.ticket) for timer in timers(ticket)}
    caught_up = {
        clock.metric for event in step.story.events for clock in event.clocks if clock.kind is ClockEventKind.BREACH
    }
    for timer in timers(step.path.ticket):
        if timer == step.timer:
            fate = Fate.FIRED
        elif timer.due_at > at or _name(timer) in pending:
            continue
        elif timer.kind is TimerKind.SLA_BREACH and timer.metric in caught_up:
            fate = Fate.FIRED
        else:
            fate = Fate.OVERTAKEN
        yield TimerFate(timer.kind, timer.metric, timer.due_at, fate, at)


def _name(timer: Timer) -> tuple[object, ...]:
    return timer.kind, timer.metric, timer.due_at


def undated(ticket: Ticket) -> Ticket:
    """The ticket without the moments its deadlines were planned at, which depend on what was recorded together."""
    clocks = ticket.clocks
    bare = (clock.model_copy(update={"planned_at": None}) for clock in clocks.all())
    return ticket.model_copy(update={"clocks": clocks.having(*bare)})


def _distinct(paths: Iterable[_Path]) -> list[_Path]:
    """Without those that lead to the same state; recorded ones first, and not more than can be followed."""
    found: list[tuple[_Path, Ticket]] = []
    for path in sorted(paths, key=lambda path: len(path.unrecorded)):
        ticket = undated(path.ticket)
        if not any(ticket == known and bool(path.unrecorded) == bool(other.unrecorded) for other, known in found):
            found.append((path, ticket))
    return [path for path, _ in found[:_MOST_PATHS]]
