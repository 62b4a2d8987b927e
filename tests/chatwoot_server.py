"""A small Chatwoot on loopback: what its public API documentation says of the routes we use, and the ways it can fail.

It keeps messages and statuses, answers with the documents and the status codes of the application API, and posts
signed events as webhooks and agent bots get them.
"""

import asyncio
import hmac
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx

from embedded.ports import LOOPBACK

Json = dict[str, Any]

USER_TOKEN, BOT_TOKEN, SECRET = "token-of-a-user", "token-of-a-bot", "secret-of-the-webhook"
ACCOUNT, INBOX = 1, 3
A_PAGE = 20


class Failure(StrEnum):
    """What the server does to one request instead of what it should."""

    ERROR = "error"  # 500
    BUSY = "busy"  # 429 with Retry-After
    FLOODED = "flooded"  # 422: the conversation has had its messages of this minute
    HANGS_UP = "hangs_up"  # takes nothing, and closes the connection
    HANGS_UP_AFTER = "hangs_up_after"  # does what was asked, and closes the connection without an answer
    NOT_JSON = "not_json"


_FAILING: dict[Failure | None, tuple[int, Any]] = {
    Failure.ERROR: (500, {"error": "Internal Server Error"}),
    Failure.BUSY: (429, {"error": "Retry later"}),
    Failure.FLOODED: (422, {"message": "Too many messages", "attributes": ["base"]}),
    Failure.NOT_JSON: (200, None),
}


@dataclass
class Conversation:
    """What Chatwoot has of a conversation."""

    id: int
    status: str = "pending"
    labels: list[str] = field(default_factory=list)
    contact: Json = field(default_factory=lambda: {"id": 7, "name": "A customer", "email": "customer@example.com"})
    hmac_verified: bool = False
    messages: list[Json] = field(default_factory=list)

    @property
    def webhook_data(self) -> Json:
        return {
            "id": self.id,
            "inbox_id": INBOX,
            "status": self.status,
            "labels": self.labels,
            "channel": "Channel::WebWidget",
            "can_reply": True,
            "meta": {
                "sender": {**self.contact, "type": "contact"},
                "assignee": None,
                "hmac_verified": self.hmac_verified,
            },
            "contact_inbox": {"id": 1, "contact_id": self.contact["id"], "inbox_id": INBOX, "source_id": str(uuid4())},
            "messages": [],
            "unread_count": 1,
            "timestamp": int(time.time()),
            "updated_at": time.time(),
        }


