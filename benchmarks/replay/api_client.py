"""Requests to the API: bounded in number, sent again with the same key until they are answered, and timed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.replay.journal import Request

AGAIN = (429, 502, 503, 504)
"""Answers after which the same request is sent again."""
PATIENCE_SECONDS = 120.0
_LONGEST_PAUSE = 5.0
_LOOK_AGAIN_SECONDS = 0.25


class ApiAway(Exception):
    """The API has not answered for so long that somebody should look."""


class Refused(Exception):
    """The API said no, and would say so again."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('code', '')}: {problem.get('detail', 'no detail')}")
        self.status = status
        self.code = str(problem.get("code", ""))


@dataclass
class Caller:
    """One organization's key, and the requests made with it that nobody has taken account of yet."""

    api: "Api"
    key: str
    requests: list[Request] = field(default_factory=list)

    async def get(self, path: str, what: str = "read", **query: Any) -> Any:
        """The document at ``path``, or ``Refused``."""
        return await self._send("GET", path, what, params=query)

    async def post(
        self, path: str, body: dict[str, Any], key: str, what: str, *, member: str | None = None, method: str = "POST"
    ) -> Any:
        """The answer to a write that takes effect once for ``key``, or ``Refused``; ``member`` is who acts."""
        headers = {"Idempotency-Key": key} | ({"Baton-On-Behalf-Of": member} if member else {})
        return await self._send(method, path, what, json=body, headers=headers)

    async def shown(self, path: str) -> Any:
        """The document at ``path`` once it can be read: one that a message has caused shows a moment later."""
        deadline = time.monotonic() + self.api.patience
        while True:
            try:
                return await self.get(path)
            except Refused as refused:
                if refused.status != 404 or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def pages(self, path: str, **query: Any) -> list[Any]:
        """Every row of a list."""
        rows: list[Any] = []
        cursor: str | None = None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await self.get(path, "read", limit=100, **query, **more)
            rows += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return rows

    async def _send(
        self, method: str, path: str, what: str, headers: dict[str, str] | None = None, **content: Any
    ) -> Any:
        began = time.monotonic()
        headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        answer, attempts = await self.api.answered(method, f"/api/v1{path}", headers=headers, **content)
        ms = round((time.monotonic() - began) * 1000, 1)
        pending = answer.headers.get("Baton-Read-Model") == "pending"
        self.requests.append(Request(what=what, ms=ms, attempts=attempts, status=answer.status_code, pending=pending))
        if answer.is_success:
            return answer.json() if answer.content else None
        raise Refused(answer.status_code, _document(answer))


@dataclass(frozen=True)
class Api:
    """The API of one Baton."""

    client: httpx.AsyncClient
    url: str
    patience: float = PATIENCE_SECONDS

    def caller(self, key: str) -> Caller:
        """Requests with that key."""
        return Caller(self, key)

    async def answered(self, method: str, path: str, **content: Any) -> tuple[httpx.Response, int]:
        """An answer that is not one of ``AGAIN``, and the number of attempts it took; else ``ApiAway``."""
        deadline = time.monotonic() + self.patience
        pause, attempts = 0.1, 0
        while True:
            attempts += 1
            try:
                answer = await self.client.request(method, path, **content)
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            else:
                if answer.status_code not in AGAIN:
                    return answer, attempts
                problem = f"{answer.status_code} {_document(answer).get('detail', '')}".strip()
            if time.monotonic() > deadline:
                raise ApiAway(
                    f"{self.url} has given no final answer for {self.patience:.0f} s (the last: {problem}). "
                    "Nothing is lost: once it is up again, run the same command to go on."
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


@asynccontextmanager
async def open_api(url: str, concurrency: int, patience: float = PATIENCE_SECONDS) -> AsyncIterator[Api]:
    """The API at ``url``, over at most ``concurrency`` connections; proxies of the environment are not used."""
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    timeout = httpx.Timeout(30, pool=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=timeout, trust_env=False) as client:
        yield Api(client, url, patience)


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
