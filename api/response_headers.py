"""Headers that every answer has: what browsers must not do with it, and how the caller's rate limit stands."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.rate_limits import standing_of

_ALWAYS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    # Not no-referrer: browsers would then not say either where a form of ours was sent from.
    b"referrer-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    b"cross-origin-opener-policy": b"same-origin",
}
_DOCUMENTS = b"default-src 'none'; frame-ancestors 'none'"
# FastAPI's page of the description loads Swagger UI from a content network and starts it in a script of its own.
_DESCRIPTION = (
    b"default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net;"
    b" style-src 'unsafe-inline' https://cdn.jsdelivr.net; img-src 'self' data: https://fastapi.tiangolo.com;"
    b" connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_A_YEAR = b"max-age=31536000"


class ResponseHeaders:
    """Adds the headers where a route has not set its own; over TLS also that browsers are to come by it again."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})
        headers = dict(_ALWAYS)
        headers[b"content-security-policy"] = _DESCRIPTION if scope["path"].startswith("/docs") else _DOCUMENTS
        if self._https or scope["scheme"] == "https":
            headers[b"strict-transport-security"] = _A_YEAR

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                standing = standing_of(scope["state"])
                wanted = headers | standing.headers() if standing else headers
                there = {name for name, _ in message["headers"]}
                added = [(name, value) for name, value in wanted.items() if name not in there]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self._app(scope, receive, headed)
