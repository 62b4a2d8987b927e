"""Sends commands as a careful program does: again with the same key until the answer is known."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from tests.chaos.journal import Answered, Journal, Json, Organization, Repeated, Sent, Unknown, Verdict, What, now

LONGEST_WAIT_SECONDS = 4.0
"""For one attempt. Some attempts have less patience, so that an attempt is often overtaken by its own repetition."""
_SHORT_WAIT_SECONDS = 1.5
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 1.5

_PATHS = {
    What.CREATE: ("POST", "/tickets"),
    What.STATUS: ("POST", "/tickets/{ticket}/status"),
    What.EDIT: ("PATCH", "/tickets/{ticket}"),
    What.ASSIGN: ("POST", "/tickets/{ticket}/assignment"),
    What.ESCALATE: ("POST", "/tickets/{ticket}/escalate"),
    What.CUSTOMER_MESSAGE: ("POST", "/tickets/{ticket}/messages"),
    What.AGENT_MESSAGE: ("POST", "/tickets/{ticket}/messages"),
    What.NOTE: ("POST", "/tickets/{ticket}/notes"),
    What.SAY: ("POST", "/conversations/{conversation}/messages"),
    What.REPLY: ("POST", "/conversations/{conversation}/replies"),
    What.RAISE: ("POST", "/conversations/{conversation}/escalations"),
    What.TAKE_OVER: ("POST", "/conversations/{conversation}/takeover"),
    What.HAND_BACK: ("POST", "/conversations/{conversation}/handback"),
    What.CLAIM: ("POST", "/escalations/{escalation}/claim"),
    What.RESOLVE: ("POST", "/escalations/{escalation}/resolve"),
    What.DISMISS: ("POST", "/escalations/{escalation}/dismiss"),
}


class DefectiveAnswer(Exception):
    """The API answered something that no client can make sense of."""


@dataclass(frozen=True)
class Attempt:
    """The outcome of one attempt: an answer that is final, or why there is none."""

    answer: httpx.Response | None
    why: str = ""


class Caller:
    """One organization's key. Writes what it sends and hears into the journal."""

    def __init__(self, http: httpx.AsyncClient, journal: Journal, organization: Organization) -> None:
        self.organization = organization
        self._http = http
        self._journal = journal

    async def perform(
        self, sent: Sent, rng: random.Random, *, attempts: int | None = None
    ) -> tuple[Answered, Json | None]:
        """Send until the outcome is known, or ``attempts`` times; the answer's document where it was acknowledged."""
        self._journal.write(sent)
        pause, tried = _FIRST_PAUSE_SECONDS, 0
        while attempts is None or tried < attempts:
            tried += 1
            attempt = await self._try(sent, rng)
            if attempt.answer is not None:
                answered, document = _understood(sent, attempt.answer)
                self._journal.write(answered)
                return answered, document
            self._journal.write(Unknown(command=sent.command, why=attempt.why))
            await asyncio.sleep(pause * rng.uniform(0.5, 1))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        given_up = Answered(command=sent.command, verdict=Verdict.GIVEN_UP)
        self._journal.write(given_up)
        return given_up, None

    async def repeat(self, sent: Sent, rng: random.Random) -> None:
        """Send what was acknowledged once more; one attempt, since nothing depends on it."""
        asked_at = now()
        attempt = await self._try(sent, rng)
        if attempt.answer is None:
            return
        answered, _ = _understood(sent, attempt.answer)
        self._journal.write(
            Repeated(
                command=sent.command,
                asked_at=asked_at,
                status=attempt.answer.status_code,
                version=answered.version,
                fact=answered.fact,
                escalation=answered.escalation,
                pending=answered.pending,
            )
        )

    async def _try(self, sent: Sent, rng: random.Random) -> Attempt:
        method, pattern = _PATHS[sent.what]
        path = pattern.format(ticket=sent.ticket, conversation=sent.conversation, escalation=sent.escalation)
        headers = {"Authorization": f"Bearer {self.organization.api_key}", "Idempotency-Key": sent.command}
        if sent.member:
            headers["Baton-On-Behalf-Of"] = sent.member
        if sent.if_version is not None:
            headers["If-Match"] = f'"{sent.if_version}"'
        if not sent.waits:
            headers["Prefer"] = "respond-async"
        patience = _SHORT_WAIT_SECONDS if rng.random() < 0.2 else LONGEST_WAIT_SECONDS
        try:
            answer = await self._http.request(
                method, f"/api/v1{path}", json=sent.body, headers=headers, timeout=patience
            )
        except httpx.TransportError as error:
            return Attempt(None, type(error).__name__)
        if answer.status_code >= 500:
            return Attempt(None, f"{answer.status_code} {_document(answer).get('code', '')}".strip())
        return Attempt(answer)


@asynccontextmanager
async def open_http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """Connections to the API at ``url``, not through any proxy of the environment."""
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False, timeout=10) as http:
        yield http


def _understood(sent: Sent, answer: httpx.Response) -> tuple[Answered, Json | None]:
    document = _document(answer)
    if answer.is_success:
        pending = answer.headers.get("Baton-Read-Model") == "pending"
        known = _of_conversation(sent, document) if sent.what.of_conversation else _of_ticket(sent, answer, document)
        unnamed = [name for name in ("ticket", "fact", "escalation") if known.get(name, "") is None]
        if unnamed and not (sent.what is What.RAISE and pending):
            raise DefectiveAnswer(f"{answer.status_code} to {sent.what} names no {unnamed[0]}")
        return Answered(
            command=sent.command, verdict=Verdict.ACKNOWLEDGED, status=answer.status_code, pending=pending, **known
        ), document
    if not 400 <= answer.status_code < 500:
        raise DefectiveAnswer(f"{answer.status_code} to {sent.what}")
    owner = f"{document['owner_id']}: {document['owner_name']}" if "owner_id" in document else None
    return Answered(
        command=sent.command,
        verdict=Verdict.REFUSED,
        status=answer.status_code,
        code=document.get("code"),
        owner=owner,
    ), None


def _of_ticket(sent: Sent, answer: httpx.Response, document: Json) -> Json:
    if sent.what.is_fact:
        return {"ticket": document.get("ticket_id"), "fact": document.get("id")}
    if answer.status_code == 202:
        return {"ticket": document.get("ticket_id")}
    return {"ticket": document.get("id"), "version": document.get("version")}


def _of_conversation(sent: Sent, document: Json) -> Json:
    if sent.what.is_said:
        return {"fact": document.get("id")}
    escalation = (document.get("escalation") or {}) if sent.what is What.RAISE else document
    return {"escalation": escalation.get("id"), "version": escalation.get("version")}


def _document(answer: httpx.Response) -> Json:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
