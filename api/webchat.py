"""Visitors of a web chat: the token that opening it gives them, and who they are when they come with it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from api.dependencies import AppServices, Principal, Session
from api.problems import Problem
from api.sessions import client_address
from api.tickets import Tickets
from db.audit import Origin
from db.models import Channel
from db.walls import enter
from domain.delivery import ConnectorName, connector_of
from domain.events import Actor, ActorKind
from domain.ids import known_conversation_id
from settings import Settings

LASTS = timedelta(days=30)
"""A visitor who does not come back for so long begins anew."""

MINE = "visitor:"
"""Before a widget's own id of a message: what a visitor calls a message is nobody else's name for one."""

_ISSUER = "baton-webchat"
_ALGORITHMS = ["HS256"]


@dataclass(frozen=True)
class Visit:
    """What a token says: whose it is, and which conversation of theirs it opens."""

    organization_id: UUID
    channel_id: UUID
    visitor_id: UUID
    chat_id: UUID

    @property
    def conversation(self) -> str:
        """The conversation's external id."""
        return f"webchat:{self.chat_id}"

    @property
    def conversation_id(self) -> UUID:
        return known_conversation_id(self.organization_id, self.conversation)

    @property
    def requester(self) -> str:
        """The visitor's external id."""
        return f"webchat-visitor:{self.visitor_id}"

    @classmethod
    def new(cls, channel: Channel, visitor_id: UUID | None = None) -> "Visit":
        """A conversation that has not begun; of somebody new unless told of whom."""
        return cls(channel.organization_id, channel.id, visitor_id or uuid4(), uuid4())


@dataclass(frozen=True)
class Visitor:
    """A visitor who has come with their token: their conversation, and the way in for what they say."""

    visit: Visit
    tickets: Tickets


def is_open(kind: str, settings: Mapping[str, Any]) -> bool:
    """Whether a channel is a web chat of Baton's own that pages may show."""
    return settings.get("allowed_origins") is not None and connector_of(kind, settings) is ConnectorName.WEBCHAT


def write_token(visit: Visit, settings: Settings) -> tuple[str, datetime]:
    """The token, and until when it is good. Whoever has it reads and writes the one conversation."""
    now = int(time.time())
    until = now + int(LASTS.total_seconds())
    claims = {
        "iss": _ISSUER,
        "aud": str(visit.channel_id),
        "org": str(visit.organization_id),
        "sub": str(visit.visitor_id),
        "chat": str(visit.chat_id),
        "iat": now,
        "exp": until,
    }
    token = jwt.encode({"alg": _ALGORITHMS[0]}, claims, _key(settings), algorithms=_ALGORITHMS)
    return token, datetime.fromtimestamp(until, UTC)


def read_token(token: str, channel_id: UUID, settings: Settings) -> Visit | None:
    """What the token says; ``None`` for one that is not ours, is of another channel or has expired."""
    wanted = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": _ISSUER},
        aud={"essential": True, "value": str(channel_id)},
        exp={"essential": True},
    )
    try:
        claims = jwt.decode(token, _key(settings), algorithms=_ALGORITHMS).claims
        wanted.validate(claims)
        return Visit(UUID(claims["org"]), channel_id, UUID(claims["sub"]), UUID(claims["chat"]))
    except (JoseError, ValueError, KeyError, TypeError):
        return None


def _key(settings: Settings) -> OctKey:
    """Not the secret itself, so that no other signature with it is ever a token."""
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton webchat visitors")
    return OctKey.import_key(kdf.derive(settings.secret_key.get_secret_value().encode()))


_token = HTTPBearer(auto_error=False, scheme_name="Visitor", description="The token that opening a web chat gave.")


async def visitor(
    channel_id: UUID,
    request: Request,
    services: AppServices,
    session: Session,
    token: Annotated[HTTPAuthorizationCredentials | None, Depends(_token)],
) -> Visitor:
    """Who has opened this web chat, or ``unauthorized``."""
    visit = read_token(token.credentials, channel_id, services.settings) if token else None
    if visit is None:
        raise Problem("unauthorized", "Open the web chat first (`POST visits`), and send its token as a bearer token.")
    services.visitor_limits.take(request, visit.visitor_id)
    enter(visit.organization_id)
    async with services.reads() as reads:
        channel = await reads.get(Channel, channel_id)
    if channel is None or not is_open(channel.kind, channel.settings):
        raise Problem("unauthorized", "This web chat is closed.")
    actor = Actor(kind=ActorKind.SYSTEM, name=channel.name)
    request.state.origin = Origin(channel.organization_id, actor, address=client_address(request))
    return Visitor(visit, Tickets(services, session, Principal(channel.organization_id, None, actor)))


Visiting = Annotated[Visitor, Depends(visitor)]
