"""What route handlers ask for: who calls, a database session, the services the application was built with."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client

from api.arrivals import Arrival, ReadMessage
from api.live_feed import LiveFeed
from api.oidc import OidcClient
from api.passwords import Passwords
from api.problems import Problem
from api.rate_limits import RateLimits
from api.read_model import ReadModel
from api.reader import Reader
from api.rule_book import RuleBooks
from api.security import hash_api_key, same_secret
from api.sessions import COOKIE, SECURE_COOKIE, client_address, refuse_other_sites, session_hash, token_of
from api.webchat_feed import WebchatFeed
from db.audit import Origin, audit_by
from db.bell import Bell, ring_for
from db.callers import (
    Credentials,
    KeyCaller,
    SessionCaller,
    find_by_key,
    find_by_session,
    note_use_of_key,
    prolong_session,
)
from db.engine import Sessions
from db.models import Member, Team
from db.together import Together
from db.walls import enter, every_organization, whichever_organization
from domain.events import Actor, ActorKind
from domain.permissions import OPERATIONS, Access, Permission, Refusal, Role, Scope, has_scope, refusal
from settings import Settings


@dataclass(frozen=True)
class Services:
    """What ``create_app`` put together, one of each a process."""

    settings: Settings
    sessions: Sessions
    reads: Sessions
    temporal: Client
    read_model: ReadModel
    live_feed: LiveFeed
    webchat_feed: WebchatFeed
    bell: Bell
    callers: "Together[tuple[bytes, UUID | None], None, KeyCaller | None]"
    front_door: "Together[Principal, ReadMessage, Arrival | Exception]"
    rule_books: RuleBooks
    reader: Reader
    passwords: Passwords
    rate_limits: RateLimits
    visitor_limits: RateLimits
    strangers: RateLimits
    oidc: OidcClient | None
    ringing: set[asyncio.Task[None]] = field(default_factory=set)

    def ring_later(self, session: AsyncSession) -> None:
        """Wake what the session's committed transactions left to be told, and have nobody wait for that."""
        task = asyncio.create_task(ring_for(session, self.bell))
        self.ringing.add(task)
        task.add_done_callback(self.ringing.discard)


def services_of(request: Request) -> Services:
    """What dependencies of many routes take: FastAPI works out each further dependency anew wherever it is named."""
    services: Services = request.app.state.services
    return services


# Dependencies are coroutines throughout: FastAPI sends plain functions to a thread, which costs each request dearly.
async def _services(request: Request) -> Services:
    return services_of(request)


AppServices = Annotated[Services, Depends(_services)]


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session; whoever writes begins and commits its own transaction with it.

    What it changes is noted in the audit log as done by the caller; what it leaves to be told is told once the
    request is answered.
    """
    services = services_of(request)
    # Who signs in, or is invited, is not of one organization yet.
    permission = OPERATIONS.get(_operation(request))  # what is beside the API has no row, and nobody calls it
    outside = permission is None or permission.access in (Access.PUBLIC, Access.SIGNED_IN)
    with every_organization() if outside else nullcontext():
        async with services.sessions() as session:
            audit_by(session, lambda: getattr(request.state, "origin", None))
            yield session
            if session.in_transaction():  # nobody has begun it, so that it has only read: see ``make_sessions``
                session.expunge_all()
                await session.commit()
    await ring_for(session, services.bell)


Session = Annotated[AsyncSession, Depends(_session)]


async def _read_session(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for reading alone, in which each statement stands for itself: two round trips less."""
    async with services_of(request).reads() as session:
        yield session


ReadSession = Annotated[AsyncSession, Depends(_read_session)]

_bearer = HTTPBearer(auto_error=False, description="An API key of the organization, or the operator's key.")
_Token = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
_session_cookie = APIKeyCookie(
    name=COOKIE,
    auto_error=False,
    scheme_name="Session",
    description=f"The cookie of a session, which POST /sign-in sets ({SECURE_COOKIE} over TLS).",
)
_Cookie = Annotated[str | None, Depends(_session_cookie)]


