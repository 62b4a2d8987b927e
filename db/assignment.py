"""Queues of teams, and handing out what waits in them: one at a time in an organization, under the lock on its rota."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, bindparam, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Member, Organization, QueuedTicket, Rota, Team, TeamMember, TicketRow
from domain.assignment import Assignment, Crew, Desk, Offer, Person, Pick, Place, presence_at, waits_for_somebody
from domain.ticket import ACTIVE, Ticket

LARGEST_HAND = 200
"""Tickets of one team handed out in one transaction."""

IN_TURN = (QueuedTicket.priority_rank.desc(), QueuedTicket.waiting_since, QueuedTicket.ticket_id)
"""The order of a queue: the most urgent first, and of those the one that waits longest."""

# Offers count, so that what was given and is not recorded yet takes a place already; a ticket counts once.
_LOADS = text(
    """
    SELECT member_id, count(*) AS load FROM (
        SELECT assignee_id AS member_id, id FROM tickets
        WHERE status IN ('open', 'in_progress') AND assignee_id = ANY(:members)
        UNION
        SELECT member_id, ticket_id FROM queued_tickets
        WHERE organization_id = :organization_id AND member_id = ANY(:members)
    ) AS taken GROUP BY member_id
    """
)


@dataclass(frozen=True)
class Settled:
    """What has become of a ticket's place in its queue: an offer for it, or an assignee who has left."""

    offer: Offer | None = None
    leaver_id: UUID | None = None


