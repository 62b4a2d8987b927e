"""Notifications: what members were told, what of it they have read, and what they want to be told."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import ActingMember, Caller, Principal, ReadSession, Session, forbidden
from api.idempotency import Idempotency, once
from api.pagination import Page, Paging, after_number
from api.problems import Problem
from api.schemas.notification import (
    MailView,
    MarkRead,
    NotificationView,
    PreferencesDocument,
    PreferencesView,
    ReadView,
    UnreadView,
)
from db.models import Mail, Notification
from db.preferences import read_preferences, write_preferences
from domain.notices import Medium
from domain.permissions import BEYOND, OTHERS_NOTIFICATIONS, refusal

router = APIRouter(prefix="/notifications", tags=["notifications"])


@router.get("", summary="What members were told")
async def list_notifications(
    caller: Caller,
    session: ReadSession,
    place: Paging,
    *,
    member_id: Annotated[UUID | None, Query(description="Another member, for supervisors and programs.")] = None,
    ticket_id: Annotated[UUID | None, Query()] = None,
    unread: Annotated[bool, Query(description="Only what has not been read.")] = False,
    medium: Annotated[Medium, Query()] = Medium.IN_APP,
    newest_first: Annotated[bool, Query()] = False,
) -> Page[NotificationView]:
    """The member's own. Supervisors may name another; a program by itself sees everybody's, with `people:read`."""
    whose = _whose(caller, member_id)
    wanted = select(Notification, Mail).outerjoin(Mail, Mail.id == Notification.mail_id)
    wanted = wanted.where(Notification.organization_id == caller.organization_id, Notification.medium == medium)
    for column, value in ((Notification.member_id, whose), (Notification.ticket_id, ticket_id)):
        if value is not None:
            wanted = wanted.where(column == value)
    if unread:
        wanted = wanted.where(Notification.read_at.is_(None))
    rows = (await session.execute(after_number(wanted, Notification.id, place, newest_first=newest_first))).all()
    items = [_view(row.Notification, row.Mail) for row in rows[: place.limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(rows) > place.limit else None)


@router.get("/unread", summary="How many the member has not read")
async def count_unread(member_id: ActingMember, session: ReadSession) -> UnreadView:
    return UnreadView(unread=await _unread(session, member_id))


@router.post("/read", response_model=ReadView, summary="Mark one, several or all as read")
async def mark_read(
    document: MarkRead, caller: Caller, member_id: ActingMember, session: Session, request: Idempotency
) -> Response:
    """Ids that are not the member's own, or were read before, change nothing."""

    async def work() -> ReadView:
        number = Notification.id
        concerned = number.in_(document.ids) if document.ids is not None else number <= document.up_to
        marked = await session.scalars(
            update(Notification)
            .where(Notification.member_id == member_id, Notification.read_at.is_(None), concerned)
            .where(Notification.organization_id == caller.organization_id, Notification.medium == Medium.IN_APP)
            .values(read_at=datetime.now(UTC))
            .returning(number)
        )
        return ReadView(read=len(list(marked)), unread=await _unread(session, member_id))

    return await once(session, caller.organization_id, request, work)


@router.get("/preferences", summary="What the member wants to be told, and how")
async def show_preferences(member_id: ActingMember, session: ReadSession) -> PreferencesView:
    return PreferencesView.of(await read_preferences(session, member_id))


@router.put("/preferences", response_model=PreferencesView, summary="Choose media and quiet hours")
async def replace_preferences(
    document: PreferencesDocument, caller: Caller, member_id: ActingMember, session: Session, request: Idempotency
) -> Response:
    """It holds for what happens from now on; quiet hours also for mails that wait already."""

    async def work() -> PreferencesView:
        chosen = document.preferences()
        await write_preferences(session, caller.organization_id, member_id, chosen)
        return PreferencesView.of(chosen)

    return await once(session, caller.organization_id, request, work)


def _whose(caller: Principal, member_id: UUID | None) -> UUID | None:
    """Whose notifications are shown, ``None`` for everybody's; a problem where the caller may not see those."""
    own = caller.actor.member_id
    if own is not None and member_id in (None, own):
        return own
    lack = refusal(BEYOND[OTHERS_NOTIFICATIONS], caller.role, caller.scopes)
    if lack is None:
        return member_id
    if own is None:
        raise Problem("member_required", f"{lack.detail} Without it, send Baton-On-Behalf-Of with a member's id.")
    raise forbidden(lack)


async def _unread(session: AsyncSession, member_id: UUID) -> int:
    found = await session.scalar(
        select(func.count()).where(
            Notification.member_id == member_id,
            Notification.medium == Medium.IN_APP,
            Notification.read_at.is_(None),
        )
    )
    return found or 0


def _view(row: Notification, mail: Mail | None) -> NotificationView:
    view = NotificationView.model_validate({**vars(row), "mail": None})
    return view.model_copy(update={"mail": MailView.model_validate(mail)}) if mail else view
