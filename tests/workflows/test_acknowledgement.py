import asyncio
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from db.models import Team
from domain.commands import Assign
from domain.ladders import EscalationLadder, LadderStep, Notify, RaisePriority, Target
from domain.priority import Priority
from domain.ticket import Status
from settings import Settings
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.office import Office

LIMIT = timedelta(minutes=30)
MINUTE = timedelta(minutes=1)


async def test_unacknowledged_ticket_goes_to_the_next_member_then_to_the_supervisor(skipping_office: Office) -> None:
    life = await (await skipping_office.open(acknowledge_within=LIMIT)).ticket(assignee="Ana")
    assert (await life.let_pass(LIMIT - MINUTE)).assignee_name == "Ana"
    assert (await life.let_pass(2 * MINUTE)).assignee_name == "Ben"
    assert (await life.let_pass(LIMIT)).assignee_name == "Sue"
    ticket = await life.let_pass(timedelta(days=30))
    assert (ticket.assignee_name, ticket.status) == ("Sue", Status.OPEN)
    assert await life.story() == ["created", "reassigned", "reassigned"]
    assert await life.told() == [
        ("Ana", "ticket_assigned"),
        ("Ben", "ticket_assigned"),
        ("Ana", "ticket_reassigned"),
        ("Sue", "ticket_reassigned"),
        ("Sue", "ticket_assigned"),
        ("Ben", "ticket_reassigned"),
    ]
    reasons = {event.reason for event in await life.events() if event.kind == "reassigned"}
    assert reasons == {"The ticket was assigned and not taken up in time."}


async def test_starting_work_ends_the_ladder(skipping_office: Office) -> None:
    life = await (await skipping_office.open(acknowledge_within=LIMIT)).ticket(assignee="Ana")
    await life.let_pass(LIMIT - MINUTE)
    await life.move(Status.IN_PROGRESS, "Ana")
    ticket = await life.let_pass(timedelta(days=1))
    assert (ticket.assignee_name, await life.story()) == ("Ana", ["created", "start"])


async def test_whoever_gets_the_ticket_by_hand_has_the_whole_limit(skipping_office: Office) -> None:
    life = await (await skipping_office.open(acknowledge_within=LIMIT)).ticket(assignee="Ana")
    await life.let_pass(LIMIT - MINUTE)
    await life.assign("Ben")
    assert (await life.let_pass(LIMIT - MINUTE)).assignee_name == "Ben"
    assert (await life.let_pass(2 * MINUTE)).assignee_name == "Ana"


async def test_team_without_a_limit_waits_without_end(skipping_office: Office) -> None:
    life = await (await skipping_office.open()).ticket(assignee="Ana")
    ticket = await life.let_pass(timedelta(days=60))
    assert (ticket.assignee_name, ticket.acknowledgement, await life.story()) == ("Ana", None, ["created"])


async def test_supervisors_are_told_when_nobody_can_take_it(skipping_office: Office) -> None:
    office = await skipping_office.open(acknowledge_within=LIMIT, agents=["Ana"])
    life = await office.ticket(assignee="Ana")
    ticket = await life.let_pass(LIMIT + MINUTE)
    assert ticket.assignee_name == "Sue"  # no other member, so the supervisor at once
    ticket = await life.let_pass(2 * LIMIT)
    assert (ticket.assignee_name, await life.story()) == ("Sue", ["created", "reassigned", "ladder_step"])


async def test_team_climbs_a_ladder_of_its_own(skipping_office: Office) -> None:
    step = LadderStep(wait=LIMIT, actions=(RaisePriority(), Notify(targets=(Target.SUPERVISORS,))))
    office = await skipping_office.open(escalation=EscalationLadder(name="Louder", steps=(step,), repeat=1))
    life = await office.ticket(assignee="Ana")
    assert (await life.let_pass(LIMIT + MINUTE)).priority is Priority.HIGH
    assert (await life.let_pass(LIMIT)).priority is Priority.URGENT
    ticket = await life.let_pass(timedelta(days=1))
    assert (ticket.assignee_name, await life.story()) == ("Ana", ["created", "ladder_step", "ladder_step"])
    assert await life.told() == [
        ("Ana", "ticket_assigned"),
        ("Sue", "ticket_escalated"),
        ("Sue", "ticket_escalated"),
    ]


