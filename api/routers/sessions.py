"""Sessions: who is signed in where, and signing out."""

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy import ColumnElement, delete, select, update

from api.accounts import Accounts
from api.dependencies import AppServices, Session, SignedIn
from api.problems import Problem
from api.schemas.account import ChooseOrganization, SessionView, SignedInView
from api.sessions import clear_cookie, client_address
from db.accounts import memberships
from db.audit import write_event
from db.callers import SessionCaller, access_ended
from db.models import AccountSession

router = APIRouter(tags=["sign-in"])


@router.get("/session", summary="Who is signed in, and where they may work")
async def read_session(request: Request, signed_in: SignedIn, session: Session, services: AppServices) -> SignedInView:
    return await Accounts(session, services, request).view(signed_in, signed_in.organization_id)


@router.delete("/session", status_code=204, response_class=Response, summary="Sign out")
async def sign_out(request: Request, signed_in: SignedIn, session: Session) -> Response:
    return await _end(request, signed_in, session, AccountSession.id == signed_in.session_id)


@router.put("/session/organization", summary="Choose the organization to work in")
async def choose_organization(
    document: ChooseOrganization, request: Request, signed_in: SignedIn, session: Session, services: AppServices
) -> SignedInView:
    """For this session, until another is chosen; `Baton-Organization` chooses for one request."""
    async with session.begin():
        mine = {each.organization_id for each in await memberships(session, signed_in.account_id)}
        if document.organization_id not in mine:
            raise Problem("invalid_reference", "You are no active member of this organization.", at="organization_id")
        await session.execute(
            update(AccountSession)
            .where(AccountSession.id == signed_in.session_id)
            .values(organization_id=document.organization_id)
        )
        return await Accounts(session, services, request).view(signed_in, document.organization_id)


@router.get("/sessions", summary="List your sessions, the one used last first")
async def list_sessions(signed_in: SignedIn, session: Session) -> list[SessionView]:
    rows = await session.scalars(
        select(AccountSession)
        .where(AccountSession.account_id == signed_in.account_id, AccountSession.expires_at > datetime.now(UTC))
        .order_by(AccountSession.seen_at.desc(), AccountSession.id)
        .limit(100)
    )
    return [
        SessionView(
            id=row.id,
            current=row.id == signed_in.session_id,
            address=row.address,
            user_agent=row.user_agent,
            created_at=row.created_at,
            seen_at=row.seen_at,
            expires_at=row.expires_at,
        )
        for row in rows
    ]


@router.delete("/sessions", status_code=204, response_class=Response, summary="Sign out everywhere")
async def sign_out_everywhere(request: Request, signed_in: SignedIn, session: Session) -> Response:
    """Ends all sessions, also the one this is asked with."""
    return await _end(request, signed_in, session, AccountSession.account_id == signed_in.account_id)


@router.delete("/sessions/{session_id}", status_code=204, response_class=Response, summary="Sign out elsewhere")
async def sign_out_elsewhere(session_id: UUID, request: Request, signed_in: SignedIn, session: Session) -> Response:
    mine = (AccountSession.id == session_id) & (AccountSession.account_id == signed_in.account_id)
    return await _end(request, signed_in, session, mine)


async def _end(request: Request, signed_in: SessionCaller, session: Session, which: ColumnElement[bool]) -> Response:
    async with session.begin():
        ended = list(await session.scalars(delete(AccountSession).where(which).returning(AccountSession.id)))
        if not ended:
            raise Problem("not_found", "There is no such session of yours.")
        await access_ended(session)
        await write_event(session, signed_in.account_id, "session.signed_out", client_address(request))
    response = Response(status_code=204)
    if signed_in.session_id in ended:
        clear_cookie(response, request)
    return response
