"""Who is chosen, without database or clock."""

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.assignment import HEARTBEAT_LIMIT, Assignment, Crew, Desk, Person, Place, Presence, presence_at
from tests.unit.tickets import NOW, named

NAMES = ("Ana", "Ben", "Cleo", "Dan")


def person(name: str, **changes: object) -> Person:
    values: dict[str, object] = {"id": named(name), "name": name, "active": True, "presence": Presence.ONLINE}
    return Person(**{**values, **changes})  # type: ignore[arg-type]


def crew(strategy: Assignment, *names: str, capacity: int | None = None) -> Crew:
    places = [Place(named(name), position, 0) for position, name in enumerate(names, start=1)]
    return Crew(named("Support"), "Support", strategy, places, capacity)


def desk_of(*people: Person) -> Desk:
    return Desk({each.id: each for each in people}, turns=0)


def deal(desk: Desk, team: Crew, times: int) -> list[str]:
    """Who gets so many tickets, one after the other; ``nobody`` once nobody is free."""
    given_to = []
    for _ in range(times):
        pick = desk.pick(team)
        given_to.append(pick.taker.name if pick else "nobody")
        if pick:
            desk.give(pick)
    return given_to


def test_turns_go_round() -> None:
    team = crew(Assignment.ROUND_ROBIN, *NAMES[:3])
    assert deal(desk_of(*map(person, NAMES)), team, 7) == ["Ana", "Ben", "Cleo", "Ana", "Ben", "Cleo", "Ana"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Ana": {"presence": Presence.AWAY}}, ["Ben", "Cleo", "Ben"]),
        ({"Ana": {"presence": Presence.OFFLINE}}, ["Ben", "Cleo", "Ben"]),
        ({"Ana": {"active": False}}, ["Ben", "Cleo", "Ben"]),
        ({"Ana": {"capacity": 1}}, ["Ana", "Ben", "Cleo", "Ben", "Cleo"]),
        ({"Ana": {"capacity": 3, "load": 3}}, ["Ben", "Cleo", "Ben"]),
        ({"Ana": {"out": True}}, ["Ben", "Cleo", "Ben"]),  # nobody stands in
        ({"Ana": {"out": True, "replacement_id": named("Dan")}}, ["Dan", "Ben", "Cleo", "Dan"]),  # who is in no team
        ({"Ana": {"out": True, "replacement_id": named("Ben")}}, ["Ben", "Ben", "Cleo", "Ben"]),  # both turns
        (
            {"Ana": {"out": True, "replacement_id": named("Dan")}, "Dan": {"presence": Presence.OFFLINE}},
            ["Ben", "Cleo", "Ben"],
        ),
        (
            {  # through one who is away too
                "Ana": {"out": True, "replacement_id": named("Ben")},
                "Ben": {"out": True, "replacement_id": named("Dan")},
            },
            ["Dan", "Dan", "Cleo", "Dan"],
        ),
        (
            {  # round in a circle
                "Ana": {"out": True, "replacement_id": named("Ben")},
                "Ben": {"out": True, "replacement_id": named("Ana")},
            },
            ["Cleo", "Cleo"],
        ),
        ({name: {"presence": Presence.OFFLINE} for name in NAMES}, ["nobody"]),
    ],
)
def test_who_is_not_free_has_no_turn(changes: dict[str, dict[str, object]], expected: list[str]) -> None:
    people = [person(name, **changes.get(name, {})) for name in NAMES]
    assert deal(desk_of(*people), crew(Assignment.ROUND_ROBIN, *NAMES[:3]), len(expected)) == expected


@pytest.mark.parametrize(
    ("loads", "capacities", "expected"),
    [
        ((0, 0, 0), (None, None, None), ["Ana", "Ben", "Cleo", "Ana"]),
        ((5, 0, 0), (None, None, None), ["Ben", "Cleo", "Ben", "Cleo"]),
        ((2, 2, 0), (10, 4, None), ["Cleo", "Cleo", "Ana"]),  # 20 %, 50 %, and nothing of any number
        ((1, 3, 6), (2, 6, 12), ["Ana", "Ben", "Cleo", "Cleo", "Ben"]),  # all half full
        ((2, 6, 12), (2, 6, 12), ["nobody"]),
    ],
)
def test_who_is_filled_least_for_their_capacity_is_next(
    loads: tuple[int, ...], capacities: tuple[int | None, ...], expected: list[str]
) -> None:
    people = [
        person(name, load=load, capacity=capacity)
        for name, load, capacity in zip(NAMES, loads, capacities, strict=False)
    ]
    assert deal(desk_of(*people), crew(Assignment.LEAST_LOADED, *NAMES[:3]), len(expected)) == expected


def test_teams_capacity_holds_for_members_without_one() -> None:
    people = [person("Ana"), person("Ben", capacity=3)]
    team = crew(Assignment.ROUND_ROBIN, "Ana", "Ben", capacity=1)
    assert deal(desk_of(*people), team, 5) == ["Ana", "Ben", "Ben", "Ben", "nobody"]


def test_room_is_counted_once_for_whoever_stands_in_twice() -> None:
    people = [person("Ana", out=True, replacement_id=named("Ben")), person("Ben", capacity=3, load=1)]
    assert desk_of(*people).room(crew(Assignment.ROUND_ROBIN, "Ana", "Ben"), most=10) == 2
    assert desk_of(person("Ana")).room(crew(Assignment.ROUND_ROBIN, "Ana"), most=10) == 10


def test_joiner_and_who_comes_back_get_one_turn_and_no_burst() -> None:
    ana, ben, cleo = person("Ana"), person("Ben"), person("Cleo", presence=Presence.AWAY)
    team = crew(Assignment.ROUND_ROBIN, "Ana", "Ben", "Cleo")
    desk = Desk({each.id: each for each in (ana, ben, cleo, person("Dan"))}, turns=0)
    deal(desk, team, 100)
    cleo.presence = Presence.ONLINE
    team.places.append(Place(named("Dan"), 4, desk.turns))  # as a membership begins
    assert Counter(deal(desk, team, 8)) == {"Ana": 2, "Ben": 2, "Cleo": 2, "Dan": 2}


@given(st.lists(st.tuples(st.sampled_from(NAMES[2:]), st.integers(0, 6)), max_size=30))
def test_those_who_stay_get_the_same_however_others_come_and_go(changes: list[tuple[str, int]]) -> None:
    people = {name: person(name) for name in NAMES}
    team, desk = crew(Assignment.ROUND_ROBIN, *NAMES), desk_of(*people.values())
    counts = Counter[str]()
    for name, tickets in changes:
        there = people[name].presence is Presence.ONLINE
        people[name].presence = Presence.AWAY if there else Presence.ONLINE
        counts.update(deal(desk, team, tickets))
        assert abs(counts["Ana"] - counts["Ben"]) <= 1
        assert all(counts[comer] <= max(counts["Ana"], counts["Ben"]) + 1 for comer in NAMES[2:])


@pytest.mark.parametrize(
    ("presence", "beat", "counts_as"),
    [
        ("online", None, Presence.ONLINE),  # set by hand
        ("online", timedelta(0), Presence.ONLINE),
        ("away", HEARTBEAT_LIMIT, Presence.AWAY),
        ("online", HEARTBEAT_LIMIT + timedelta(seconds=1), Presence.OFFLINE),
    ],
)
def test_presence_that_is_not_kept_up_ends(presence: str, beat: timedelta | None, counts_as: Presence) -> None:
    assert presence_at(NOW, presence, NOW - beat if beat is not None else None) is counts_as