@dataclass(frozen=True)
class Principal:
    """Who calls, and for which organization; nothing outside of it can be seen or touched.

    ``key_id`` is ``None`` where a member signed in calls. ``role`` is that of the member who calls or is acted for,
    ``None`` for a program by itself; ``scopes`` are the key's, ``None`` for all rights.
    """

    organization_id: UUID
    key_id: UUID | None
    actor: Actor
    role: Role | None = None
    scopes: frozenset[Scope] | None = None
    session_id: UUID | None = None

    @property
    def credentials(self) -> Credentials:
        """What has to go on holding while something stays open for the caller."""
        return Credentials(self.session_id, self.key_id, self.actor.member_id)


def permission_of(request: Request) -> Permission:
    """The row of the one table for the route asked for; a route without one is refused at start."""
    return OPERATIONS[_operation(request)]


def _operation(request: Request) -> str:
    return f"{request.method} {request.scope['route'].path}"


async def principal(
    request: Request,
    token: _Token,
    _cookie: _Cookie,
    on_behalf_of: Annotated[
        UUID | None,
        Header(
            alias="Baton-On-Behalf-Of",
            description="The member a program acts for; the ticket's story names them, and their role limits it.",
        ),
    ] = None,
    organization_id: Annotated[
        UUID | None,
        Header(alias="Baton-Organization", description="For one request of a session: another of its organizations."),
    ] = None,
) -> Principal:
    """Find out who calls, in one statement, and whether they may ask for this route."""
    services = services_of(request)
    if token is not None:
        caller = await _by_key(services, token.credentials, on_behalf_of)
        counted = caller.key_id
    elif (cookie := token_of(request)) is not None:
        caller, counted = await _by_session(request, services, cookie, organization_id)
    else:
        raise Problem("unauthorized", "Sign in, or send an API key: `Authorization: Bearer <key>`.")
    assert counted is not None
    services.rate_limits.take(request, counted)
    if (lack := refusal(permission_of(request), caller.role, caller.scopes)) is not None:
        raise forbidden(lack)
    request.state.origin = Origin(caller.organization_id, caller.actor, caller.key_id, client_address(request))
    return caller


def forbidden(lack: Refusal) -> Problem:
    """What the caller lacks, as it is answered."""
    extra = {"scope": lack.scope} if lack.scope else {"roles": list(lack.roles)}
    return Problem("forbidden", lack.detail, **extra)


async def _by_key(services: Services, key: str, on_behalf_of: UUID | None) -> Principal:
    digest = hash_api_key(key, services.settings.secret_key)

    async def look_up(waiting: Sequence[None]) -> list[KeyCaller | None]:
        with whichever_organization():
            async with services.reads() as session:
                return [await find_by_key(session, digest, on_behalf_of)] * len(waiting)

    found = await services.callers.add((digest, on_behalf_of), None, look_up)
    if found is None:
        raise Problem("unauthorized", "The API key is not known, has expired, or was revoked.")
    enter(found.organization_id)
    if not found.is_noted(now := datetime.now(UTC)):
        async with services.reads() as session:
            await note_use_of_key(session, found, now)
    scopes = None if found.scopes is None else frozenset(map(Scope, found.scopes))
    if on_behalf_of is None:
        actor, role = Actor(kind=ActorKind.API_KEY, id=found.key_id, name=found.name), None
    elif not has_scope(scopes, Scope.ACT_FOR_MEMBERS):
        detail = f"The API key lacks the scope {Scope.ACT_FOR_MEMBERS}, which Baton-On-Behalf-Of needs."
        raise Problem("forbidden", detail, scope=Scope.ACT_FOR_MEMBERS.value)
    elif found.member_id is None or found.role is None:
        raise _no_active_member("Baton-On-Behalf-Of")
    else:
        actor = Actor(kind=ActorKind.MEMBER, id=found.member_id, name=found.member_name)
        role = Role(found.role)
    return Principal(found.organization_id, found.key_id, actor, role, scopes)


