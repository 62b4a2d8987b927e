"""Answers in Chatwoot: replies, private notes, and whose turn a conversation is."""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from activities.connectors.addresses import addresses_of
from activities.connectors.connector import ChannelToUse, Outgoing, Refused, Sent, Suppressed, TryAgain
from activities.connectors.webhook import retry_after
from domain.chatwoot import DELIVERY_ID, number_of
from domain.delivery import DeliveryKind

TOKEN = "chatwoot_token"  # noqa: S105 - the purpose of a secret
BOT_TOKEN = "chatwoot_bot_token"  # noqa: S105

_LONGEST_SECONDS = 50
"""For all that one delivery asks; the activity that makes it waits for a minute."""

_LARGEST_ANSWER = 4_000_000
"""Bytes; a page of messages has twenty, an email among them may be long."""

_MOST_PAGES = 10
_SKEW = timedelta(minutes=2)
"""How far Chatwoot's clock may be behind ours where we look for what an earlier attempt has left there."""

_SETTLED_AFTER = timedelta(seconds=30)
"""What was asked without an answer may still be under way: it is looked for only when it must have ended."""

_FLOODED = "too many messages"
"""What Chatwoot's refusal says when a conversation has had its share of messages for a minute."""

_RESOLVED = "resolved"
_STATUS = {DeliveryKind.HANDED_OVER: "open", DeliveryKind.HANDED_BACK: "pending"}


class ChatwootConnector:
    """Speaks with the application API of whichever installation a channel names.

    Chatwoot knows no key by which a repeated request is the same one. So a message carries its delivery's id, and is
    looked for before it is posted: what an attempt without an answer has left there is not said again. Reading takes a
    user's token; an agent bot's may only write.
    """

    safe_to_repeat = True

    def __init__(self, *, private: bool = False, seconds: float = 10) -> None:
        self._private = private
        self._seconds = seconds
        self._tls = ssl.create_default_context()

    async def send(self, outgoing: Outgoing) -> Sent:
        """See ``Connector``. A hand-over is a private note and the status: both may be set twice."""
        number = number_of(outgoing.conversation_external_id, outgoing.channel.id)
        if number is None:
            raise Suppressed("The conversation is not one of this Chatwoot inbox.")
        timeout = httpx.Timeout(self._seconds)
        try:
            async with (
                asyncio.timeout(_LONGEST_SECONDS),
                httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=timeout) as client,
            ):
                account = await _Account.of(client, outgoing.channel, private=self._private)
                return Sent(await self._deliver(account, number, outgoing))
        except TimeoutError as error:
            raise TryAgain("Chatwoot took too long.", after=_SETTLED_AFTER) from error

    async def _deliver(self, account: "_Account", number: int, outgoing: Outgoing) -> str:
        if outgoing.message is not None:
            return await self._say(account, number, outgoing, outgoing.message.body, private=False)
        note = await self._say(account, number, outgoing, _note(outgoing), private=True)
        over = outgoing.kind is DeliveryKind.HANDED_BACK and await account.status(number) == _RESOLVED
        if not over:  # what somebody has resolved there is the bot's again when the customer writes
            await account.set_status(number, _STATUS[outgoing.kind])
        return note

    async def _say(self, account: "_Account", number: int, outgoing: Outgoing, words: str, *, private: bool) -> str:
        """Chatwoot's id of the message, be it from an earlier attempt."""
        there = await account.find_message(number, outgoing.id, outgoing.created_at - _SKEW)
        return there or await account.post_message(number, outgoing.id, words, private=private)


