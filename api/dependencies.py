"""What route handlers ask for: who calls, a database session, the services the application was built with."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio.client import Client

from api.problems import Problem
from api.read_model import ReadModel
from api.reader import Reader
from api.rule_book import RuleBooks
from api.security import hash_api_key, same_secret
from db.credentials import find_api_key
from db.engine import Sessions
from db.models import Member, Team
from db.walls import enter, whichever_organization
from domain.events import Actor, ActorKind
from settings import Settings


@dataclass(frozen=True)
class Services:
    """What ``create_app`` put together, one of each a process."""

    settings: Settings
    sessions: Sessions
    reads: Sessions
    temporal: Client
    read_model: ReadModel
    rule_books: RuleBooks
    reader: Reader


# Dependencies are coroutines throughout: FastAPI sends plain functions to a thread, which costs each request dearly.
async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


AppServices = Annotated[Services, Depends(_services)]


async def _session(services: AppServices) -> AsyncIterator[AsyncSession]:
    """A session for reading; whoever writes begins and commits its own transaction with it."""
    async with services.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session)]

_bearer = HTTPBearer(auto_error=False, description="An API key of the organization, or the operator's key.")
_Token = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True)
class Principal:
    """Who calls, and for which organization; nothing outside of it can be seen or touched."""

    organization_id: UUID
    key_id: UUID
    actor: Actor


async def _principal(
    services: AppServices,
    token: _Token,
    on_behalf_of: Annotated[
        UUID | None,
        Header(
            alias="Baton-On-Behalf-Of",
            description="The member a program acts for; the ticket's story names them.",
        ),
    ] = None,
) -> Principal:
    if token is None:
        raise Problem("unauthorized", "Send an API key: `Authorization: Bearer <key>`.")
    digest = hash_api_key(token.credentials, services.settings.secret_key)
    with whichever_organization():
        async with services.reads() as session:
            key = await find_api_key(session, digest)
    if key is None:
        raise Problem("unauthorized", "The API key is not known, or it was revoked.")
    enter(key.organization_id)
    actor = Actor(kind=ActorKind.API_KEY, id=key.id, name=key.name)
    if on_behalf_of is not None:
        async with services.reads() as session:
            member = await find_member(session, key.organization_id, on_behalf_of, "Baton-On-Behalf-Of")
        actor = Actor(kind=ActorKind.MEMBER, id=member.id, name=member.name)
    return Principal(organization_id=key.organization_id, key_id=key.id, actor=actor)


Caller = Annotated[Principal, Depends(_principal)]


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
        raise Problem("invalid_reference", f"{field} names no active member of this organization.", at=field)
    return member


async def find_team(session: AsyncSession, caller: Principal, team_id: UUID | None) -> Team | None:
    """The caller's team, ``None`` where none is named, or an ``invalid_reference``."""
    if team_id is None:
        return None
    team = await session.scalar(select(Team).where(Team.id == team_id, Team.organization_id == caller.organization_id))
    if team is None:
        raise Problem("invalid_reference", "team_id names no team of this organization.", at="team_id")
    return team


async def _operator(services: AppServices, token: _Token) -> None:
    expected = services.settings.operator_key
    if token is None or expected is None or not same_secret(token.credentials, expected):
        raise Problem("unauthorized", "Only the operator can do this: send the operator's key (BATON_OPERATOR_KEY).")


Operator = Depends(_operator)
