"""Who may read what is encrypted, and from which page a browser may ask."""

import hmac
import time
from hashlib import sha256
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Cookie, Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.dependencies import AppServices
from api.problems import Problem
from api.security import same_secret
from settings import Settings

PATH = "/codec"
COOKIE = "baton_codec"
SESSION_SECONDS = 12 * 60 * 60
"""A working day: long enough not to sign in twice, short enough for a laptop that is lost."""

_bearer = HTTPBearer(auto_error=False, description="BATON_CODEC_TOKEN, or the operator's key.")


def may_read(settings: Settings, token: str) -> bool:
    """Whether the token is the codec's or the operator's; without both nobody may."""
    accepted = (settings.codec_token, settings.operator_key)
    return any([same_secret(token, secret) for secret in accepted if secret])  # noqa: C419 - all, for constant time


def new_session(settings: Settings, now: float | None = None) -> str:
    """A cookie's value that is good for ``SESSION_SECONDS``, and void once one of the tokens is changed."""
    until = f"{(time.time() if now is None else now) + SESSION_SECONDS:.0f}"
    return f"{until}.{_signature(settings, until)}"


def _is_session(settings: Settings, value: str) -> bool:
    until, _, signature = value.partition(".")
    genuine = hmac.compare_digest(signature.encode(), _signature(settings, until).encode())
    return genuine and time.time() < float(until)


def _signature(settings: Settings, until: str) -> str:
    tokens = [secret.get_secret_value() for secret in (settings.codec_token, settings.operator_key) if secret]
    message = "\n".join(["codec", until, *tokens])
    return hmac.digest(settings.secret_key.get_secret_value().encode(), message.encode(), sha256).hex()


async def _reader(
    services: AppServices,
    token: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    session: Annotated[str | None, Cookie(alias=COOKIE, include_in_schema=False)] = None,
) -> None:
    if token is not None and may_read(services.settings, token.credentials):
        return
    if session is not None and _is_session(services.settings, session):
        return
    raise Problem(
        "unauthorized",
        f"Only those who may read tickets can do this: sign in at {PATH}, or send BATON_CODEC_TOKEN as a bearer token.",
    )


Reader = Depends(_reader)


class CodecOrigin:
    """Lets pages of the Temporal UI, and of nowhere else, call the codec endpoint; the rest of the API none."""

    def __init__(self, app: ASGIApp, ui_url: str) -> None:
        self._app = app
        address = urlsplit(ui_url)
        self._codec = CORSMiddleware(
            app,
            allow_origins=[f"{address.scheme}://{address.netloc}"],
            allow_methods=["POST"],
            allow_headers=["Authorization", "Content-Type", "X-Namespace"],
            allow_credentials=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        concerned = scope["type"] == "http" and scope["path"].startswith(f"{PATH}/")
        await (self._codec if concerned else self._app)(scope, receive, send)
