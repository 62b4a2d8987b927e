"""Whatever is asked of a ticket, in whatever order: what must hold after every step."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import lifecycle
from domain.clocks import Metric
from domain.commands import AgentReplied, Assign, CustomerReplied, Edit, Escalate, NoteAdded, PolicyChanged
from domain.errors import DomainError
from domain.events import Actor, TicketEvent
from domain.ladders import EscalationLadder, LadderStep, Notify, RaisePriority, Reassign, Successor, Target
from domain.priority import Priority
from domain.sla import SlaPolicy, SlaTime
from domain.story import REPORTED, Story
from domain.terms import Terms, wanted
from domain.ticket import Status, Ticket
from domain.timers import Choice, fire, timers
from tests.unit.tickets import ANA, API, BEN, CUSTOMER, NOW, TERMS, member, named, new_ticket, recorded, request, to

SUE = member("Sue")
CLIMB = EscalationLadder(
    name="Climb",
    steps=(
        LadderStep(wait=timedelta(0), actions=(Notify(targets=(Target.TEAM,)),)),
        LadderStep(wait=timedelta(minutes=10), actions=(RaisePriority(), Reassign())),
        LadderStep(wait=timedelta(minutes=10), actions=(Reassign(to=Successor.SUPERVISOR),)),
    ),
    repeat=1,
)

Step = Callable[[Ticket, Any], Story]

members = st.sampled_from([ANA, BEN, SUE])
actors = st.one_of(members, st.just(API))
nobody_or_member = st.one_of(st.none(), members)


def _moves(target: Status, actor: Actor, tell: bool) -> Step:
    return lambda ticket, now: lifecycle.decide(ticket, to(target, actor, tell_customer=tell), now)


def _assigns(actor: Actor, who: Actor | None, team: str | None, fields: frozenset[str]) -> Step:
    return lambda ticket, now: lifecycle.decide(
        ticket,
        Assign.model_validate(
            {
                "request_id": request(),
                "actor": actor,
                "fields": fields,
                "assignee_id": who.id if who else None,
                "assignee_name": who.name if who else None,
                "team_id": named(team) if team else None,
                "team_name": team,
            }
        ),
        now,
    )


def _edits(actor: Actor, title: str | None, priority: Priority | None, tags: tuple[str, ...] | None) -> Step:
    return lambda ticket, now: lifecycle.decide(
        ticket, Edit(request_id=request(), actor=actor, title=title, priority=priority, tags=tags), now
    )


def _escalates(actor: Actor) -> Step:
    return lambda ticket, now: lifecycle.decide(
        ticket, Escalate(request_id=request(), actor=actor, reason="Angry"), now
    )


def _customer_writes(automatic: bool) -> Step:
    return lambda ticket, now: lifecycle.customer_replied(
        ticket, CustomerReplied(message_id=named(request()), at=now, actor=CUSTOMER, automatic=automatic), now
    )


def _agent_writes(actor: Actor) -> Step:
    return lambda ticket, now: lifecycle.agent_replied(
        ticket, AgentReplied(message_id=named(request()), at=now, actor=actor), now
    )


def _notes(actor: Actor) -> Step:
    return lambda ticket, now: lifecycle.note_added(
        ticket, NoteAdded(note_id=named(request()), at=now, actor=actor), now
    )


def _changes_policy() -> Step:
    return lambda ticket, now: lifecycle.policy_changed(
        ticket, PolicyChanged(request_id=request(), reason="Other hours"), now
    )


def _time_passes(choice: Actor | None) -> Step:
    def fire_earliest(ticket: Ticket, now: Any) -> Story:
        waits = timers(ticket)
        if not waits:
            return Story(ticket, now, API)
        return fire(ticket, waits[0], now, Choice(member_id=choice.id, name=choice.name) if choice else None)

    return fire_earliest


texts = st.one_of(st.none(), st.sampled_from(["Refund", "Invoice", "Delay"]))
steps = st.one_of(
    st.builds(_moves, st.sampled_from(Status), actors, st.booleans()),
    st.builds(
        _assigns,
        actors,
        nobody_or_member,
        st.sampled_from([None, "Billing", "Bugs"]),
        st.sets(st.sampled_from(["team", "assignee"]), min_size=1).map(frozenset),
    ),
    st.builds(
        _edits,
        actors,
        texts,
        st.one_of(st.none(), st.sampled_from(Priority)),
        st.one_of(st.none(), st.just(("refund",)), st.just(())),
    ),
    st.builds(_escalates, actors),
    st.builds(_customer_writes, st.booleans()),
    st.builds(_agent_writes, members),
    st.builds(_notes, members),
    st.builds(_changes_policy),
    st.builds(_time_passes, nobody_or_member),
)
gaps = st.sampled_from([timedelta(0), timedelta(minutes=5), timedelta(hours=2), timedelta(days=2), timedelta(days=40)])
rules = st.sampled_from([TERMS, Terms(), TERMS.model_copy(update={"acknowledgement": CLIMB})])
hours = st.sampled_from([timedelta(minutes=4), timedelta(hours=1), timedelta(days=3)])
policies = st.one_of(
    st.none(),
    st.builds(
        lambda targets, ladder: SlaPolicy(
            id=named("policy"),
            name="Promise",
            targets={metric: dict.fromkeys(Priority, target) for metric, target in targets.items()},
            counts=SlaTime.CALENDAR,
            escalation_ladder_id=named("ladder") if ladder else None,
        ),
        st.dictionaries(st.sampled_from(Metric), hours),
        st.booleans(),
    ),
)


@settings(max_examples=150, deadline=None)
@given(life=st.lists(st.tuples(steps, gaps, st.booleans()), max_size=25), terms=rules, policy=policies)
def test_every_life_keeps_the_promises(
    life: list[tuple[Step, timedelta, bool]], terms: Terms, policy: SlaPolicy | None
) -> None:
    story = lifecycle.create(new_ticket(), API, NOW, request(), "print")
    ticket, events, now = story.ticket, list(story.events), NOW
    for step, gap, is_recorded in life:
        now += gap
        if is_recorded:  # terms come with the record of the step before, or later than the next step
            ticket = record(ticket, terms, policy)
            check_state(ticket)
        before = ticket
        try:
            story = step(ticket, now)
        except DomainError:
            continue
        ticket = story.ticket
        events += story.events
        check_step(before, story)
        check_state(ticket)
    check_story(new_ticket(), ticket, events)


def record(ticket: Ticket, terms: Terms, policy: SlaPolicy | None) -> Ticket:
    """Take on what is wanted, twice, as a repeated activity would."""
    ladder = CLIMB if policy and policy.escalation_ladder_id else None
    found = terms.model_copy(update={"breach_ladders": dict.fromkeys(wanted(ticket).breach_ladders, ladder)})
    once = recorded(ticket, found, policy)
    assert recorded(once, found, policy) == once
    return once


def check_step(before: Ticket, story: Story) -> None:
    assert story.ticket.version == before.version + len(story.events)
    if not story.events:
        assert story.ticket == before


def check_state(ticket: Ticket) -> None:
    owner = {ticket.assignee_id is None, ticket.assignee_name is None, ticket.assigned_at is None}
    assert len(owner) == 1
    assert (ticket.reminders is None) or ticket.status is Status.WAITING
    assert (ticket.acknowledgement is None) or (ticket.status is Status.OPEN and ticket.assignee_id is not None)
    assert (ticket.auto_close_at is None) or ticket.status is Status.RESOLVED
    assert (ticket.reopen_until is None) or ticket.status is Status.CLOSED
    assert (ticket.closed_at is not None) is (ticket.status is Status.CLOSED)
    assert (ticket.resolved_at is not None) is (ticket.status in (Status.RESOLVED, Status.CLOSED))
    if ticket.status is Status.CLOSED:
        assert timers(ticket) == []
        assert wanted(ticket).reopen_window is (ticket.reopen_until is None)
    due = [timer.due_at for timer in timers(ticket)]
    assert due == sorted(due)
    assert Ticket.model_validate_json(ticket.model_dump_json()) == ticket


def check_story(start: Ticket, end: Ticket, events: list[TicketEvent]) -> None:
    assert [event.version for event in events] == list(range(1, end.version + 1))
    replayed = start.model_dump(mode="json", include=set(REPORTED))
    for event in events:
        for name, change in event.changes.items():
            assert replayed[name] == change.before
            replayed[name] = change.after
    assert replayed == end.model_dump(mode="json", include=set(REPORTED))
    keys = [notice.key for event in events for notice in event.notices]
    assert len(set(keys)) == len(keys)
    told = [message.key for event in events for message in event.customer_messages]
    assert len(set(told)) == len(told)
    requests = [event.request_id for event in events if event.request_id]
    assert len(set(requests)) == len(requests)
