"""A real receiver of webhooks that does with each what a test wants of it."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from embedded.ports import LOOPBACK


class Does(Enum):
    """What the receiver does with a delivery."""

    TAKE = auto()
    FAIL = auto()
    REFUSE = auto()
    PUT_OFF = auto()
    HANG = auto()
    TAKE_AND_HANG = auto()  # the delivery was taken, and nobody is told
    REDIRECT = auto()
    DROP_BEFORE = auto()  # the line is cut, and the delivery was not taken
    DROP_AFTER = auto()  # the delivery was taken, and the line is cut before that is said


@dataclass(frozen=True)
class Got:
    """One request as it came."""

    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """What it took, each id once as a receiver should, and what is done with the next ones.

    ``choose`` says of each request what is done with it, in place of ``next``.
    """

    port: int = 0
    choose: Callable[[Got], Does] | None = None
    retry_after: str = "3600"
    next: deque[Does] = field(default_factory=deque)
    requests: list[Got] = field(default_factory=list)
    taken: dict[str, Got] = field(default_factory=dict)
    hanging: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/answers"

    def will(self, does: Iterable[Does]) -> None:
        self.next.extend(does)

    def said(self) -> list[str]:
        """The words it was given, each delivery once."""
        return [got.document["data"]["message"]["body"] for got in self.taken.values()]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = [line.partition(": ") for line in head.split("\r\n")[1:] if line]
            headers = {name.lower(): value for name, _, value in lines}
            body = (await reader.readexactly(int(headers["content-length"]))).decode()
            await self._answer(writer, Got(headers, body))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever sent it was killed
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, got: Got) -> None:
        self.requests.append(got)
        does = self.choose(got) if self.choose else self.next.popleft() if self.next else Does.TAKE
        if does in (Does.TAKE, Does.DROP_AFTER, Does.TAKE_AND_HANG):
            self.taken.setdefault(got.id, got)
        if does in (Does.DROP_BEFORE, Does.DROP_AFTER):
            writer.transport.abort()
            return
        if does in (Does.HANG, Does.TAKE_AND_HANG):
            await self.hanging.wait()
            return
        status = {
            Does.TAKE: "200 OK",
            Does.FAIL: "500 Broken",
            Does.REFUSE: "410 Gone",
            Does.PUT_OFF: f"429 Busy\r\nRetry-After: {self.retry_after}",
            Does.REDIRECT: f"302 Found\r\nLocation: {self.url}",
        }[does]
        document = '{"id": "their-1"}'
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(document)}\r\n"
            f"Connection: close\r\n\r\n{document}".encode()
        )
        await writer.drain()


@asynccontextmanager
async def receiver(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """One on a free port of loopback."""
    it = Receiver()
    server = await asyncio.start_server(it.serve, LOOPBACK, 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        it.hanging.set()
        server.close()
        await server.wait_closed()
