"""The doors of channels: platforms come in by a signature with a secret of the channel, and without an API key."""

import base64
import hmac
import math
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated
from uuid import NAMESPACE_URL, UUID, uuid5

import structlog
from fastapi import Depends, Request
from fastapi.security import APIKeyHeader
from psycopg import Error as PsycopgError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from api.dependencies import AppServices, Principal, Services, Session
from api.guessing import network_of
from api.problems import STATUS_OF, Problem
from api.sessions import client_address
from api.tickets import Tickets
from db.audit import Origin
from db.channel_secrets import SIGNING, Seal, SealBroken, open_secrets
from db.models import Channel
from db.walls import enter, every_organization
from domain.delivery import ConnectorName
from domain.events import Actor, ActorKind

log = structlog.get_logger(__name__)

TOLERANCE_SECONDS = 5 * 60
"""How far a signature's time may be from ours: that of the Standard Webhooks' library."""

_PREFIX = "whsec_"
_AGAIN = "The event could not be taken in at this moment. Send it again: nothing is done twice."
_UNKNOWN = "No secret of this channel made the signature."


@dataclass(frozen=True)
class Door:
    """A platform that has shown who it is: the channel it comes by, and what it may do there."""

    channel: Channel
    tickets: Tickets


Check = Callable[[Request, bytes, Sequence[str]], None]
"""Raises ``invalid_signature`` where none of the secrets made the request's signature."""


async def find_channel(services: Services, channel_id: UUID) -> tuple[Channel | None, Sequence[str]]:
    """A channel of any organization, with its secrets that count now; of a channel that is not there, none."""
    with every_organization():
        async with services.reads() as session:
            channel = await session.get(Channel, channel_id)
            if channel is None:
                return None, ()
            seal = Seal(services.settings.secret_key.get_secret_value())
            try:
                return channel, (await open_secrets(session, seal, channel_id)).get(SIGNING, ())
            except SealBroken:
                log.warning("channel_secret_unreadable", channel_id=str(channel_id))
                return channel, ()


async def _come_in(request: Request, services: Services, session: Session, channel_id: UUID, check: Check) -> Door:
    channel, known = await find_channel(services, channel_id)
    of_chatwoot = channel is not None and channel.settings.get("connector") == ConnectorName.CHATWOOT
    fits = channel is not None and of_chatwoot is (check is check_chatwoot)
    try:
        # One that nobody has keeps what is said of a channel that is not there the same.
        check(request, await request.body(), known if fits and known else [new_signing_secret()])
    except Problem:
        services.strangers.take(request, uuid5(NAMESPACE_URL, network_of(request)))
        raise
    assert channel is not None
    services.rate_limits.take(request, channel.id)
    enter(channel.organization_id)
    actor = Actor(kind=ActorKind.SYSTEM, name=channel.name)
    request.state.origin = Origin(channel.organization_id, actor, address=client_address(request))
    return Door(channel, Tickets(services, session, Principal(channel.organization_id, None, actor)))


@contextmanager
def again_for_chatwoot() -> Iterator[None]:
    """Answer 500 where something is away: of an agent bot's events Chatwoot sends those again, and after no 503."""
    try:
        yield
    except Problem as problem:
        if STATUS_OF[problem.code] not in (503, 504):
            raise
        raise Problem("not_taken", _AGAIN) from problem
    except (DBAPIError, PoolTimeoutError, PsycopgError) as error:
        raise Problem("not_taken", _AGAIN) from error


def new_signing_secret() -> str:
    """A secret as Standard Webhooks has them, of 256 random bits."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_standard(request: Request, body: bytes, known: Sequence[str]) -> None:
    """Hold the request against Standard Webhooks: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``."""
    _check_time(request.headers.get("webhook-timestamp"), "webhook-timestamp")
    for name in ("webhook-id", "webhook-signature"):
        if not request.headers.get(name):
            raise _refused(f"The header {name} is missing.")
    for secret in known:
        # ValueError: a signature, or a body, that is no text the library can read.
        with suppress(WebhookVerificationError, EmptyWebhookSecretError, ValueError):
            Webhook(secret).verify(body, dict(request.headers), json_parse=False)
            return
    raise _refused(_UNKNOWN)


def check_chatwoot(request: Request, body: bytes, known: Sequence[str]) -> None:
    """Hold the request against Chatwoot's signature: ``sha256=`` and an HMAC of time and body, in hexadecimals."""
    at = request.headers.get("x-chatwoot-timestamp")
    _check_time(at, "X-Chatwoot-Timestamp")
    given = request.headers.get("x-chatwoot-signature")
    if not given:
        raise _refused("The header X-Chatwoot-Signature is missing; Chatwoot signs since its version 4.13.")
    content = f"{at}.".encode() + body
    made = [f"sha256={hmac.new(secret.encode(), content, sha256).hexdigest()}" for secret in known]
    if not any([hmac.compare_digest(each.encode(), given.encode()) for each in made]):  # noqa: C419 - constant time
        raise _refused(_UNKNOWN)


def _check_time(value: str | None, header: str) -> None:
    if not value:
        raise _refused(f"The header {header} is missing.")
    try:
        at = float(value)
    except ValueError:
        at = math.nan
    if not math.isfinite(at):
        raise _refused(f"The header {header} is no time in seconds.")
    if abs(time.time() - at) > TOLERANCE_SECONDS:
        raise _refused(f"The time in {header} is more than five minutes from Baton's: sign anew, with a right clock.")


def _refused(detail: str) -> Problem:
    return Problem("invalid_signature", detail)


_standard = APIKeyHeader(
    name="webhook-signature",
    auto_error=False,
    scheme_name="StandardWebhooks",
    description="A Standard Webhooks signature with a secret of the channel, beside webhook-id and webhook-timestamp.",
)
_chatwoot = APIKeyHeader(
    name="X-Chatwoot-Signature",
    auto_error=False,
    scheme_name="Chatwoot",
    description="Chatwoot's own, beside X-Chatwoot-Timestamp.",
)


async def by_webhook(
    channel_id: UUID,
    request: Request,
    services: AppServices,
    session: Session,
    _signature: Annotated[str | None, Depends(_standard)],
) -> Door:
    """Who comes by Standard Webhooks, or ``invalid_signature``."""
    return await _come_in(request, services, session, channel_id, check_standard)


async def by_chatwoot(
    channel_id: UUID,
    request: Request,
    services: AppServices,
    session: Session,
    _signature: Annotated[str | None, Depends(_chatwoot)],
) -> Door:
    """Who comes as Chatwoot, to a channel that is one of its inboxes."""
    with again_for_chatwoot():
        return await _come_in(request, services, session, channel_id, check_chatwoot)


WebhookDoor = Annotated[Door, Depends(by_webhook)]
ChatwootDoor = Annotated[Door, Depends(by_chatwoot)]
