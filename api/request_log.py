"""One log line a request: what was asked, how it ended, how long it took, and whose ticket it was. No bodies."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)


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
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if status >= 400 or scope["path"] not in ("/healthz", "/readyz"):
                values = scope.get("path_params", {})
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                    **({"ticket_id": str(values["ticket_id"])} if "ticket_id" in values else {}),
                )