async def _by_session(
    request: Request, services: Services, cookie: str, organization_id: UUID | None
) -> tuple[Principal, UUID]:
    found = await _session_caller(request, services, cookie, organization_id)
    if found.organization_id is None or found.member_id is None or found.role is None:
        raise Problem(
            "organization_required",
            "You are no active member of that organization; GET /session lists those you may choose.",
        )
    enter(found.organization_id)
    actor = Actor(kind=ActorKind.MEMBER, id=found.member_id, name=found.member_name)
    caller = Principal(found.organization_id, None, actor, Role(found.role), session_id=found.session_id)
    return caller, found.session_id


async def _session_caller(
    request: Request, services: Services, cookie: str, organization_id: UUID | None = None
) -> SessionCaller:
    """The session the cookie names, kept from ending by being used."""
    refuse_other_sites(request, cookie=True)
    with every_organization():
        async with services.reads() as session:
            return await _prolonged(session, services.settings, cookie, organization_id)


async def _prolonged(
    session: AsyncSession, settings: Settings, cookie: str, organization_id: UUID | None
) -> SessionCaller:
    found = await find_by_session(session, session_hash(cookie, settings), organization_id)
    if found is None:
        raise Problem("unauthorized", "The session has ended; sign in again.")
    now = datetime.now(UTC)
    await prolong_session(session, found, now, idle=settings.session_idle, longest=settings.session_longest)
    return found


Caller = Annotated[Principal, Depends(principal)]


async def signed_in(request: Request, services: AppServices, _cookie: _Cookie) -> SessionCaller:
    cookie = token_of(request)
    if cookie is None:
        raise Problem("unauthorized", "Sign in first; an API key cannot do this.")
    found = await _session_caller(request, services, cookie)
    services.rate_limits.take(request, found.session_id)
    return found


SignedIn = Annotated[SessionCaller, Depends(signed_in)]
"""Whose session the browser holds, whichever organization is chosen."""


async def _maybe_signed_in(request: Request, services: AppServices) -> SessionCaller | None:
    cookie = token_of(request)
    if cookie is None:
        return None
    with every_organization():
        async with services.reads() as session:
            return await find_by_session(session, session_hash(cookie, services.settings), None)


MaybeSignedIn = Annotated[SessionCaller | None, Depends(_maybe_signed_in)]
"""The same where nobody has to be known; ``None`` for nobody."""


async def _acting_member(caller: Caller) -> UUID:
    if caller.actor.member_id is None:
        raise Problem("member_required", "Only a member can do this: send Baton-On-Behalf-Of with the member's id.")
    return caller.actor.member_id


ActingMember = Annotated[UUID, Depends(_acting_member)]
"""The member who calls, or for whom a program does; ``member_required`` where there is none."""


async def find_member(session: AsyncSession, organization_id: UUID, member_id: UUID, field: str) -> Member:
    """The active member, or an ``invalid_reference`` that names the ``field``."""
    member = await session.scalar(
        select(Member).where(
            Member.id == member_id, Member.organization_id == organization_id, Member.status == "active"
        )
    )
    if member is None:
        raise _no_active_member(field)
    return member


def _no_active_member(field: str) -> Problem:
    return Problem("invalid_reference", f"{field} names no active member of this organization.", at=field)


async def find_team(session: AsyncSession, caller: Principal, team_id: UUID | None) -> Team | None:
    """The caller's team, ``None`` where none is named, or an ``invalid_reference``."""
    if team_id is None:
        return None
    team = await session.scalar(select(Team).where(Team.id == team_id, Team.organization_id == caller.organization_id))
    if team is None:
        raise Problem("invalid_reference", "team_id names no team of this organization.", at="team_id")
    return team


async def operator(request: Request, services: AppServices, token: _Token) -> None:
    expected = services.settings.operator_key
    if token is None or expected is None or not same_secret(token.credentials, expected):
        raise Problem("unauthorized", "Only the operator can do this: send the operator's key (BATON_OPERATOR_KEY).")
    actor = Actor(kind=ActorKind.SYSTEM, name="Operator")
    request.state.origin = Origin(None, actor, address=client_address(request))


Operator = Depends(operator)
