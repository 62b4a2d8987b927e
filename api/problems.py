"""Problem details (RFC 9457): every error the API answers with, each with a stable code."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg import Error as PsycopgError
from psycopg.errors import UniqueViolation
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.request_log import route_of
from domain.errors import DomainError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"

STATUS_OF = {
    "illegal_transition": 409,
    "ticket_closed": 409,
    "ticket_not_active": 409,
    "ticket_merged": 409,
    "ticket_merging": 409,
    "merge_refused": 409,
    "assigned_to_another": 409,
    "claimed_by_another": 409,
    "not_claimed": 409,
    "escalation_over": 409,
    "already_exists": 409,
    "already_delivered": 409,
    "still_in_use": 409,
    "limit_reached": 409,
    "export_not_ready": 409,
    "version_mismatch": 412,
    "idempotency_key_reused": 422,
    "invalid_ladder": 422,
    "invalid_calendar": 422,
    "invalid_sla_policy": 422,
    "beyond_horizon": 422,
    "invalid_conditions": 422,
    "invalid_template": 422,
    "invalid_request": 422,
    "invalid_reference": 422,
    "invalid_cursor": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "member_required": 403,
    "wrong_credentials": 401,
    "invalid_signature": 401,
    "organization_required": 403,
    "cross_site_request": 403,
    "origin_not_allowed": 403,
    "sign_up_closed": 403,
    "sign_in_refused": 403,
    "other_account": 403,
    "account_exists": 409,
    "last_owner": 409,
    "invalid_token": 422,
    "weak_password": 422,
    "too_many_attempts": 429,
    "rate_limited": 429,
    "sign_in_unavailable": 503,
    "not_found": 404,
    "method_not_allowed": 405,
    "payload_too_large": 413,
    "internal_error": 500,
    "not_taken": 500,
    "database_unavailable": 503,
    "temporal_unavailable": 503,
    "ticket_workflow_missing": 503,
    "escalation_workflow_missing": 503,
    "outcome_unknown": 504,
}
"""The one table from code to status."""

_TITLES = {
    "illegal_transition": "The ticket cannot make that move",
    "ticket_closed": "The ticket is closed",
    "ticket_not_active": "The ticket is not active",
    "ticket_merged": "The ticket was merged into another one",
    "ticket_merging": "The ticket is being merged",
    "merge_refused": "The tickets cannot be merged",
    "assigned_to_another": "The ticket belongs to somebody else",
    "claimed_by_another": "Somebody else has the conversation",
    "not_claimed": "Nobody has the conversation",
    "escalation_over": "The escalation has ended",
    "already_exists": "It already exists",
    "already_delivered": "It has been delivered",
    "still_in_use": "It is still in use",
    "export_not_ready": "The export cannot be downloaded",
    "version_mismatch": "The ticket has changed",
    "limit_reached": "There are too many already",
    "idempotency_key_reused": "The idempotency key was used for another request",
    "invalid_request": "The request is not valid",
    "invalid_conditions": "The rule's conditions are not valid",
    "invalid_template": "The message template is not valid",
    "invalid_reference": "Something the request names does not exist",
    "outcome_unknown": "The outcome is not known yet",
    "database_unavailable": "The database is away",
    "temporal_unavailable": "Temporal is away",
    "ticket_workflow_missing": "The ticket's workflow is missing",
    "escalation_workflow_missing": "The escalation's workflow is missing",
    "wrong_credentials": "Address or password is wrong",
    "too_many_attempts": "Too many attempts",
    "rate_limited": "Too many requests",
    "invalid_signature": "The signature does not hold",
    "origin_not_allowed": "The page may not use this web chat",
    "not_taken": "The event was not taken in",
    "last_owner": "An organization keeps an owner",
    "invalid_token": "The link does not work any more",
}

RETRY_AFTER_SECONDS = "2"


class Problem(Exception):
    """An error answer; ``extra`` members are added to the document."""

    def __init__(self, code: str, detail: str, **extra: object) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.extra = extra


class ProblemView(BaseModel):
    """An RFC 9457 document. Programs branch on ``code``; people read ``detail``."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:baton:problem:illegal_transition"])
    title: str = Field(examples=["The ticket cannot make that move"])
    status: int = Field(examples=[409])
    code: str = Field(examples=["illegal_transition"])
    detail: str = Field(examples=["A ticket that is open cannot become closed; it can become in_progress, …"])


_IN_DESCRIPTION = f"#/components/schemas/{ProblemView.__name__}"

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    # Not as a model: FastAPI would make its checks anew for every status of every route, a second of each start.
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": _IN_DESCRIPTION}}}}
    for status, description in {
        400: "The cursor is not one of ours",
        401: "No key or session, or one that has ended",
        403: "The role, or the key's scopes, do not allow it; the answer says what would",
        404: "Not in this organization",
        409: "Not as things stand; the answer says what is possible",
        412: "`If-Match` names an older version",
        413: "The body is too large",
        422: "The request is not valid",
        429: "Too many requests, or attempts; `Retry-After` says when to go on",
        503: "Postgres or Temporal is away; send it again",
        504: "Outcome unknown; send it again with the same Idempotency-Key",
    }.items()
}
"""What routes can answer besides success, for the OpenAPI description."""