@dataclass(frozen=True)
class _Account:
    """One account of an installation, by its application API."""

    client: httpx.AsyncClient
    url: httpx.URL
    addresses: Sequence[str]
    """Where the host is: what was found to be allowed is what is connected to."""
    token: str
    bot_token: str | None

    @classmethod
    async def of(cls, client: httpx.AsyncClient, channel: ChannelToUse, *, private: bool) -> "_Account":
        tokens = channel.secrets.get(TOKEN)
        if not tokens:
            raise TryAgain("The channel has no access token of Chatwoot (a secret with the purpose chatwoot_token).")
        bots = channel.secrets.get(BOT_TOKEN) or (None,)
        base = str(channel.settings["base_url"]).rstrip("/")
        url = httpx.URL(f"{base}/api/v1/accounts/{channel.settings['account_id']}/conversations")
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await addresses_of(url.host, port, private=private)
        return cls(client, url, addresses, tokens[0], bots[0])

    async def find_message(self, number: int, delivery_id: UUID, since: datetime) -> str | None:
        """The message of the conversation that carries the delivery's id, among those not older than ``since``."""
        before: int | None = None
        for _ in range(_MOST_PAGES):
            page = await self._ask("GET", f"{number}/messages", query={"before": before} if before else {})
            messages = [each for each in _listed(page, "payload") if isinstance(each.get("id"), int)]
            for each in messages:
                attributes = each.get("content_attributes")
                if isinstance(attributes, Mapping) and attributes.get(DELIVERY_ID) == str(delivery_id):
                    return str(each["id"])
            if not messages or min(map(_made_at, messages)) < since:
                return None
            before = min(each["id"] for each in messages)
        return None

    async def post_message(self, number: int, delivery_id: UUID, words: str, *, private: bool) -> str:
        """Say it; its id. Without ``source_id``: Chatwoot takes a message that has one for sent by its channel."""
        document = {
            "content": words,
            "message_type": "outgoing",
            "private": private,
            "content_attributes": {DELIVERY_ID: str(delivery_id)},
        }
        made = await self._ask("POST", f"{number}/messages", document)
        return str(made.get("id", ""))

    async def status(self, number: int) -> str | None:
        """What the conversation's status is there."""
        found = (await self._ask("GET", str(number))).get("status")
        return found if isinstance(found, str) else None

    async def set_status(self, number: int, status: str) -> None:
        """As the agent bot where its token is there: only a bot's hand-over assigns the conversation to nobody."""
        path = f"{number}/toggle_status"
        await self._ask("POST", path, {"status": status}, token=self.bot_token)

    async def _ask(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> Mapping[str, Any]:
        """The answer's document, or why there is none (``NotDelivered``)."""
        headers = {"api_access_token": token or self.token, "Host": self.url.netloc.decode()}
        requests = [
            self.client.build_request(
                method,
                self.url.copy_with(host=address, path=f"{self.url.path}/{path}"),
                json=document,
                params=query,
                headers=headers,
                extensions={"sni_hostname": self.url.host},
            )
            for address in self.addresses
        ]
        try:
            answer, body = await self._first(requests)
        except httpx.HTTPError as error:
            after = _SETTLED_AFTER if method == "POST" else None
            raise TryAgain(f"Chatwoot did not answer ({type(error).__name__}).", after=after) from error
        if answer.is_success:
            return _document(answer, body)
        raise _refusal(answer, body)

    async def _first(self, requests: Sequence[httpx.Request]) -> tuple[httpx.Response, bytes]:
        """The answer of the first address that can be connected to: one that cannot has been told nothing."""
        *others, last = requests
        for each in others:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await self._read(each)
        return await self._read(last)

    async def _read(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        answer = await self.client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_ANSWER:
                    raise TryAgain("Chatwoot's answer was too long.")
            return answer, bytes(body)
        finally:
            await answer.aclose()


def _refusal(answer: httpx.Response, body: bytes) -> TryAgain | Refused:
    """What may be put right within a day is tried for as long."""
    status = answer.status_code
    if status == 429:
        return TryAgain("Chatwoot asks for patience (429).", after=retry_after(answer.headers, datetime.now(UTC)))
    if status == 422 and _FLOODED in body.decode(errors="replace").casefold():
        why = "The conversation had as many messages as Chatwoot takes in a minute."
        return TryAgain(why, after=timedelta(minutes=1))
    if status in (401, 403):
        return TryAgain(f"Chatwoot does not accept the token ({status}): it has to be a user's, of this account.")
    if status == 404:
        return Refused("Chatwoot has no such conversation in this account (404).")
    if status >= 500 or status == 408:
        return TryAgain(f"Chatwoot answered {status}.")
    return Refused(f"Chatwoot answered {status}.")


def _document(answer: httpx.Response, body: bytes) -> Mapping[str, Any]:
    try:
        found = httpx.Response(answer.status_code, content=body).json()
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise TryAgain("What answered is not Chatwoot's API: the answer is no JSON object.")
    return found


def _listed(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = document.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _made_at(message: Mapping[str, Any]) -> datetime:
    at = message.get("created_at")
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int) else datetime.now(UTC)


def _note(outgoing: Outgoing) -> str:
    """What people in Chatwoot read, and customers do not."""
    who = outgoing.about.get("member_name") or "A person"
    words = f"{who} has the conversation in Baton."
    if outgoing.kind is DeliveryKind.HANDED_BACK:
        words = f"{who} gave the conversation back to the bot."
    reason = outgoing.about.get("reason")
    ticket = f"Ticket #{outgoing.ticket.number}." if outgoing.ticket else ""
    return " ".join(part for part in (words, ticket, f"Reason: {reason}" if reason else "") if part)
