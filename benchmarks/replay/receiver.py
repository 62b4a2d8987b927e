"""The platform behind the replay's channels: it takes deliveries, each once, and now and then fails to."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random
from typing import Any
from urllib.parse import quote, unquote

from standardwebhooks import Webhook, WebhookVerificationError

from benchmarks.replay.journal import Does, Journal, Received

Json = dict[str, Any]

PROBE = ""
"""Whom the delivery is for by which is found out whether any arrive, which is no brand; no account is taken of it."""

_TROUBLED_ATTEMPTS = 2
"""Of a delivery, at most: what is tried a third time is taken."""
_REQUEST_SECONDS = 30
_TROUBLE = (Does.FAILED, Does.CUT, Does.CUT_AFTER)


def signing_secret(run: str, brand: str) -> str:
    """The secret by which Baton signs for a brand: always the same, so that a crash loses none."""
    return f"whsec_{base64.b64encode(sha256(f'{run}:{brand}'.encode()).digest()).decode()}"


@dataclass
class Receiver:
    """A real HTTP server. What it does with each attempt is in the journal before it is answered.

    ``trouble`` is the share of attempts that it fails or cuts off, the same ones for the same ``seed``: they go by the
    place of a delivery among those of its conversation, since ids differ from one replay to the next.
    """

    journal: Journal
    seed: int
    trouble: float
    host: str
    port: int = 0
    probed: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _tried: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        for line in self.journal.received:
            self._count(line)

    def url(self, brand: str) -> str:
        """Where a brand's deliveries go."""
        return f"http://{self.host}:{self.port}/{quote(brand, safe='')}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, after which the line is closed."""
        with suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_REQUEST_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.rstrip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
            self._answer(writer, self._take(first.split(" ")[1], headers, body))
            await writer.drain()
        writer.close()

    def _take(self, path: str, headers: dict[str, str], body: str) -> Does:
        brand = unquote(path.removeprefix("/"))
        try:
            document: Json = Webhook(signing_secret(self.journal.header.run, brand)).verify(body, headers)
        except (WebhookVerificationError, ValueError):
            return self._note(Does.FORGED, brand, headers, {})
        if brand == PROBE:
            self.probed.set()
            return Does.TOOK
        return self._note(self._will(document, headers["webhook-id"]), brand, headers, document)

    def _will(self, document: Json, delivery_id: str) -> Does:
        """What is to be done with this attempt."""
        conversation = str(document["data"]["conversation"]["external_id"])
        seen = self._seen[conversation]
        place = seen.index(delivery_id) if delivery_id in seen else len(seen)
        attempt = self._tried[delivery_id]
        random = Random(f"{self.seed}:{conversation}:{place}:{attempt}")
        troubled = attempt < _TROUBLED_ATTEMPTS and random.random() < self.trouble
        return random.choice(_TROUBLE) if troubled else Does.TOOK

    def _note(self, does: Does, brand: str, headers: dict[str, str], document: Json) -> Does:
        data: Json = document.get("data", {})
        content: Json = data.get("message") or data.get("about") or {}
        line = Received(
            brand=brand,
            does=does,
            delivery_id=headers.get("webhook-id", ""),
            type=str(document.get("type", "")),
            conversation=str(data.get("conversation", {}).get("external_id", "")),
            about=str(content.get("id") or content.get("escalation_id") or ""),
            digest=sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        )
        self.journal.write(line)
        self._count(line)
        return does

    def _count(self, line: Received) -> None:
        if line.does is Does.FORGED:
            return
        self._tried[line.delivery_id] += 1
        if self._tried[line.delivery_id] == 1:
            self._seen[line.conversation].append(line.delivery_id)

    def _answer(self, writer: asyncio.StreamWriter, does: Does) -> None:
        if does in (Does.CUT, Does.CUT_AFTER):
            writer.transport.abort()
            return
        status = {Does.TOOK: "204 No Content", Does.FAILED: "500 Broken", Does.FORGED: "401 Unauthorized"}[does]
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


class CannotReceive(Exception):
    """There is no such address on this machine."""


@asynccontextmanager
async def receiving(journal: Journal, seed: int, trouble: float, host: str) -> AsyncIterator[Receiver]:
    """A receiver on a free port of ``host``, for as long as the block lasts; ``CannotReceive`` where it cannot be."""
    it = Receiver(journal, seed, trouble, host)
    try:
        server = await asyncio.start_server(it.serve, host, 0)
    except OSError as error:
        raise CannotReceive(
            f"Nothing can be received at {host}: {error.strerror}. Name another --receive-at."
        ) from None
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        await server.wait_closed()