def not_found(noun: str) -> Problem:
    """The same answer for what does not exist and for what belongs to another organization."""
    return Problem("not_found", f"There is no such {noun} in this organization.")


@contextmanager
def unique_or(detail: str) -> Iterator[None]:
    """Answer ``already_exists`` where the block breaks a uniqueness rule."""
    try:
        yield
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise Problem("already_exists", detail) from None
        raise


def problem_document(code: str, detail: str, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The document, plain JSON values."""
    status = STATUS_OF[code]
    return {
        "type": f"urn:baton:problem:{code}",
        "title": _TITLES.get(code, HTTPStatus(status).phrase),
        "status": status,
        "code": code,
        "detail": detail,
        **(extra or {}),
    }


def invalid_document(error: ValidationError | RequestValidationError) -> dict[str, Any]:
    """What is wrong with a document, without the offending input: it may be a customer's text or a secret."""
    errors = [{"at": "/".join(str(part) for part in e["loc"]), "message": e["msg"]} for e in error.errors()]
    return problem_document("invalid_request", "Mend what `errors` lists and send it again.", {"errors": errors})


def problem_response(code: str, detail: str, extra: Mapping[str, Any] | None = None) -> Response:
    """The document as an answer, with ``Retry-After`` where trying again may help."""
    body = problem_document(code, detail, extra)
    status = STATUS_OF[code]
    headers = {}
    if status in (503, 504):
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    if status == 429:
        headers["Retry-After"] = str((extra or {})["retry_after"])  # seconds, which the document says too
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def install(app: FastAPI) -> None:
    """Make every error of ``app`` a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(DomainError, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(PoolTimeoutError, _database)
    app.add_exception_handler(PsycopgError, _database)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"].setdefault(ProblemView.__name__, ProblemView.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way


async def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error.code, error.detail, error.extra)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    return problem_response(error.code, str(error), error.context)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    document = invalid_document(error)
    return JSONResponse(document, status_code=document["status"], media_type=MEDIA_TYPE)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}
    code = codes.get(error.status_code, "invalid_request")
    response = problem_response(code, f"{error.detail}; the routes and their documents are listed at /docs.")
    response.headers.update(error.headers or {})
    return response


async def _database(request: Request, error: Exception) -> Response:
    log.warning("database_error", route=route_of(request.scope), error=type(error).__name__)
    if not database_is_away(error):
        return _unexpected(request.scope, error)
    return problem_response(
        "database_unavailable", "The database does not answer. Send the request again with the same Idempotency-Key."
    )


def database_is_away(error: Exception) -> bool:
    """Whether the database is away, starting, stopping or overloaded, rather than a statement wrong."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or not _is_own_fault(error)
    return isinstance(error, PoolTimeoutError | PsycopgError)


def _is_own_fault(error: DBAPIError) -> bool:
    if isinstance(error, DataError):  # also what the driver itself cannot take or give, which has no state
        return True
    state = getattr(error.orig, "sqlstate", None)
    away = ("08", "53", "57", "55P03", "40")
    return bool(state) and not str(state).startswith(away)


class LastResort:
    """Answers what no handler knows with 500 and an incident's id, and logs it once.

    A request that takes longer than ``seconds`` is given up and answered too: every wait of ours is bounded, but a
    database that is frozen, rather than away, keeps a connection open and says nothing.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = given_up = False

        async def watched(message: Message) -> None:
            nonlocal started
            if not given_up:
                started = True
                await send(message)

        work = asyncio.ensure_future(self._app(scope, receive, watched))
        try:
            finished, _ = await asyncio.wait([work], timeout=self._seconds)
        except asyncio.CancelledError:
            work.cancel()
            raise
        if not finished and not started:
            given_up = True
            # It is not waited for: to give a frozen connection up takes the driver longer than the client should wait.
            work.cancel()
            work.add_done_callback(_forget)
            log.warning("request_given_up", route=route_of(scope), seconds=self._seconds)
            await _took_too_long()(scope, receive, send)
            return
        try:
            await work
        except Exception as error:
            if started:
                raise
            await _unexpected(scope, error)(scope, receive, send)


def _forget(work: asyncio.Future[None]) -> None:
    """Take note of how it ended, so that nobody is told that nobody did."""
    if not work.cancelled():
        work.exception()


def _took_too_long() -> Response:
    detail = "The request took too long and was given up. Send it again with the same Idempotency-Key."
    return problem_response("outcome_unknown", detail)


def _unexpected(scope: Scope, error: Exception) -> Response:
    incident = str(uuid4())
    log.error("unexpected_error", incident=incident, route=route_of(scope), exc_info=error)
    return problem_response(
        "internal_error", f"This is a defect of Baton. Its log knows it as incident {incident}.", {"incident": incident}
    )
