"""``Idempotency-Key``: a write sent twice takes effect once and is answered the same."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import IdempotentRequest
from domain.errors import IdempotencyKeyReused

REPLAYED = "Idempotency-Replayed"
"""Response header: this answer belongs to an earlier request with the same key."""


@dataclass(frozen=True)
class RequestId:
    """What identifies a request: its key, and a hash of method, path and content.

    ``given`` is false where the caller sent no key; ``key`` is then a fresh one.
    """

    key: str
    fingerprint: str
    given: bool


async def _request_id(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[\x21-\x7e]+$",
            description="Makes the request safe to send again: same key, same effect, same answer.",
            examples=["0d8f4a55-ticket-from-order-1093"],
        ),
    ] = None,
) -> RequestId:
    body = await request.body()
    try:
        canonical = json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode() if body else b""
    except (ValueError, RecursionError):  # what can be read less deep in the stack may be too deep for here
        canonical = body
    prefer = request.headers.get("If-Match", "")
    content = b"\n".join([request.method.encode(), request.url.path.encode(), prefer.encode(), canonical])
    key = idempotency_key or str(uuid4())
    return RequestId(key=key, fingerprint=sha256(content).hexdigest()[:32], given=idempotency_key is not None)


Idempotency = Annotated[RequestId, Depends(_request_id)]


def check_fingerprint(known: str | None, request: RequestId) -> None:
    """Refuse a key that was used for another request."""
    if known != request.fingerprint:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was used for a request with another content; use a new key for a new request."
        )


async def once(
    session: AsyncSession,
    organization_id: UUID,
    request: RequestId,
    work: Callable[[], Awaitable[BaseModel | None]],
    *,
    status: int = 200,
    secret: str | None = None,
) -> Response:
    """Do ``work`` and keep its answer in one transaction; a repeated request gets the answer kept.

    A field named ``secret`` is answered once and not kept: the repeated answer has null in its place.

    ``session`` must not be in a transaction yet. Two equal requests at once: the second waits for
    the first to commit. When ``work`` raises, nothing is kept and the key is free again.
    """
    async with session.begin():
        if request.given:
            kept = await _claim(session, organization_id, request, status)
            if kept is not None:
                check_fingerprint(kept.fingerprint, request)
                return _response(kept.answer, kept.status, {REPLAYED: "true"})
        result = await work()
        answer = result.model_dump(mode="json") if result is not None else {}
        if request.given:
            kept_answer = {**answer, secret: None} if secret else answer
            await session.execute(
                update(IdempotentRequest)
                .where(IdempotentRequest.organization_id == organization_id, IdempotentRequest.key == request.key)
                .values(answer=kept_answer)
            )
    return _response(answer, status, {})


async def claim(session: AsyncSession, organization_id: UUID, request: RequestId, *, status: int = 201) -> bool:
    """Take the key for a write that finds its earlier effect by itself; false when this request has it already.

    Raises ``IdempotencyKeyReused`` when another request has it. The caller owns the transaction. Two equal requests
    at once: the second waits for the first to commit.
    """
    kept = await _claim(session, organization_id, request, status)
    if kept is not None:
        check_fingerprint(kept.fingerprint, request)
    return kept is None


async def _claim(
    session: AsyncSession, organization_id: UUID, request: RequestId, status: int
) -> IdempotentRequest | None:
    """Take the key; ``None`` when it was free, else what is kept under it."""
    claimed = await session.scalar(
        insert(IdempotentRequest)
        .values(
            organization_id=organization_id, key=request.key, fingerprint=request.fingerprint, status=status, answer={}
        )
        .on_conflict_do_nothing()
        .returning(IdempotentRequest.key)
    )
    if claimed is not None:
        return None
    return await session.scalar(
        select(IdempotentRequest).where(
            IdempotentRequest.organization_id == organization_id, IdempotentRequest.key == request.key
        )
    )


def _response(answer: dict[str, object], status: int, headers: dict[str, str]) -> Response:
    if status == 204:
        return Response(status_code=204, headers=headers)
    return JSONResponse(answer, status_code=status, headers=headers)
