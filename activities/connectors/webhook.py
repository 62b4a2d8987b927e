"""The connector for any platform: signed webhooks, as https://www.standardwebhooks.com has them."""

import asyncio
import json
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from standardwebhooks import Webhook

from activities.connectors.addresses import addresses_of
from activities.connectors.connector import Outgoing, Refused, Sent, TryAgain
from db.channel_secrets import SIGNING
from domain.delivery import DeliveryKind

TYPES = {
    DeliveryKind.MESSAGE: "message.created",
    DeliveryKind.HANDED_OVER: "conversation.handed_over",
    DeliveryKind.HANDED_BACK: "conversation.handed_back",
}

NEVER = frozenset({400, 405, 410, 413, 415, 422})
"""Answers by which a receiver says that it will not take this delivery; all others may be put right within a day."""

_MOST_READ = 64 * 1024


class WebhookConnector:
    """Posts deliveries to the channel's ``reply_url``, signed with the channel's secrets.

    ``private`` allows addresses of private networks. ``seconds`` is for each step, and three times as much for all.
    ``tls`` says whose certificates are believed; those the system trusts, where it does not.
    """

    safe_to_repeat = True  # the receiver knows a repetition by its webhook-id

    def __init__(self, *, private: bool = False, seconds: float = 10, tls: ssl.SSLContext | None = None) -> None:
        self._private = private
        self._seconds = seconds
        self._tls = tls or ssl.create_default_context()

    async def send(self, outgoing: Outgoing) -> Sent:
        """See ``Connector``."""
        url = httpx.URL(outgoing.channel.settings.get("reply_url") or "")
        if url.scheme not in ("http", "https") or not url.host:
            raise Refused("The channel's reply_url is no address of the web.")
        secrets = outgoing.channel.secrets.get(SIGNING, ())
        if not secrets:
            raise TryAgain("The channel has no secret to sign with; make one: POST /channels/{channel_id}/secrets.")
        body = json.dumps(payload(outgoing), ensure_ascii=False, separators=(",", ":"))
        # As late as can be: a receiver refuses what is more than five minutes old.
        headers = signed(outgoing, body, secrets, datetime.now(UTC))
        try:
            status, answer_headers, answer = await self._post(url, body, headers)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise TryAgain("The receiver has not answered in time.") from error
        except (httpx.TransportError, ssl.SSLError, OSError) as error:
            raise TryAgain(f"The receiver cannot be reached, or broke off: {type(error).__name__}.") from error
        return judged(status, answer_headers, answer)

    async def _post(self, url: httpx.URL, body: str, headers: dict[str, str]) -> tuple[int, httpx.Headers, bytes]:
        port = url.port or (443 if url.scheme == "https" else 80)
        timeout = httpx.Timeout(self._seconds)
        # The whole, since a receiver may send a byte every few seconds for ever.
        async with asyncio.timeout(self._seconds * 3):
            async with httpx.AsyncClient(verify=self._tls, trust_env=False, timeout=timeout) as client:
                *others, last = await addresses_of(url.host, port, private=self._private)
                for address in others:
                    # One that cannot be connected to has been told nothing, so the next may be asked.
                    with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                        return await _ask(client, url, address, body, headers)
                return await _ask(client, url, last, body, headers)


async def _ask(
    client: httpx.AsyncClient, url: httpx.URL, address: str, body: str, headers: dict[str, str]
) -> tuple[int, httpx.Headers, bytes]:
    """Post to one address of the URL's host, whose name the certificate has to have."""
    request = client.build_request(
        "POST",
        url.copy_with(host=address),
        content=body.encode(),
        headers={**headers, "Host": url.netloc.decode()},
        extensions={"sni_hostname": url.host},
    )
    answer = await client.send(request, stream=True)
    try:
        read = b""
        async for chunk in answer.aiter_bytes():
            read += chunk
            if len(read) > _MOST_READ:
                break
        return answer.status_code, answer.headers, read[:_MOST_READ]
    finally:
        await answer.aclose()


def payload(outgoing: Outgoing) -> dict[str, Any]:
    """What the receiver gets: the same in every attempt."""
    data: dict[str, Any] = {
        "delivery_id": str(outgoing.id),
        "conversation": {"id": str(outgoing.conversation_id), "external_id": outgoing.conversation_external_id},
        "channel": {"id": str(outgoing.channel.id), "kind": outgoing.channel.kind, "name": outgoing.channel.name},
        "requester": {"external_id": outgoing.customer.external_id, "name": outgoing.customer.name},
        "ticket": {"id": str(outgoing.ticket.id), "number": outgoing.ticket.number} if outgoing.ticket else None,
    }
    if outgoing.message is not None:
        data["message"] = {
            "id": str(outgoing.message.id),
            "external_id": outgoing.message.external_id,
            "author": outgoing.message.author_kind,
            "author_name": outgoing.message.author_name,
            "body": outgoing.message.body,
            "sent_at": outgoing.message.sent_at.isoformat(),
        }
    else:
        data["about"] = dict(outgoing.about)
    return {"type": TYPES[outgoing.kind], "timestamp": outgoing.created_at.isoformat(), "data": data}


def signed(outgoing: Outgoing, body: str, secrets: tuple[str, ...], now: datetime) -> dict[str, str]:
    """The headers of an attempt; while secrets are being changed, it is signed with each that counts."""
    known_as = f"dlv_{outgoing.id.hex}"
    return {
        "Content-Type": "application/json",
        "User-Agent": "Baton",
        "webhook-id": known_as,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(known_as, now, body) for secret in secrets),
    }


def judged(status: int, headers: httpx.Headers, body: bytes) -> Sent:
    """What the receiver's answer comes to."""
    if 200 <= status < 300:
        return Sent(provider_id=_provider_id(headers, body))
    if 300 <= status < 400:
        raise Refused(f"The receiver answered {status}; where it points to is not followed.")
    if status in NEVER:
        raise Refused(f"The receiver answered {status}.")
    raise TryAgain(f"The receiver answered {status}.", after=retry_after(headers, datetime.now(UTC)))


def retry_after(headers: httpx.Headers, now: datetime) -> timedelta | None:
    """How long the receiver wants to be left alone: in seconds, or until a moment; ``None`` where it does not say."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal() and len(value) < 8:
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta())


def _provider_id(headers: httpx.Headers, body: bytes) -> str | None:
    """The id the receiver gave it: ``id`` of a JSON answer."""
    if "json" not in headers.get("Content-Type", ""):
        return None
    try:
        document = json.loads(body)
    except ValueError:
        return None
    found = document.get("id") if isinstance(document, dict) else None
    return str(found)[:200].replace("\x00", "") if isinstance(found, str | int) else None