async def test_team_that_gets_the_ticket_sets_its_own_limit(skipping_office: Office, settings: Settings) -> None:
    office = await skipping_office.open(acknowledge_within=LIMIT)
    async with office.sessions.begin() as session:
        unhurried = Team(id=uuid4(), organization_id=office.id, name="Unhurried", assignment="manual")
        session.add(unhurried)
    life = await office.ticket()
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as blocker:
        await blocker.execute("SELECT 1 FROM tickets WHERE id = %s FOR UPDATE", [life.id])
        await life.assign("Ana")  # the first team's limit has been read, and its record waits
        await eventually(lambda: _is_blocked(settings))
        ben = office.members["Ben"]
        to_unhurried = Assign(
            request_id="hand over",
            fingerprint="hand over",
            fields=frozenset({"team", "assignee"}),
            team_id=unhurried.id,
            team_name=unhurried.name,
            assignee_id=ben.id,
            assignee_name=ben.name,
        )
        await life.obey(to_unhurried)
        await blocker.rollback()
    ticket = await life.let_pass(timedelta(days=1))
    assert (ticket.assignee_name, ticket.acknowledgement) == ("Ben", None)


# The assignee and the timer in one instant


async def test_start_that_comes_while_a_successor_is_looked_for_wins(
    skipping_office: Office, settings: Settings
) -> None:
    life = await (await skipping_office.open(acknowledge_within=LIMIT)).ticket(assignee="Ana")
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as blocker:
        await blocker.execute("LOCK TABLE team_members IN ACCESS EXCLUSIVE MODE")
        passing = asyncio.create_task(life.let_pass(LIMIT + MINUTE))
        await eventually(lambda: _is_blocked(settings))
        outcome = await life.move(Status.IN_PROGRESS, "Ana")
        await blocker.rollback()
        ticket = await passing
    assert (outcome.ticket.assignee_name, outcome.ticket.status) == ("Ana", Status.IN_PROGRESS)
    assert (ticket, await life.story()) == (outcome.ticket, ["created", "start"])
    assert await life.told() == [("Ana", "ticket_assigned")]


async def _is_blocked(settings: Settings) -> bool:
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as connection:
        found = await connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        row = await found.fetchone()
    return row is not None and row[0] == 1


async def test_start_that_comes_after_the_timer_is_told_who_has_the_ticket(skipping_office: Office) -> None:
    office = await skipping_office.open(acknowledge_within=LIMIT)
    life = await office.ticket(assignee="Ana")
    await life.let_pass(LIMIT + MINUTE)
    with pytest.raises(WorkflowUpdateFailedError) as refusal:
        await life.move(Status.IN_PROGRESS, "Ana")
    assert isinstance(cause := refusal.value.cause, ApplicationError)
    assert (cause.type, cause.details[0]) == ("assigned_to_another", {"assignee_id": str(office.members["Ben"].id)})
    assert (await life.move(Status.IN_PROGRESS, "Ben")).ticket.assignee_name == "Ben"


async def test_start_and_timer_at_once_leave_one_owner_and_both_know_it(skipping_office: Office) -> None:
    office = await skipping_office.open(acknowledge_within=LIMIT)
    lives = [await office.ticket(assignee="Ana") for _ in range(10)]
    winners = await asyncio.gather(*(_race(life) for life in lives))
    for life, winner in zip(lives, winners, strict=True):
        ticket = await life.settled()
        told = await life.told()
        if winner == "Ana":
            assert (ticket.assignee_name, ticket.status) == ("Ana", Status.IN_PROGRESS)
            assert told == [("Ana", "ticket_assigned")]
        else:
            assert (ticket.assignee_name, ticket.status) == ("Ben", Status.OPEN)
            assert {("Ben", "ticket_assigned"), ("Ana", "ticket_reassigned")} <= set(told)


async def _race(life: Life) -> str:
    """Who won; a refused start must say that it is Ben."""
    passing = asyncio.create_task(life.let_pass(LIMIT + MINUTE))
    refusal = None
    try:
        await life.move(Status.IN_PROGRESS, "Ana")
    except WorkflowUpdateFailedError as error:
        refusal = error.cause
    await passing
    if refusal is None:
        return "Ana"
    assert isinstance(refusal, ApplicationError)
    assert refusal.details[0] == {"assignee_id": str(life.office.members["Ben"].id)}
    return "Ben"
