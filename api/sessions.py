"""Sessions as browsers hold them: their cookie, and writes that only our own pages may send."""

from datetime import UTC, datetime
from ipaddress import ip_address
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from fastapi import Request, Response
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from api.problems import Problem
from api.security import hash_token, new_token
from db.models import AccountSession
from settings import Settings

COOKIE = "baton_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""The name says that the cookie is from this host alone and came over TLS; browsers hold to it."""
CUSTOM_HEADER = "Baton-Request"
"""A page of another site cannot send it: for clients with a cookie that do not say where they are."""

_PURPOSE = "session"
_READING = ("GET", "HEAD", "OPTIONS")


def token_of(request: Request) -> str | None:
    """The session's token the request came with."""
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE)


def session_hash(token: str, settings: Settings) -> bytes:
    return hash_token(token, _PURPOSE, settings.secret_key)


def client_address(request: Request) -> str | None:
    """Where the request comes from; behind a proxy that uvicorn trusts, what the proxy says."""
    return request.client.host if request.client else None


async def begin_session(
    session: AsyncSession,
    settings: Settings,
    request: Request,
    account_id: UUID,
    organization_id: UUID | None,
) -> str:
    """Sign the account in and return the token for its cookie. Part of the caller's transaction.

    Sessions of the account that have expired are cleared away.
    """
    now, token = datetime.now(UTC), new_token()
    await session.execute(
        delete(AccountSession).where(AccountSession.account_id == account_id, AccountSession.expires_at <= now)
    )
    session.add(
        AccountSession(
            id=uuid4(),
            account_id=account_id,
            organization_id=organization_id,
            token_hash=session_hash(token, settings),
            address=client_address(request),
            user_agent=request.headers.get("User-Agent", "")[:300].replace("\x00", "") or None,
            created_at=now,
            seen_at=now,
            expires_at=now + min(settings.session_idle, settings.session_longest),
        )
    )
    await session.flush()
    return token


def set_cookie(response: Response, request: Request, settings: Settings, token: str) -> None:
    """Give the browser its session."""
    secure = _is_secure(request)
    response.set_cookie(
        SECURE_COOKIE if secure else COOKIE,
        token,
        max_age=round(settings.session_longest.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(response: Response, request: Request) -> None:
    """Take the session from the browser."""
    secure = _is_secure(request)
    response.delete_cookie(SECURE_COOKIE if secure else COOKIE, path="/", secure=secure, httponly=True, samesite="lax")


def _is_secure(request: Request) -> bool:
    """Only a browser on this very machine gets a cookie that may travel without TLS.

    A proxy that ends TLS asks in plain HTTP, for the host its own clients asked for.
    """
    return request.url.scheme == "https" or not _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_other_sites(request: Request, *, cookie: bool) -> None:
    """Refuse a write which a page of another site has the browser send: ``cross_site_request``.

    With ``cookie`` the write rests on the cookie the browser adds by itself; then also one that does not say where it
    comes from is refused, unless it has the header that only our own pages can add.
    """
    if request.method in _READING:
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        own = site in ("same-origin", "none")
    elif origin is not None:
        own = urlsplit(origin).netloc == request.headers.get("Host")
    else:
        own = not cookie or CUSTOM_HEADER in request.headers
    if not own:
        raise Problem(
            "cross_site_request",
            "A page of another site has sent this. Programs without a browser send an API key, or the header"
            f" {CUSTOM_HEADER} beside the cookie.",
        )
