"""A server on loopback that answers as a model does, or as one must not."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from embedded.ports import LOOPBACK

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Question:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    document: Any


@dataclass
class ModelServer:
    """Does to every request what ``behaves`` says, then hangs up."""

    behaves: Behaviour
    port: int = 0
    questions: list[Question] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/v1"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.questions.append(Question(request.split()[1], headers, json.loads(body)))
            await self.behaves(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has hung up
        finally:
            self.open -= 1
            writer.close()


def says(body: bytes, status: int = 200, headers: str = "") -> Behaviour:
    """Answer with that."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    return behave


def chats(content: object) -> Behaviour:
    """A chat completion with that content, made JSON where it is not a text yet."""
    text = content if isinstance(content, str) else json.dumps(content)
    message = {"role": "assistant", "content": text, "refusal": None}
    return says(json.dumps({"id": "1", "choices": [{"index": 0, "message": message}], "usage": {}}).encode())


async def silent(writer: asyncio.StreamWriter) -> None:
    """Takes the question and never answers."""
    while not writer.is_closing():
        await asyncio.sleep(0.02)
        writer.write(b"")
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    """Sends a byte now and then, and never ends."""
    writer.write(b"HTTP/1.1 200 Said\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def flooding(writer: asyncio.StreamWriter) -> None:
    """Sends as much as is taken, and never ends."""
    writer.write(b"HTTP/1.1 200 Said\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def hanging_up(writer: asyncio.StreamWriter) -> None:
    """Ends in the middle of its answer."""
    writer.write(b'HTTP/1.1 200 Said\r\nContent-Length: 1000\r\n\r\n{"choices"')
    await writer.drain()


@asynccontextmanager
async def model_server(behaves: Behaviour) -> AsyncIterator[ModelServer]:
    """The server, on a free port."""
    model = ModelServer(behaves)
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await model.serve(reader, writer)

    server = await asyncio.start_server(accept, LOOPBACK, 0)
    model.port = server.sockets[0].getsockname()[1]
    try:
        yield model
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
