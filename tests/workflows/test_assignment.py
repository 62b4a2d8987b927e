"""Tickets that find somebody by themselves."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest

from db.assignment import lock_rota, pick_for_ladder
from db.models import Team, TeamMember
from domain.assignment import Assignment
from domain.commands import Assign, Edit
from domain.priority import Priority
from domain.ticket import Status
from settings import Settings
from tests.support import eventually
from tests.workflows.life import API, Life
from tests.workflows.office import Office
from tests.workflows.queue import hand_out, now, owned, owners, queued, rows, set_member

ROUND_ROBIN, LEAST_LOADED = Assignment.ROUND_ROBIN, Assignment.LEAST_LOADED


async def test_new_tickets_take_turns_and_their_owners_are_told_why(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN)
    lives = [await office.ticket() for _ in range(4)]
    assert [await owned(life) for life in lives] == ["Ana", "Ben", "Ana", "Ben"]
    assert await lives[0].story() == ["created", "assigned"]
    assert await lives[0].told() == [("Ana", "ticket_assigned")]
    assigned = (await lives[0].events())[1]
    assert (assigned.reason, assigned.actor_kind) == ("It was Ana's turn in Support.", "system")


async def test_what_assignment_costs(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN)
    given, by_hand = await office.ticket(), await office.ticket(assignee="Ana")
    await owned(given)
    # One record more: three events of an activity, three of the task that takes its result, and a search attribute.
    assert await given.history_length() == await by_hand.history_length() + 7


@pytest.mark.parametrize("strategy", [ROUND_ROBIN, LEAST_LOADED])
async def test_tickets_at_once_are_spread_evenly_and_never_over_capacity(office: Office, strategy: Assignment) -> None:
    await office.open(assignment=strategy, agents=["Ana", "Ben", "Cleo"], member_capacity=3)
    await asyncio.gather(*(office.ticket() for _ in range(11)))
    assert await owners(office) == {"Ana": 3, "Ben": 3, "Cleo": 3, "nobody": 2}
    assert await queued(office, 2)


async def test_manual_team_leaves_its_tickets_alone_until_it_hands_out_by_itself(office: Office) -> None:
    await office.open()
    lives = [await office.ticket() for _ in range(2)]
    assert await owners(office) == {"nobody": 2}
    async with office.sessions.begin() as session:
        (await session.get_one(Team, office.team_id)).assignment = ROUND_ROBIN
    await hand_out(office)
    assert sorted([await owned(life) for life in lives]) == ["Ana", "Ben"]


async def test_ticket_let_go_while_its_ladder_chose_somebody_waits_for_a_person(office: Office) -> None:
    await office.open()
    life = await office.ticket(assignee="Ana")
    ticket = await life.settled()
    async with office.sessions.begin() as session:
        chosen = await pick_for_ladder(
            session,
            await lock_rota(session, office.id),
            office.team_id,
            ticket_id=life.id,
            episode=ticket.assignment_episode,
            present=office.members["Ana"].id,
            tried=(),
            now=now(),
        )
    assert chosen is not None
    await life.assign(None)
    assert await queued(office, 1)
    assert await owners(office) == {"nobody": 1}


# The queue


async def test_freed_place_goes_to_the_most_urgent_and_of_those_to_the_longest_waiting(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN, agents=["Ana"], member_capacity=1)
    first = await office.ticket()
    await owned(first)
    lives = [await office.ticket() for _ in range(4)]
    await lives[2].obey(Edit(request_id="urgent", actor=API, priority=Priority.URGENT))
    await lives[2].settled()
    await eventually(lambda: _ranked(office))
    served = [first]
    for life in (lives[2], lives[0], lives[1], lives[3]):
        await served[-1].move(Status.RESOLVED, "Ana")
        assert await owned(life) == "Ana"
        served.append(life)
    assert await queued(office, 0)


async def _ranked(office: Office) -> bool:
    return max(row.priority_rank for row in await rows(office)) == Priority.URGENT.rank


@pytest.mark.parametrize("way", ["resolve", "wait", "hand off", "let go", "move"])
async def test_every_way_to_free_a_place_serves_the_next(office: Office, way: str) -> None:
    await office.open(assignment=ROUND_ROBIN, agents=["Ana"], member_capacity=1)
    first, second = await office.ticket(), await office.ticket()
    assert (await owned(first), await queued(office, 1)) == ("Ana", True)
    other = await _team(office, "Other")
    if way == "resolve":
        await first.move(Status.RESOLVED, "Ana")
    elif way == "wait":
        await first.move(Status.WAITING, "Ana")
    elif way == "hand off":
        await first.assign("Sue")
    elif way == "let go":
        await set_member(office, "Ana", capacity=2)
    else:
        await first.obey(_to_team(other))
    assert await owned(second) == "Ana"


async def test_two_who_become_free_in_one_instant_get_one_each(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN, agents=["Ana", "Ben"])
    for name in ("Ana", "Ben"):
        await set_member(office, name, presence="away", capacity=1)
    lives = [await office.ticket() for _ in range(3)]
    assert await queued(office, 3)
    await asyncio.gather(*(set_member(office, name, presence="online") for name in ("Ana", "Ben")))
    assert await owners(office) == {"Ana": 1, "Ben": 1, "nobody": 1}
    assert (await lives[2].settled()).assignee_name is None  # the one that has waited least


async def test_ticket_moved_to_a_team_is_given_away_there(office: Office) -> None:
    await office.open()
    team = await _team(office, "Billing", assignment=ROUND_ROBIN, members=["Ben"])
    life = await office.ticket(assignee="Ana")
    await life.obey(_to_team(team))
    assert await owned_by(life, "Ben")
    assert await life.story() == ["created", "assigned", "assigned"]


async def owned_by(life: Life, name: str) -> bool:
    async def has() -> bool:
        return await owned(life) == name

    return await eventually(has)


async def test_released_ticket_goes_to_whoever_is_next(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN)
    life = await office.ticket()
    assert await owned(life) == "Ana"
    await life.move(Status.IN_PROGRESS, "Ana")
    await life.move(Status.OPEN, "Ana")
    assert await owned_by(life, "Ben")


# Who is not there


async def test_silent_member_gets_nothing_and_what_waited_once_they_beat_again(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN, agents=["Ana"])
    await set_member(office, "Ana", heartbeat_at=now() - timedelta(hours=1))
    life = await office.ticket()
    assert await queued(office, 1)
    await set_member(office, "Ana", heartbeat_at=now())
    assert await owned(life) == "Ana"


async def test_replacement_takes_the_turns_of_who_is_out_of_office(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN)
    sue = office.members["Sue"].id
    await set_member(office, "Ana", out_from=now() - timedelta(days=1), replacement_id=sue)
    lives = [await office.ticket() for _ in range(4)]
    assert Counter([await owned(life) for life in lives]) == {"Sue": 2, "Ben": 2}
    reasons = {str((await life.events())[1].reason) for life in lives if await owned(life) == "Sue"}
    assert reasons == {"Sue stands in for Ana, whose turn it was in Support."}
    await set_member(office, "Ana", out_until=now() - timedelta(seconds=1))
    lives = [await office.ticket() for _ in range(4)]
    assert Counter([await owned(life) for life in lives]) == {"Ana": 2, "Ben": 2}


# By hand, in the same instant


async def test_who_assigns_by_hand_while_the_choice_is_made_wins_and_the_place_goes_to_the_next(
    office: Office, settings: Settings
) -> None:
    await office.open(assignment=ROUND_ROBIN, agents=["Ana", "Ben"], member_capacity=1)
    async with await psycopg.AsyncConnection.connect(settings.psycopg_url) as blocker:
        await hand_out(office)  # makes the rota's row
        await blocker.execute("SELECT 1 FROM rotas WHERE organization_id = %s FOR UPDATE", [office.id])
        life = Life(office, uuid4())
        office.lives.append(life)
        await life.start(None, history_limit=500)
        await eventually(life.row)  # recorded; the choice waits for the rota
        outcome = await life.assign("Sue")
        await blocker.rollback()
    assert outcome.ticket.assignee_name == "Sue"
    assert (await life.settled()).version == 2
    assert await owners(office) == {"Sue": 1}
    later = [await office.ticket() for _ in range(2)]
    assert await owners(office) == {"Sue": 1, "Ana": 1, "Ben": 1}
    assert [await owned(each) for each in later] == ["Ana", "Ben"]  # nobody lost a turn
    assert await life.told() == [("Sue", "ticket_assigned")]


async def test_hands_and_picker_racing_leave_one_owner_each_and_no_place_lost(office: Office) -> None:
    await office.open(assignment=ROUND_ROBIN, agents=["Ana", "Ben"], member_capacity=3)

    async def contended() -> None:
        life = await office.ticket()
        await life.assign("Sue")

    await asyncio.gather(*(contended() for _ in range(6)), *(office.ticket() for _ in range(6)))
    assert await owners(office) == {"Sue": 6, "Ana": 3, "Ben": 3}
    assert await rows(office) == []


# Ladders


async def test_ladder_takes_its_turn_from_the_same_picker(skipping_office: Office) -> None:
    limit = timedelta(minutes=30)
    await skipping_office.open(
        acknowledge_within=limit, assignment=ROUND_ROBIN, agents=["Ana", "Ben", "Cleo"], member_capacity=1
    )
    full = await skipping_office.ticket(assignee="Ben")
    life = await skipping_office.ticket()
    assert await owned(life) == "Ana"
    await full.move(Status.IN_PROGRESS, "Ben")
    ticket = await life.let_pass(limit + timedelta(minutes=1))
    assert ticket.assignee_name == "Cleo"  # Ben is full
    assert await rows(skipping_office) == []
    assert (await life.let_pass(limit)).assignee_name == "Sue"


async def _team(
    office: Office, name: str, assignment: Assignment = Assignment.MANUAL, members: tuple[str, ...] | list[str] = ()
) -> Team:
    team = Team(id=uuid4(), organization_id=office.id, name=name, assignment=assignment)
    async with office.sessions.begin() as session:
        session.add(team)
        await session.flush()
        for position, member in enumerate(members):
            session.add(TeamMember(team_id=team.id, member_id=office.members[member].id, position=position))
    return team


def _to_team(team: Team) -> Assign:
    return Assign(
        request_id=str(uuid4()),
        fingerprint="move",
        actor=API,
        fields=frozenset({"team"}),
        team_id=team.id,
        team_name=team.name,
    )
