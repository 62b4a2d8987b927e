"""Teams: members who share a queue."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Caller, Principal, ReadSession, Session, find_member
from api.hand_outs import HandingOut
from api.idempotency import Idempotency, once
from api.own import check_own, find_own
from api.pagination import Page, Paging, after, encode_cursor
from api.problems import Problem, unique_or
from api.schemas.people import TeamDocument, TeamView
from db.assignment import lock_rota
from db.audit import note_change
from db.models import EscalationLadderRow, Member, Team, TeamMember, TicketRow
from db.rules import rule_naming
from domain.ticket import Status

router = APIRouter(prefix="/teams", tags=["people"])


@router.post("", status_code=201, response_model=TeamView, summary="Create a team")
async def create_team(document: TeamDocument, caller: Caller, session: Session, request: Idempotency) -> Response:
    async def work() -> TeamView:
        team = Team(id=uuid4(), organization_id=caller.organization_id, created_at=datetime.now(UTC))
        return await _write(session, caller, team, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List teams")
async def list_teams(caller: Caller, session: ReadSession, place: Paging) -> Page[TeamView]:
    mine = select(Team).where(Team.organization_id == caller.organization_id)
    rows = list(await session.scalars(after(mine, Team.created_at, Team.id, place)))
    items = await _views(session, rows[: place.limit])
    last = items[-1] if len(rows) > place.limit else None
    return Page(items=items, next_cursor=encode_cursor(last.created_at, last.id) if last else None)


@router.get("/{team_id}", summary="Read a team")
async def read_team(team_id: UUID, caller: Caller, session: ReadSession) -> TeamView:
    return (await _views(session, [await find_own(session, caller, Team, team_id, "team")]))[0]


@router.put("/{team_id}", response_model=TeamView, summary="Replace a team, its members included")
async def replace_team(
    team_id: UUID, document: TeamDocument, session: Session, hands: HandingOut, request: Idempotency
) -> Response:
    """Replace a team. Ladders that run already stay on the limit they began with."""

    async def work() -> TeamView:
        team = await find_own(session, hands.caller, Team, team_id, "team", lock=True)
        view = await _write(session, hands.caller, team, document)
        await hands.freed(session)
        return view

    return await once(session, hands.caller.organization_id, request, work)


@router.delete("/{team_id}", status_code=204, summary="Delete a team that has no unclosed tickets")
async def delete_team(team_id: UUID, caller: Caller, session: Session) -> None:
    async with session.begin():
        team = await find_own(session, caller, Team, team_id, "team", lock=True)
        used = await session.scalar(
            select(TicketRow.number)
            .where(
                TicketRow.organization_id == caller.organization_id,
                TicketRow.team_id == team_id,
                TicketRow.status != Status.CLOSED,
            )
            .limit(1)
        )
        if used is not None:
            raise Problem(
                "still_in_use", f"Ticket #{used} is in this team's queue; assign its tickets elsewhere first."
            )
        rule = await rule_naming(session, caller.organization_id, team_id)
        if rule is not None:
            raise Problem("still_in_use", f"The rule {rule} names this team; give it another one first.")
        await session.delete(team)


async def _write(session: AsyncSession, caller: Principal, team: Team, document: TeamDocument) -> TeamView:
    """Put the document into the row and its members into their order; the caller owns the transaction."""
    await _check(session, caller, document)
    for name, value in document.model_dump(exclude={"member_ids"}).items():
        setattr(team, name, value)
    session.add(team)
    with unique_or("A team with this name exists already."):
        await session.flush()
    members = list(dict.fromkeys(document.member_ids))
    turn = (await lock_rota(session, caller.organization_id)).turns  # held by whoever writes turns
    of_team = select(TeamMember.member_id).where(TeamMember.team_id == team.id).order_by(TeamMember.position)
    note_change(session, "team", team.id, {"member_ids": list(await session.scalars(of_team))}, {"member_ids": members})
    await session.execute(delete(TeamMember).where(TeamMember.team_id == team.id, TeamMember.member_id.not_in(members)))
    if members:
        rows = [
            {"team_id": team.id, "member_id": member_id, "position": position, "last_turn": turn}
            for position, member_id in enumerate(members, start=1)
        ]
        # Who stays keeps their turn: the order may be another one, but nobody is served twice.
        joining = insert(TeamMember).values(rows)
        await session.execute(
            joining.on_conflict_do_update(
                index_elements=["team_id", "member_id"], set_={"position": joining.excluded.position}
            )
        )
    return (await _views(session, [team]))[0]


async def _check(session: AsyncSession, caller: Principal, document: TeamDocument) -> None:
    if document.supervisor_id:
        await find_member(session, caller.organization_id, document.supervisor_id, "supervisor_id")
    await check_own(session, caller, EscalationLadderRow, document.escalation_ladder_id, "escalation_ladder_id")
    await check_own(session, caller, EscalationLadderRow, document.queue_ladder_id, "queue_ladder_id")
    known = set(
        await session.scalars(
            select(Member.id)
            .where(Member.organization_id == caller.organization_id, Member.id.in_(document.member_ids))
            .order_by(Member.id)
            # Before the rota is held, since who changes a member holds the member and then the rota.
            .with_for_update(read=True, key_share=True)
        )
    )
    unknown = [str(member_id) for member_id in document.member_ids if member_id not in known]
    if unknown:
        raise Problem(
            "invalid_reference",
            "member_ids names members this organization does not have.",
            at="member_ids",
            unknown=unknown,
        )


async def _views(session: AsyncSession, teams: Sequence[Team]) -> list[TeamView]:
    members: dict[UUID, list[UUID]] = {team.id: [] for team in teams}
    rows = await session.scalars(
        select(TeamMember).where(TeamMember.team_id.in_(members)).order_by(TeamMember.position)
    )
    for row in rows:
        members[row.team_id].append(row.member_id)
    return [
        TeamView(
            id=team.id,
            name=team.name,
            assignment=team.assignment,
            acknowledge_within=team.acknowledge_within,
            escalation_ladder_id=team.escalation_ladder_id,
            supervisor_id=team.supervisor_id,
            member_capacity=team.member_capacity,
            queue_ladder_id=team.queue_ladder_id,
            queue_in_business_hours=team.queue_in_business_hours,
            silence_limit=team.silence_limit,
            member_ids=members[team.id],
            created_at=team.created_at,
        )
        for team in teams
    ]
