"""One log line a request: which route, how it ended, how long it took, and whose ticket it was. No bodies."""

import time
from contextvars import ContextVar
from uuid import UUID

import structlog
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

_HEALTH = ("/healthz", "/readyz")

# What it holds is changed, and not the variable itself: a request may be worked on in a task of its own.
_concerned: ContextVar[dict[str, str]] = ContextVar("concerned")


def concerns(ticket_id: UUID) -> None:
    """Name the ticket a request is about, where its path does not."""
    if (about := _concerned.get(None)) is not None:
        about["ticket_id"] = str(ticket_id)


def route_of(scope: Scope) -> str | None:
    """The path with names in place of its values, which may name a customer; ``None`` where there is no such route."""
    if "path_params" not in scope:
        return None
    names = {str(value): name for name, value in scope["path_params"].items()}
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in scope["path"].split("/"))


class RequestLog:
    """Logs each HTTP request once, when it has been answered; health checks only when they fail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500  # what becomes of a request that is not answered
        about: dict[str, str] = {}
        _concerned.set(about)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Now, for the span ends with the response.
                for value in _ticket(scope, about).values():
                    trace.get_current_span().set_attribute("baton.ticket_id", value)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if status >= 400 or scope["path"] not in _HEALTH:
                log.info(
                    "request",
                    method=scope["method"],
                    route=route_of(scope),
                    status=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                    **_ticket(scope, about),
                )


def _ticket(scope: Scope, about: dict[str, str]) -> dict[str, str]:
    """The ticket the path names, or the one the request made."""
    values = scope.get("path_params", {})
    return {"ticket_id": str(values["ticket_id"])} if "ticket_id" in values else about