@dataclass
class ChatwootServer:
    """The installation. ``failures`` are used up one a request, ``None`` for one that goes well."""

    port: int = 0
    conversations: dict[int, Conversation] = field(default_factory=dict)
    failures: deque[Failure | None] = field(default_factory=deque)
    requests: list[tuple[str, str, Json, str]] = field(default_factory=list)
    """Method, path, document and token of each request."""
    _ids: Any = field(default_factory=lambda: count(1000))

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def conversation(self, number: int = 52, **fields: Any) -> Conversation:
        """A conversation that customers have begun."""
        return self.conversations.setdefault(number, Conversation(number, **fields))

    def said(self, number: int = 52, *, private: bool = False) -> list[str]:
        """What Baton has posted into the conversation."""
        return [each["content"] for each in self.conversations[number].messages if each["private"] is private]

    # What Chatwoot posts

    def event(
        self,
        conversation: Conversation,
        content: str | None,
        *,
        message_type: str = "incoming",
        sender: Json | None = None,
        event: str = "message_created",
        **fields: Any,
    ) -> Json:
        """``message_created`` as it comes; of the contact unless told otherwise."""
        return {
            "event": event,
            "id": next(self._ids),
            "content": content,
            "content_type": "text",
            "content_attributes": {},
            "additional_attributes": {},
            "created_at": "2026-11-20T16:30:00.123Z",
            "message_type": message_type,
            "private": False,
            "source_id": None,
            "sender": sender if sender is not None else {**conversation.contact, "type": "contact"},
            "account": {"id": ACCOUNT, "name": "Example"},
            "inbox": {"id": INBOX, "name": "Website"},
            "conversation": conversation.webhook_data,
            **fields,
        }

    def status_changed(self, conversation: Conversation, to: str, *, bot: bool = False) -> Json:
        """The event of a change of status, which is made here: to webhooks, or to the agent ``bot``."""
        before, conversation.status = conversation.status, to
        if bot:
            return {"event": f"conversation_{'opened' if to == 'open' else to}", **conversation.webhook_data}
        change = {"status": {"previous_value": before, "current_value": to}}
        return {"event": "conversation_status_changed", **conversation.webhook_data, "changed_attributes": [change]}

    def event_of(self, conversation: Conversation, message: Json) -> Json:
        """The event that tells of a message which was posted to the API."""
        return self.event(
            conversation,
            message["content"],
            message_type="outgoing",
            sender={"id": 5, "name": "Baton", "email": "baton@example.com", "type": "user"},
            private=message["private"],
            content_attributes=message["content_attributes"],
        ) | {"id": message["id"]}

    # What Chatwoot answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, target, _ = request.split()
                failure = self.failures.popleft() if self.failures else None
                if failure is Failure.HANGS_UP:
                    return
                token = headers.get("api_access_token", "")
                document = json.loads(body) if body else {}
                status, answer = self._answer(method, target, document, token, failure)
                if failure is Failure.HANGS_UP_AFTER:
                    return
                await _write(writer, status, answer, "Retry-After: 7\r\n" if status == 429 else "")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has hung up
        finally:
            writer.close()

    def _answer(self, method: str, target: str, document: Json, token: str, failure: Failure | None) -> tuple[int, Any]:
        address = urlsplit(target)
        self.requests.append((method, address.path, document, token))
        if failure in _FAILING:
            return _FAILING[failure]
        if token not in (USER_TOKEN, BOT_TOKEN):
            return 401, {"error": "Invalid Access Token"}
        parts = address.path.strip("/").split("/")
        of_account = parts[:5] == ["api", "v1", "accounts", str(ACCOUNT), "conversations"] and len(parts) in (6, 7)
        conversation = self.conversations.get(int(parts[5])) if of_account else None
        if conversation is None:
            return 404, {"error": "Resource could not be found"}
        part = parts[6] if len(parts) == 7 else ""
        if (method, token) == ("GET", BOT_TOKEN):
            return 401, {"error": "Access to this endpoint is not authorized for bots"}
        doing = {
            ("GET", ""): lambda: conversation.webhook_data | {"account_id": ACCOUNT},
            ("GET", "messages"): lambda: self._list(conversation, parse_qs(address.query)),
            ("POST", "messages"): lambda: self._post(conversation, document),
            ("POST", "toggle_status"): lambda: self._toggle(conversation, document),
        }
        return 200, doing[method, part]()

    def _list(self, conversation: Conversation, query: dict[str, list[str]]) -> Json:
        before = int(query.get("before", ["999999999"])[0])
        page = [each for each in conversation.messages if each["id"] < before][-A_PAGE:]
        return {"meta": {"labels": conversation.labels}, "payload": page}

    def _toggle(self, conversation: Conversation, document: Json) -> Json:
        conversation.status = document["status"]
        payload = {"success": True, "conversation_id": conversation.id, "current_status": conversation.status}
        return {"meta": {}, "payload": payload}

    def _post(self, conversation: Conversation, document: Json) -> Json:
        message = {
            "id": next(self._ids),
            "content": document["content"],
            "inbox_id": INBOX,
            "conversation_id": conversation.id,
            "message_type": 1,
            "content_type": "text",
            "status": "sent",
            "content_attributes": document.get("content_attributes", {}),
            "created_at": int(time.time()),
            "private": document.get("private", False),
            "source_id": document.get("source_id"),
        }
        conversation.messages.append(message)
        return message


async def _write(writer: asyncio.StreamWriter, status: int, answer: Any, headers: str) -> None:
    body = b"<html>" if answer is None else json.dumps(answer).encode()
    head = f"HTTP/1.1 {status} Said\r\n{headers}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


def signed(document: Json, secret: str = SECRET, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """The body and the headers with which Chatwoot posts a document."""
    body, now = json.dumps(document).encode(), str(int(time.time() if at is None else at))
    signature = hmac.new(secret.encode(), f"{now}.".encode() + body, sha256).hexdigest()
    return body, {
        "Content-Type": "application/json",
        "X-Chatwoot-Delivery": str(uuid4()),
        "X-Chatwoot-Timestamp": now,
        "X-Chatwoot-Signature": f"sha256={signature}",
    }


async def posted(http: httpx.AsyncClient, channel_id: str, document: Json, **how: Any) -> httpx.Response:
    """What Baton answers to an event that Chatwoot posts to a channel."""
    body, headers = signed(document, **how)
    return await http.post(f"/api/v1/channels/{channel_id}/chatwoot", content=body, headers=headers)


@asynccontextmanager
async def chatwoot_server() -> AsyncIterator[ChatwootServer]:
    """The installation, on a free port."""
    installation = ChatwootServer()
    connections: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        with suppress(asyncio.CancelledError):
            await installation.serve(reader, writer)

    server = await asyncio.start_server(accept, LOOPBACK, 0)
    installation.port = server.sockets[0].getsockname()[1]
    try:
        yield installation
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
