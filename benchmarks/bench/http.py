"""A lean HTTP client: what measures should weigh little beside what it measures."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

_TRIES = 10
_AGAIN = (503, 504)
"""Statuses after which the same request is sent again, under its key."""


@dataclass
class Latencies:
    """Seconds each request took, by what was asked."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    pending: int = 0
    """Answers that came before the read model showed the write."""
    sent_again: int = 0
    """Requests that were not answered for good at first, as under more load than the machine takes."""

    def add(self, name: str, seconds: float) -> None:
        self.seconds.setdefault(name, []).append(seconds)

    def all(self) -> list[float]:
        return [value for values in self.seconds.values() for value in values]

    def milliseconds(self, share: float, name: str | None = None) -> float:
        """The quantile, in milliseconds."""
        values = sorted(self.seconds[name] if name else self.all())
        return round(values[min(len(values) - 1, int(len(values) * share))] * 1000, 1)


class Failed(Exception):
    """A request was not answered with success; a benchmark of failures would measure nothing."""


class Connection:
    """One keep-alive connection that sends one request after another."""

    def __init__(self, host: str, port: int, key: str, latencies: Latencies) -> None:
        self._host, self._port, self._key = host, port, key
        self._latencies = latencies
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "Connection":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer:
            self._writer.close()

    async def post(self, name: str, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Send a write with a key of its own and return what was answered."""
        return await self._request(name, "POST", path, json.dumps(document).encode(), since=time.perf_counter())

    async def get(self, name: str, path: str) -> dict[str, Any]:
        """Read."""
        return await self._request(name, "GET", path, b"", since=time.perf_counter())

    async def post_due(self, name: str, path: str, document: dict[str, Any], due: float) -> dict[str, Any]:
        """As ``post``, its time counted from when it was due (``perf_counter``) rather than from when it was sent."""
        return await self._request(name, "POST", path, json.dumps(document).encode(), since=due)

    async def _request(self, name: str, method: str, path: str, body: bytes, *, since: float) -> dict[str, Any]:
        """Ask until there is an answer for good, as clients do: the time is that of all tries."""
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: {self._host}\r\nAuthorization: Bearer {self._key}\r\n"
            f"Idempotency-Key: {uuid4()}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        for _ in range(_TRIES):
            status, content, pending = await self._answer(head.encode() + body)
            if status not in _AGAIN:
                break
            self._latencies.sent_again += 1
        self._latencies.add(name, time.perf_counter() - since)
        self._latencies.pending += pending
        if status not in (200, 201):
            raise Failed(f"{method} {path} was answered with {status}: {content[:500].decode()}")
        result: dict[str, Any] = json.loads(content)
        return result

    async def _answer(self, request: bytes) -> tuple[int, bytes, bool]:
        """Status, content, and whether the read model lags behind."""
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(request)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length, pending = 0, False
        for line in answer.split(b"\r\n")[1:]:
            header, _, value = line.partition(b":")
            if header.lower() == b"content-length":
                length = int(value)
            pending = pending or header.lower() == b"baton-read-model"
        return int(answer[9:12]), await self._reader.readexactly(length), pending
