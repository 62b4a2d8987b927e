"""Whether members are there, what they take, and what waits for them."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy import func, select

from api.dependencies import ActingMember, Caller, ReadSession, Session, find_member
from api.hand_outs import HandingOut, can_take
from api.idempotency import Idempotency, once
from api.own import find_own
from api.pagination import Page, Paging, after_ranked, encode_ranked
from api.problems import Problem
from api.schemas.availability import Availability, Beat, QueuedTicketView
from api.schemas.people import MemberView
from db.assignment import IN_TURN, something_waits
from db.bell import left_to_tell
from db.escalations import untold_presences
from db.models import Member, QueuedTicket, Team, TicketRow

router = APIRouter(tags=["people"])

MOST_OWNED = 100
"""Conversations of a member that learn at once that they came or went; the sweep finds others."""


@router.put("/members/me/presence", response_model=MemberView, summary="Say that you are there")
async def beat(
    document: Beat, member_id: ActingMember, session: Session, hands: HandingOut, request: Idempotency
) -> Response:
    """Say it again every half minute: who is silent longer counts as offline.

    Who comes back is given what waits for them.
    """

    async def work() -> MemberView:
        member = await find_own(session, hands.caller, Member, member_id, "member", lock=True)
        now = datetime.now(UTC)
        came = not can_take(member, now)
        member.presence, member.heartbeat_at = document.presence, now
        await session.flush()
        left_to_tell(session).presences.update(await untold_presences(session, now, MOST_OWNED, member_id))
        # A beat that changes nothing looks without the lock: what it misses in this instant, the next one finds.
        if can_take(member, now) and (came or await something_waits(session, hands.caller.organization_id)):
            await hands.freed(session)
        return MemberView.model_validate(member)

    return await once(session, hands.caller.organization_id, request, work)


@router.put("/members/{member_id}/availability", response_model=MemberView, summary="Set capacity and out of office")
async def set_availability(
    member_id: UUID,
    document: Availability,
    session: Session,
    hands: HandingOut,
    request: Idempotency,
) -> Response:
    """Replace both. Who is free afterwards is given what waits; what a member has already stays theirs."""

    async def work() -> MemberView:
        member = await find_own(session, hands.caller, Member, member_id, "member", lock=True)
        out = document.out_of_office
        if out is not None and out.replacement_id is not None:
            await _check_replacement(session, hands.caller.organization_id, member_id, out.replacement_id)
        member.capacity = document.capacity
        member.out_from = out.from_ if out else None
        member.out_until = out.until if out else None
        member.replacement_id = out.replacement_id if out else None
        await session.flush()
        await hands.freed(session)
        if out is not None and out.until is not None:
            await hands.freed_at(out.until)
        return MemberView.model_validate(member)

    return await once(session, hands.caller.organization_id, request, work)


@router.get("/teams/{team_id}/queue", summary="What waits for somebody of the team")
async def read_queue(team_id: UUID, caller: Caller, session: ReadSession, place: Paging) -> Page[QueuedTicketView]:
    """Tickets without an assignee, in the order in which they will be given away."""
    await find_own(session, caller, Team, team_id, "team")
    waiting = (
        select(
            QueuedTicket.ticket_id,
            QueuedTicket.priority_rank,
            QueuedTicket.waiting_since,
            func.row_number().over(order_by=IN_TURN).label("position"),
        )
        .where(QueuedTicket.team_id == team_id, QueuedTicket.member_id.is_(None))
        .subquery()
    )
    rows = select(waiting, TicketRow.number, TicketRow.title, TicketRow.priority).join(
        TicketRow, TicketRow.id == waiting.c.ticket_id
    )
    columns = waiting.c
    rows = rows.where(after_ranked(columns.priority_rank, columns.waiting_since, columns.ticket_id, place))
    found = (await session.execute(rows.order_by(waiting.c.position).limit(place.limit + 1))).all()
    shown = found[: place.limit]
    last = shown[-1] if len(found) > place.limit else None
    return Page(
        items=[QueuedTicketView.model_validate(row) for row in shown],
        next_cursor=encode_ranked(last.priority_rank, last.waiting_since, last.ticket_id) if last else None,
    )


async def _check_replacement(session: Session, organization_id: UUID, member_id: UUID, replacement_id: UUID) -> None:
    field = "out_of_office.replacement_id"
    if replacement_id == member_id:
        raise Problem("invalid_reference", f"{field} names the member who is out of office.", at=field)
    await find_member(session, organization_id, replacement_id, field)
