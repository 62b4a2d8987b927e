"""Who gets a ticket that waits for somebody: a pure choice among the members of its team."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from domain.ladders import Frozen
from domain.ticket import Status, Ticket

HEARTBEAT_LIMIT = timedelta(seconds=90)
"""A member whose last heartbeat is older counts as offline: three beats of half a minute were missed."""

LOADING = frozenset({Status.OPEN, Status.IN_PROGRESS})
"""Statuses in which a ticket takes a place of its assignee's; without an assignee it waits for one."""


class Assignment(StrEnum):
    """How a team hands out tickets."""

    ROUND_ROBIN = "round_robin"
    LEAST_LOADED = "least_loaded"
    MANUAL = "manual"


class Presence(StrEnum):
    """Whether a member is there now."""

    ONLINE = "online"
    AWAY = "away"
    OFFLINE = "offline"


class Offer(Frozen):
    """A member was chosen for a ticket that waited; the ticket's workflow decides whether that still fits.

    ``episode`` is the number of assignments the ticket had had then, so that an offer is taken once at most.
    """

    ticket_id: UUID
    team_id: UUID
    episode: int
    member_id: UUID
    member_name: str
    why: str


def waits_for_somebody(ticket: Ticket) -> bool:
    """Whether the ticket belongs into its team's queue."""
    return ticket.team_id is not None and ticket.assignee_id is None and ticket.status in LOADING


def presence_at(now: datetime, presence: str, heartbeat_at: datetime | None) -> Presence:
    """What a member's presence amounts to; one that was set without a heartbeat holds until it is changed."""
    if heartbeat_at is not None and now - heartbeat_at > HEARTBEAT_LIMIT:
        return Presence.OFFLINE
    return Presence(presence)


def has_gone(now: datetime, presence: str, heartbeat_at: datetime | None) -> bool:
    """Whether somebody who kept up a presence has stopped; of who never did, nothing is known."""
    return heartbeat_at is not None and presence_at(now, presence, heartbeat_at) is Presence.OFFLINE


@dataclass
class Person:
    """A member as far as choosing goes; ``capacity`` is their own, ``load`` how many tickets take a place of theirs."""

    id: UUID
    name: str
    active: bool
    presence: Presence
    capacity: int | None = None
    load: int = 0
    out: bool = False
    """Out of office at this moment."""
    replacement_id: UUID | None = None

    def has_room(self, default: int | None) -> bool:
        """Whether they may be given one ticket more; ``default`` is the capacity of those without one of their own."""
        return self.limit(default) is None or self.load < (self.limit(default) or 0)

    def limit(self, default: int | None) -> int | None:
        """How many tickets they take; ``None`` is any number."""
        return default if self.capacity is None else self.capacity


@dataclass
class Place:
    """A member's place in a team: its order, and the number of its last turn."""

    member_id: UUID
    position: int
    last_turn: int


@dataclass
class Crew:
    """A team as far as choosing goes; ``capacity`` is that of members without one of their own."""

    id: UUID
    name: str
    strategy: Assignment
    places: list[Place]
    capacity: int | None = None


@dataclass(frozen=True)
class Pick:
    """Whose turn it is (``place``), and who takes it: another where that member is out of office."""

    place: Place
    taker: Person
    why: str


class Desk:
    """The people of an organization at one moment; what is given away counts at once.

    Among those who are there and have room, ``round_robin`` takes whoever has waited longest for a turn, and
    ``least_loaded`` whoever is filled least for their capacity. A turn is a number that rises throughout the
    organization; a membership begins with the latest, so a joiner or somebody who was away gets one turn and no more
    before the others have had theirs.
    """

    def __init__(self, people: Mapping[UUID, Person], turns: int) -> None:
        self._people = people
        self.turns = turns

    def pick(self, crew: Crew, excluding: Collection[UUID] = (), after: UUID | None = None) -> Pick | None:
        """Who is next, or ``None`` when nobody is free. Gives nothing away.

        ``excluding`` are members who must not get it. A team that hands out by hand is asked only when a ladder
        reassigns: its order then begins after the member ``after``.
        """
        free = [(place, taker) for place, taker in self._free(crew) if taker.id not in excluding]
        if not free:
            return None
        place, taker = min(free, key=lambda each: self._rank(crew, each, free, after))
        return Pick(place, taker, self._why(crew, place, taker))

    def room(self, crew: Crew, most: int) -> int:
        """How many tickets the crew could be given now, counted up to ``most``."""
        limits = {taker.id: (taker.limit(crew.capacity), taker.load) for _, taker in self._free(crew)}
        return min(most, sum(most if limit is None else limit - load for limit, load in limits.values()))

    def give(self, pick: Pick) -> None:
        """The pick is settled: the turn is taken and the ticket counts."""
        self.turns += 1
        pick.place.last_turn = self.turns
        pick.taker.load += 1

    def anybody(self, crew: Crew, excluding: Collection[UUID], after: UUID | None) -> Person | None:
        """The next in the team's order who works here at all: for a ladder of a team that hands out by hand."""
        start = _position(crew, after)
        for place in sorted(crew.places, key=lambda place: (place.position <= start, place.position)):
            taker = self._taker(place.member_id)
            if taker is not None and taker.id not in excluding:
                return taker
        return None

    def _free(self, crew: Crew) -> list[tuple[Place, Person]]:
        """Each place whose taker is there and has room."""
        takers = [(place, self._taker(place.member_id)) for place in crew.places]
        return [
            (place, taker)
            for place, taker in takers
            if taker is not None and taker.presence is Presence.ONLINE and taker.has_room(crew.capacity)
        ]

    def _taker(self, member_id: UUID) -> Person | None:
        """Who stands in for the member, through any number of replacements; ``None`` where that leads nowhere."""
        seen: set[UUID] = set()
        person = self._people.get(member_id)
        while person is not None and person.active and person.id not in seen:
            if not person.out:
                return person
            seen.add(person.id)
            person = self._people.get(person.replacement_id) if person.replacement_id else None
        return None

    def _rank(
        self, crew: Crew, candidate: tuple[Place, Person], free: list[tuple[Place, Person]], after: UUID | None
    ) -> tuple[float, ...]:
        place, taker = candidate
        if crew.strategy is Assignment.MANUAL:
            return (place.position <= _position(crew, after), place.position)
        turn = (place.last_turn, place.position)
        if crew.strategy is Assignment.ROUND_ROBIN:
            return turn
        # Who takes any number is compared as if they took what the largest of the others takes.
        limits = [limit for _, person in free if (limit := person.limit(crew.capacity)) is not None]
        limit = taker.limit(crew.capacity)
        return (taker.load / (max(limits, default=1) if limit is None else limit), *turn)

    def _why(self, crew: Crew, place: Place, taker: Person) -> str:
        if taker.id != place.member_id:
            return f"{taker.name} stands in for {self._people[place.member_id].name}, whose turn it was in {crew.name}."
        if crew.strategy is Assignment.LEAST_LOADED:
            return f"{taker.name} had the most room in {crew.name}."
        return f"It was {taker.name}'s turn in {crew.name}."


def _position(crew: Crew, member_id: UUID | None) -> float:
    """The member's place in the team's order; before everybody for one who has none."""
    return next((place.position for place in crew.places if place.member_id == member_id), float("-inf"))
