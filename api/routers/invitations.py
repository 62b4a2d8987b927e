"""Invitations: people are asked to join, and do."""

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Select, select

from api.accounts import Accounts
from api.dependencies import AppServices, Caller, MaybeSignedIn, ReadSession, Session
from api.guessing import Guesses
from api.idempotency import Idempotency, once
from api.invitations import Invitations, find_open, token_hash, view_of
from api.membership import disable
from api.own import find_own
from api.pagination import Page, Paging, after, encode_cursor
from api.schemas.account import SignedInView
from api.schemas.invitation import (
    AcceptInvitation,
    InvitationPreview,
    InvitationsView,
    InvitationView,
    Invite,
    PreviewInvitation,
)
from api.schemas.people import MemberStatus
from api.sessions import refuse_other_sites, set_cookie
from db.accounts import find_account
from db.models import Invitation, Member, Organization
from domain.permissions import Role

router = APIRouter(prefix="/invitations", tags=["people"])


@router.post("", status_code=201, response_model=InvitationsView, summary="Invite people by mail, one or many")
async def invite(
    document: Invite, caller: Caller, session: Session, services: AppServices, request: Idempotency
) -> Response:
    """Each gets a mail with a link that works once, for seven days. All are invited, or none."""

    async def work() -> InvitationsView:
        return InvitationsView(items=await Invitations(session, services, caller).invite(document.invitations))

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List invitations")
async def list_invitations(
    caller: Caller,
    session: ReadSession,
    place: Paging,
    *,
    open_only: Annotated[bool, Query(description="Neither accepted nor revoked.")] = False,
) -> Page[InvitationView]:
    mine: Select[*tuple[Any, ...]] = (
        select(Invitation, Member)
        .join(Member, Member.id == Invitation.member_id)
        .where(Invitation.organization_id == caller.organization_id)
    )
    if open_only:
        mine = mine.where(Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None))
    rows = (await session.execute(after(mine, Invitation.created_at, Invitation.id, place))).all()
    items = [view_of(invitation, member) for invitation, member in rows[: place.limit]]
    last = items[-1] if len(rows) > place.limit else None
    return Page(items=items, next_cursor=encode_cursor(last.created_at, last.id) if last else None)


@router.post("/{invitation_id}/resend", response_model=InvitationView, summary="Mail an invitation again")
async def resend_invitation(
    invitation_id: UUID, caller: Caller, session: Session, services: AppServices, request: Idempotency
) -> Response:
    """The new link lasts seven days; the one before stops working."""

    async def work() -> InvitationView:
        invitation = await find_own(session, caller, Invitation, invitation_id, "invitation", lock=True)
        member = await session.get_one(Member, invitation.member_id, with_for_update=True)
        return await Invitations(session, services, caller).resend(invitation, member)

    return await once(session, caller.organization_id, request, work)


@router.delete("/{invitation_id}", status_code=204, response_class=Response, summary="Revoke an invitation")
async def revoke_invitation(invitation_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """The link stops working, and who has not joined yet is no member. An accepted invitation stays accepted."""

    async def work() -> None:
        invitation = await find_own(session, caller, Invitation, invitation_id, "invitation", lock=True)
        member = await session.get_one(Member, invitation.member_id, with_for_update=True)
        if invitation.accepted_at is None and invitation.revoked_at is None:
            invitation.revoked_at = datetime.now(UTC)
            await session.flush()
            if member.status == MemberStatus.INVITED:
                await disable(session, caller, member)

    return await once(session, caller.organization_id, request, work, status=204)


@router.post("/preview", summary="See what an invitation is to")
async def preview_invitation(
    document: PreviewInvitation, request: Request, session: Session, services: AppServices
) -> InvitationPreview:
    """For who holds the link."""
    guesses = Guesses(services.sessions, services.settings.secret_key)
    limits = guesses.of_token(request)
    await guesses.count(limits)
    async with session.begin():
        invitation, member = await find_open(session, token_hash(document.token.get_secret_value(), services))
        organization = await session.get_one(Organization, invitation.organization_id)
        account = await find_account(session, member.email)
    await guesses.forgive(limits)
    return InvitationPreview(
        organization=organization.name,
        email=member.email,
        role=Role(member.role),
        invited_by=invitation.invited_by,
        has_account=account is not None,
    )


@router.post("/accept", response_model=SignedInView, summary="Accept an invitation, and be signed in")
async def accept_invitation(
    document: AcceptInvitation, request: Request, session: Session, services: AppServices, account: MaybeSignedIn
) -> Response:
    """Makes an account with `name` and `password`. Who has one signs in first and sends the token alone."""
    refuse_other_sites(request, cookie=account is not None)
    accounts = Accounts(session, services, request)
    token, view = await accounts.accept(document, account)
    response = JSONResponse(view.model_dump(mode="json"))
    set_cookie(response, request, services.settings, token)
    return response
