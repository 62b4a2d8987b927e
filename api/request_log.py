"""One log line a request: which route, how it ended, how long it took, and whose ticket it was. No bodies."""

import time

import structlog
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

_HEALTH = ("/healthz", "/readyz")


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
        started, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Now, for the span ends with the response.
                for value in _ticket(scope).values():
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
                    **_ticket(scope),
                )


def _ticket(scope: Scope) -> dict[str, str]:
    """The ticket the path names, or the one the request made."""
    found = scope.get("path_params", {}).get("ticket_id") or structlog.contextvars.get_contextvars().get("ticket_id")
    return {"ticket_id": str(found)} if found else {}