async def lock_rota(session: AsyncSession, organization_id: UUID) -> Rota:
    """Hold the organization's rota until the caller's transaction ends.

    It is the last lock anybody takes, and whoever writes ``team_members`` or ``queued_tickets`` takes it: who holds it
    waits for nobody.
    """
    mine = (
        select(Rota)
        .where(Rota.organization_id == organization_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    rota = await session.scalar(mine)
    if rota is None:
        await session.execute(insert(Rota).values(organization_id=organization_id).on_conflict_do_nothing())
        rota = (await session.scalars(mine)).one()
    return rota


async def settle(
    session: AsyncSession, rota: Rota, ticket_ids: Collection[UUID], now: datetime
) -> tuple[dict[UUID, Settled], list[Offer]]:
    """Put tickets, as the read model shows them, into their teams' queues or take them out, and hand out what waits.

    The caller's transaction holds the rota. Safe to repeat: it always follows the tickets' rows, and an offer that
    was made for a ticket's present wait is found again. Also returns the offers that were made to other tickets, which
    the caller tells after its commit.
    """
    states = await session.scalars(select(TicketRow.state).where(TicketRow.id.in_(ticket_ids)))
    tickets = [Ticket.model_validate(state) for state in states]
    found = await session.scalars(select(QueuedTicket).where(QueuedTicket.ticket_id.in_(ticket_ids)))
    queued = {each.ticket_id: each for each in found}
    for ticket in tickets:
        await _follow(session, ticket, queued.get(ticket.id))
    await session.flush()
    made = await hand_out(session, rota, uuid4(), now, themselves=ticket_ids)
    own = {offer.ticket_id: offer for offer in await _offers(session, QueuedTicket.ticket_id.in_(ticket_ids))}
    owners = {ticket.id: ticket.assignee_id for ticket in tickets if ticket.status in ACTIVE}
    gone = await _gone(session, {owner for owner in owners.values() if owner})
    settled = {
        ticket_id: Settled(own.get(ticket_id), owner if (owner := owners.get(ticket_id)) in gone else None)
        for ticket_id in ticket_ids
    }
    return settled, [offer for offer in made if offer.ticket_id not in settled]


async def requeue(session: AsyncSession, ticket: Ticket) -> None:
    """Put a ticket that was mended into its queue, or take it out; what it was offered counts no longer.

    The caller owns the transaction, which holds the rota from here on. Nothing is handed out.
    """
    await lock_rota(session, ticket.organization_id)
    queued = await session.get(QueuedTicket, ticket.id)
    if queued is not None and queued.member_id is not None:
        await _leave(session, queued, taken=ticket.assignee_id == queued.member_id)
        queued = None
    await _follow(session, ticket, queued)
    await session.flush()


async def _follow(session: AsyncSession, ticket: Ticket, queued: QueuedTicket | None) -> None:
    """Have the queue's row follow the ticket."""
    if not waits_for_somebody(ticket):
        if queued is not None:
            await _leave(session, queued, taken=ticket.assignee_id == queued.member_id)
    elif queued is None:
        session.add(_queued(ticket))
    elif _is_of_another_wait(queued, ticket):
        await _leave(session, queued, taken=False)
        session.add(_queued(ticket))
    else:
        queued.priority_rank = ticket.priority.rank


def _is_of_another_wait(queued: QueuedTicket, ticket: Ticket) -> bool:
    """Whether the row is of an earlier wait, or what a ladder has chosen and somebody's act has made void."""
    by_ladder = queued.cause == ticket.id
    return by_ladder or (queued.team_id, queued.episode) != (ticket.team_id, ticket.assignment_episode)


async def hand_out(
    session: AsyncSession, rota: Rota, cause: UUID, now: datetime, *, themselves: Collection[UUID] = ()
) -> list[Offer]:
    """Offer what waits in the organization's queues to whoever is free, the most urgent and longest waiting first.

    The caller's transaction holds the rota and tells the tickets' workflows after its commit, by the same ``cause``;
    those of ``themselves`` have another way to be told.
    At most ``LARGEST_HAND`` tickets of a team at a time; without an offer nothing is left that could be given.
    """
    teams = await _teams_that_wait(session, rota.organization_id)
    if not teams:
        return []
    crews = await _crews(session, rota.organization_id, teams)
    desk = await _desk(session, rota, crews.values(), now)
    waiting = [
        queued
        for crew in crews.values()
        if (room := desk.room(crew, LARGEST_HAND))
        for queued in await _waiting(session, crew.id, room)
    ]
    waiting.sort(key=lambda queued: (-queued.priority_rank, queued.waiting_since, queued.ticket_id))
    offers = []
    for queued in waiting:
        crew = crews[queued.team_id]
        pick = desk.pick(crew)
        if pick is None:
            continue
        _offer(queued, pick, cause, now)
        queued.told_at = now if queued.ticket_id in themselves else None
        desk.give(pick)
        queued.turn = desk.turns
        offers.append(_as_offer(queued, pick.taker.name))
    await _write_turns(session, rota, desk, crews.values())
    return offers


async def pick_for_ladder(
    session: AsyncSession,
    rota: Rota,
    team_id: UUID,
    *,
    ticket_id: UUID | None,
    episode: int,
    present: UUID | None,
    tried: Sequence[UUID],
    now: datetime,
) -> Person | None:
    """Who takes over a ticket nobody has taken up; ``None`` when nobody of the team can.

    The caller's transaction holds the rota. Safe to repeat: the same wait of the ticket gets the same answer, which
    takes a place until the ticket's next record; without ``ticket_id``, as earlier versions ask, it takes none. A team
    that hands out by hand asks those who are not free too.
    """
    crews = await _crews(session, rota.organization_id, {team_id})
    crew = crews.get(team_id)
    if crew is None:
        return None
    desk = await _desk(session, rota, [crew], now)
    excluding = {*tried, *([present] if present else ())}
    kept = await session.get(QueuedTicket, ticket_id) if ticket_id else None
    if kept is not None and kept.member_id and kept.episode == episode and kept.member_id not in excluding:
        member = await session.get_one(Member, kept.member_id)
        return _person(member, now, {})
    pick = desk.pick(crew, excluding, present)
    if pick is None:
        return desk.anybody(crew, excluding, present) if crew.strategy is Assignment.MANUAL else None
    if ticket_id is None:
        return pick.taker
    if kept is not None:
        await _leave(session, kept, taken=False)
    claimed = QueuedTicket(
        ticket_id=ticket_id,
        organization_id=rota.organization_id,
        team_id=team_id,
        episode=episode,
        priority_rank=0,
        waiting_since=now,
    )
    # Whoever asks is told by the answer itself.
    _offer(claimed, pick, ticket_id, now)
    claimed.told_at = now
    session.add(claimed)
    desk.give(pick)
    claimed.turn = desk.turns
    await _write_turns(session, rota, desk, [crew])
    return pick.taker


async def untold(session: AsyncSession, organization_id: UUID, cause: UUID | None, before: datetime) -> list[Offer]:
    """Offers whose tickets have not been told: those of ``cause``, and any made ``before``."""
    return await _offers(
        session,
        and_(
            QueuedTicket.organization_id == organization_id,
            QueuedTicket.told_at.is_(None),
            (QueuedTicket.cause == cause) | (QueuedTicket.offered_at < before),
        ),
    )


async def mark_told(session: AsyncSession, offers: Iterable[Offer], now: datetime) -> None:
    """Their tickets' workflows have been told."""
    told = [offer.ticket_id for offer in offers]
    await session.execute(
        update(QueuedTicket)
        .where(QueuedTicket.ticket_id.in_(told), QueuedTicket.told_at.is_(None))
        .values(told_at=now)
        .execution_options(synchronize_session=False)
    )


async def is_queued(session: AsyncSession, ticket_id: UUID) -> bool:
    """Whether the ticket waits or was offered to somebody."""
    found = await session.scalar(select(QueuedTicket.ticket_id).where(QueuedTicket.ticket_id == ticket_id))
    return found is not None


async def takes_turns(session: AsyncSession, member_ids: Iterable[UUID]) -> bool:
    """Whether a place that one of these members has free may be of use to a queue."""
    members = set(member_ids)
    if not members:
        return False
    for_another = select(Member.id).where(Member.replacement_id.in_(members))
    return bool(
        await session.scalar(
            select(
                select(TeamMember.team_id)
                .join(Team, Team.id == TeamMember.team_id)
                .where(
                    Team.assignment != Assignment.MANUAL,
                    TeamMember.member_id.in_(members) | TeamMember.member_id.in_(for_another),
                )
                .exists()
            )
        )
    )


async def is_gone(session: AsyncSession, member_id: UUID) -> bool:
    """Whether the member was removed."""
    return bool(await _gone(session, {member_id}))


async def something_waits(session: AsyncSession, organization_id: UUID) -> bool:
    """Whether a ticket waits that a team would hand out by itself."""
    return bool(await _teams_that_wait(session, organization_id))


# Steps


async def _gone(session: AsyncSession, member_ids: set[UUID]) -> set[UUID]:
    """Those of the members who were removed."""
    if not member_ids:
        return set()
    return set(await session.scalars(select(Member.id).where(Member.id.in_(member_ids), Member.status == "disabled")))


def _queued(ticket: Ticket) -> QueuedTicket:
    assert ticket.team_id is not None
    return QueuedTicket(
        ticket_id=ticket.id,
        organization_id=ticket.organization_id,
        team_id=ticket.team_id,
        episode=ticket.assignment_episode,
        priority_rank=ticket.priority.rank,
        waiting_since=ticket.updated_at,
    )


async def _leave(session: AsyncSession, queued: QueuedTicket, *, taken: bool) -> None:
    """Remove the row; a turn that led to nothing is given back, unless the member has had another since."""
    if not taken and queued.turn_of is not None:
        await session.execute(
            update(TeamMember)
            .where(
                TeamMember.team_id == queued.team_id,
                TeamMember.member_id == queued.turn_of,
                TeamMember.last_turn == queued.turn,
            )
            .values(last_turn=queued.turn_before)
        )
    await session.execute(delete(QueuedTicket).where(QueuedTicket.ticket_id == queued.ticket_id))
    session.expunge(queued)


def _offer(queued: QueuedTicket, pick: Pick, cause: UUID, now: datetime) -> None:
    queued.member_id, queued.why = pick.taker.id, pick.why
    queued.turn_of, queued.turn_before = pick.place.member_id, pick.place.last_turn
    queued.cause, queued.offered_at, queued.told_at = cause, now, None


def _as_offer(queued: QueuedTicket, name: str) -> Offer:
    assert queued.member_id is not None
    return Offer(
        ticket_id=queued.ticket_id,
        team_id=queued.team_id,
        episode=queued.episode,
        member_id=queued.member_id,
        member_name=name,
        why=queued.why or "",
    )


async def _offers(session: AsyncSession, which: ColumnElement[bool]) -> list[Offer]:
    found = await session.execute(
        select(QueuedTicket, Member.name).join(Member, Member.id == QueuedTicket.member_id).where(which)
    )
    return [_as_offer(queued, name) for queued, name in found]


async def _teams_that_wait(session: AsyncSession, organization_id: UUID) -> set[UUID]:
    """Teams that hand out by themselves and have something to hand out."""
    waits = select(QueuedTicket.ticket_id).where(
        QueuedTicket.organization_id == organization_id,
        QueuedTicket.team_id == Team.id,
        QueuedTicket.member_id.is_(None),
    )
    found = await session.scalars(
        select(Team.id).where(
            Team.organization_id == organization_id, Team.assignment != Assignment.MANUAL, waits.exists()
        )
    )
    return set(found)


async def _waiting(session: AsyncSession, team_id: UUID, most: int) -> Sequence[QueuedTicket]:
    """The first of a team's queue."""
    return list(
        await session.scalars(
            select(QueuedTicket)
            .where(QueuedTicket.team_id == team_id, QueuedTicket.member_id.is_(None))
            .order_by(*IN_TURN)
            .limit(most)
        )
    )


async def _crews(session: AsyncSession, organization_id: UUID, team_ids: set[UUID]) -> dict[UUID, Crew]:
    found = await session.execute(
        select(Team.id, Team.name, Team.assignment, Team.member_capacity, Organization.member_capacity.label("general"))
        .join(Organization, Organization.id == Team.organization_id)
        .where(Team.organization_id == organization_id, Team.id.in_(team_ids))
    )
    crews = {
        row.id: Crew(
            id=row.id,
            name=row.name,
            strategy=Assignment(row.assignment),
            places=[],
            capacity=row.general if row.member_capacity is None else row.member_capacity,
        )
        for row in found
    }
    places = await session.execute(
        select(TeamMember.team_id, TeamMember.member_id, TeamMember.position, TeamMember.last_turn).where(
            TeamMember.team_id.in_(crews)
        )
    )
    for place in places:
        crews[place.team_id].places.append(Place(place.member_id, place.position, place.last_turn))
    return crews


async def _desk(session: AsyncSession, rota: Rota, crews: Iterable[Crew], now: datetime) -> Desk:
    """The crews' members and whoever stands in for them, with what each of them has."""
    members: dict[UUID, Member] = {}
    wanted = {place.member_id for crew in crews for place in crew.places}
    while wanted:
        # Fresh from the database: the session may have seen them before it held the rota.
        found = await session.scalars(
            select(Member)
            .where(Member.organization_id == rota.organization_id, Member.id.in_(wanted))
            .execution_options(populate_existing=True)
        )
        members |= {member.id: member for member in found}
        wanted = {member.replacement_id for member in members.values() if member.replacement_id} - members.keys()
    values = {"organization_id": rota.organization_id, "members": list(members)}
    loads = {row.member_id: row.load for row in await session.execute(_LOADS, values)}
    return Desk({member.id: _person(member, now, loads) for member in members.values()}, rota.turns)


def _person(member: Member, now: datetime, loads: dict[UUID, int]) -> Person:
    return Person(
        id=member.id,
        name=member.name,
        active=member.status == "active",
        presence=presence_at(now, member.presence, member.heartbeat_at),
        capacity=member.capacity,
        load=loads.get(member.id, 0),
        out=is_out(member, now),
        replacement_id=member.replacement_id,
    )


def is_out(member: Member, now: datetime) -> bool:
    """Whether the member is out of office at ``now``."""
    return (
        member.out_from is not None and member.out_from <= now and (member.out_until is None or now < member.out_until)
    )


async def _write_turns(session: AsyncSession, rota: Rota, desk: Desk, crews: Iterable[Crew]) -> None:
    began = rota.turns
    rota.turns = desk.turns
    await session.flush()
    rows = [
        {"team": crew.id, "member": place.member_id, "turn": place.last_turn}
        for crew in crews
        for place in crew.places
        if place.last_turn > began
    ]
    if rows:
        statement = (
            update(TeamMember)
            .where(TeamMember.team_id == bindparam("team"), TeamMember.member_id == bindparam("member"))
            .values(last_turn=bindparam("turn"))
        )
        connection = await session.connection()
        await connection.execute(statement, rows)
