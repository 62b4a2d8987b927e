"""Members: the people of an organization."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from sqlalchemy import select

from api.dependencies import Caller, ReadSession, Session
from api.hand_outs import HandingOut
from api.idempotency import Idempotency, once
from api.membership import check_gift, disable, set_role
from api.own import find_own
from api.pagination import Page, Paging, page_by_time
from api.problems import unique_or
from api.schemas.people import (
    CreateMember,
    EditMember,
    MemberStatus,
    MemberView,
)
from db.models import Member
from domain.permissions import Role

router = APIRouter(tags=["people"])


@router.post("/members", status_code=201, response_model=MemberView, summary="Add a member")
async def create_member(document: CreateMember, caller: Caller, session: Session, request: Idempotency) -> Response:
    check_gift(caller, document.role)

    async def work() -> MemberView:
        member = Member(
            id=uuid4(),
            organization_id=caller.organization_id,
            status=MemberStatus.ACTIVE,
            created_at=datetime.now(UTC),
            **document.model_dump() | {"email": document.email.casefold()},
        )
        session.add(member)
        with unique_or("A member with this address exists already."):
            await session.flush()
        return MemberView.model_validate(member)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("/members", summary="List members")
async def list_members(
    caller: Caller,
    session: ReadSession,
    place: Paging,
    *,
    status: Annotated[MemberStatus | None, Query()] = None,
) -> Page[MemberView]:
    mine = select(Member).where(Member.organization_id == caller.organization_id)
    if status:
        mine = mine.where(Member.status == status)
    return await page_by_time(session, mine, Member, MemberView, place)


@router.get("/members/{member_id}", summary="Read a member")
async def read_member(member_id: UUID, caller: Caller, session: ReadSession) -> MemberView:
    return MemberView.model_validate(await find_own(session, caller, Member, member_id, "member"))


@router.patch("/members/{member_id}", response_model=MemberView, summary="Change role, status, presence or name")
async def edit_member(
    member_id: UUID, document: EditMember, session: Session, hands: HandingOut, request: Idempotency
) -> Response:
    """Change a member. Who is disabled lets go of their tickets; who comes online is given what waits."""

    async def work() -> MemberView:
        member = await find_own(session, hands.caller, Member, member_id, "member", lock=True)
        was = member.status
        check_gift(hands.caller, member.role)
        if document.role not in (None, member.role):
            await set_role(session, hands.caller, member, Role(document.role))
        if document.status is MemberStatus.DISABLED:
            await disable(session, hands.caller, member)
        for name, value in document.model_dump(exclude_none=True, exclude={"role"}).items():
            setattr(member, name, value)
        if document.presence is not None:
            member.heartbeat_at = None  # set by hand, it holds until it is changed
        await session.flush()
        await hands.changed(session, member, was)
        return MemberView.model_validate(member)

    return await once(session, hands.caller.organization_id, request, work)


@router.delete("/members/{member_id}", status_code=204, response_class=Response, summary="Remove a member")
async def remove_member(member_id: UUID, hands: HandingOut, session: Session, request: Idempotency) -> Response:
    """They can do nothing here any more; what they did stays theirs, and their tickets go to their teams' queues.

    They may be invited again.
    """

    async def work() -> None:
        member = await find_own(session, hands.caller, Member, member_id, "member", lock=True)
        was = member.status
        await disable(session, hands.caller, member)
        await hands.changed(session, member, was)

    return await once(session, hands.caller.organization_id, request, work, status=204)
