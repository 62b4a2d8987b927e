"""From which pages a browser may speak with a web chat: those its channel lists."""

import time
from collections import OrderedDict
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.dependencies import Services
from api.problems import problem_response
from api.webchat import is_open
from db.models import Channel
from db.walls import every_organization

PATH = "/api/v1/webchat/"
_KNOWN_SECONDS = 10.0
"""How long a change of a channel's list may take to be seen; each preflight would else be a query."""

_MOST_KNOWN = 10_000


class WebchatOrigins:
    """Answers browsers for web chats by each channel's list, and refuses pages that are not on it.

    A request without ``Origin`` is no page's, and passes: the list protects visitors' browsers, the token the rest.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: OrderedDict[UUID, tuple[float, frozenset[str]]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PATH):
            await self._app(scope, receive, send)
            return
        origin = Request(scope).headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        try:
            allowed = await self._allowed(scope)
        except (DBAPIError, PoolTimeoutError, OSError):
            await problem_response("database_unavailable", "The database does not answer; try again.")(
                scope, receive, send
            )
            return
        if origin not in allowed:
            refusal = problem_response("origin_not_allowed", "The channel's allowed_origins do not list this page's.")
            await refusal(scope, receive, send)
            return
        answering = CORSMiddleware(
            self._app,
            allow_origins=[origin],
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            expose_headers=["Retry-After", "Idempotency-Replayed"],
            max_age=600,
        )
        await answering(scope, receive, send)

    async def _allowed(self, scope: Scope) -> frozenset[str]:
        try:
            channel_id = UUID(scope["path"].removeprefix(PATH).partition("/")[0])
        except ValueError:
            return frozenset()
        now = time.monotonic()
        at, allowed = self._known.get(channel_id, (-_KNOWN_SECONDS, frozenset[str]()))
        if now - at < _KNOWN_SECONDS:
            return allowed
        services: Services = scope["app"].state.services
        with every_organization():
            async with services.reads() as session:
                found = select(Channel.kind, Channel.settings).where(Channel.id == channel_id)
                row = (await session.execute(found)).one_or_none()
        listed = row.settings["allowed_origins"] if row is not None and is_open(row.kind, row.settings) else ()
        self._known[channel_id] = (now, frozenset(listed))
        self._known.move_to_end(channel_id)
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return self._known[channel_id][1]
