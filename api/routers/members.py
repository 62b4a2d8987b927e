"""Members: the people of an organization, and what they were told."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from sqlalchemy import select

from api.dependencies import Caller, Session
from api.idempotency import Idempotency, once
from api.membership import check_gift, disable, set_role
from api.own import find_own
from api.pagination import Page, Paging, after_number, page_by_time
from api.problems import unique_or
from api.schemas.people import (
    CreateMember,
    EditMember,
    MemberStatus,
    MemberView,
    NotificationView,
)
from db.models import Member, Notification
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
    session: Session,
    place: Paging,
    *,
    status: Annotated[MemberStatus | None, Query()] = None,
) -> Page[MemberView]:
    mine = select(Member).where(Member.organization_id == caller.organization_id)
    if status:
        mine = mine.where(Member.status == status)
    return await page_by_time(session, mine, Member, MemberView, place)


@router.get("/members/{member_id}", summary="Read a member")
async def read_member(member_id: UUID, caller: Caller, session: Session) -> MemberView:
    return MemberView.model_validate(await find_own(session, caller, Member, member_id, "member"))


@router.patch("/members/{member_id}", response_model=MemberView, summary="Change role, status, presence or name")
async def edit_member(
    member_id: UUID, document: EditMember, caller: Caller, session: Session, request: Idempotency
) -> Response:
    async def work() -> MemberView:
        member = await find_own(session, caller, Member, member_id, "member", lock=True)
        check_gift(caller, member.role)
        if document.role not in (None, member.role):
            await set_role(session, caller, member, Role(document.role))
        if document.status is MemberStatus.DISABLED:
            await disable(session, caller, member)
        for name, value in document.model_dump(exclude_none=True, exclude={"role"}).items():
            setattr(member, name, value)
        await session.flush()
        return MemberView.model_validate(member)

    return await once(session, caller.organization_id, request, work)


@router.delete("/members/{member_id}", status_code=204, response_class=Response, summary="Remove a member")
async def remove_member(member_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """They can do nothing here any more; what they did stays theirs. They may be invited again."""

    async def work() -> None:
        await disable(session, caller, await find_own(session, caller, Member, member_id, "member", lock=True))

    return await once(session, caller.organization_id, request, work, status=204)


@router.get("/notifications", summary="What members were told")
async def list_notifications(
    caller: Caller,
    session: Session,
    place: Paging,
    *,
    member_id: Annotated[UUID | None, Query()] = None,
    ticket_id: Annotated[UUID | None, Query()] = None,
) -> Page[NotificationView]:
    mine = select(Notification).where(Notification.organization_id == caller.organization_id)
    if member_id:
        mine = mine.where(Notification.member_id == member_id)
    if ticket_id:
        mine = mine.where(Notification.ticket_id == ticket_id)
    rows = list(await session.scalars(after_number(mine, Notification.id, place)))
    items = [NotificationView.model_validate(row) for row in rows[: place.limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(rows) > place.limit else None)
