import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.app import LARGEST_BODY
from tests.api.running import OPERATOR_KEY
from tests.api.tenant import Tenant, new_tenant

SECRET = "the-customers-own-words"
JSON = {"Content-Type": "application/json"}
NOBODYS = "00000000-0000-4000-8000-000000000000"


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """An RFC 9457 document that tells nothing of our inside, nor repeats what the customer said."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    assert problem["type"] == f"urn:baton:problem:{code}"
    assert problem["title"]
    assert problem["detail"]
    for inside in (SECRET, "Traceback", "psycopg", "sqlalchemy", "asyncpg", "Error(", 'File "', "SELECT ", "pydantic"):
        assert inside not in answer.text
    return problem


@pytest.fixture(scope="module")
async def somebody(http: httpx.AsyncClient) -> Tenant:
    """An organization whose requests are all refused."""
    return await new_tenant(http)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", f"/api/v1/tickets/{NOBODYS}/nothing", 404, "not_found"),
        ("PUT", "/api/v1/tickets", 405, "method_not_allowed"),
        ("DELETE", f"/api/v1/tickets/{NOBODYS}", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("GET", "/api/v1/tickets/7", 422, "invalid_request"),
        ("GET", f"/api/v1/tickets/{NOBODYS}", 404, "not_found"),
    ],
)
async def test_routes_that_are_not_there(somebody: Tenant, method: str, path: str, status: int, code: str) -> None:
    answer = await somebody.client.request(method, path, headers=somebody.authorization)
    assert_problem(answer, status, code)
    assert ("Allow" in answer.headers) == (status == 405)


async def test_body_that_is_too_large_is_refused_announced_or_not(somebody: Tenant) -> None:
    fits = json.dumps({"title": SECRET, "description": ""}).encode()
    room = b" " * (LARGEST_BODY - len(fits))

    async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    for body in (fits + room + b" ", fits + room * 3):
        assert_problem(await somebody.call("POST", "/tickets", content=body, headers=JSON), 413, "payload_too_large")
        assert_problem(
            await somebody.call("POST", "/tickets", content=in_pieces(body), headers=JSON), 413, "payload_too_large"
        )
    assert (await somebody.call("POST", "/tickets", content=fits + room, headers=JSON)).status_code == 201
    assert (await somebody.call("POST", "/tickets", content=in_pieces(fits + room), headers=JSON)).status_code == 201


BODIES = {
    "nothing": b"",
    "half a document": b'{"title": "the-customers-own-words',
    "no document": b"the-customers-own-words",
    "a list": b'["the-customers-own-words"]',
    "a word": b'"the-customers-own-words"',
    "null": b"null",
    "latin-1": '{"title": "the-customers-own-words \u00e9"}'.encode("latin-1"),
    "a number without end": b'{"title": ' + b"9" * 10_000 + b"}",
    "unknown field": b'{"title": "A", "the-title": "the-customers-own-words"}',
    "no title": b'{"description": "the-customers-own-words"}',
    "empty title": b'{"title": "  "}',
    "long title": b'{"title": "the-customers-own-words' + b"x" * 200 + b'"}',
    "long description": b'{"title": "A", "description": "' + b"x" * 20_001 + b'"}',
    "too many tags": json.dumps({"title": "A", "tags": [str(number) for number in range(51)]}).encode(),
    "wrong priority": b'{"title": "A", "priority": "the-customers-own-words"}',
    "wrong type": b'{"title": {"a": "the-customers-own-words"}}',
    "number for a text": b'{"title": 7}',
    "NUL in a title": b'{"title": "the-customers-own-words\\u0000"}',
    "NUL in a tag": b'{"title": "A", "tags": ["\\u0000"]}',
    "NUL in a name": b'{"title": "A", "requester": {"name": "\\u0000"}}',
    "half a character in a title": b'{"title": "the-customers-own-words \\ud800"}',
    "half a character in a field's name": b'{"title": "A", "\\ud800": "the-customers-own-words"}',
    "half a character in a tag": b'{"title": "A", "tags": ["\\udfff"]}',
    "an id that is none": b'{"title": "A", "team_id": "the-customers-own-words"}',
    "not a number": b'{"title": NaN}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
async def test_documents_that_cannot_be_taken(somebody: Tenant, body: bytes) -> None:
    for key in (None, str(uuid4())):
        answer = await somebody.call("POST", "/tickets", content=body, headers=JSON, key=key)
        assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
async def test_deep_nesting_is_refused_at_every_depth(somebody: Tenant, opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for depth in (50, *range(600, 1000, 10), 5_000, 100_000):
        nested = opening * depth + b"1" + closing * depth
        answer = await somebody.call("POST", "/tickets", content=b'{"title": "A", "x": ' + nested + b"}", headers=JSON)
        assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"])
async def test_document_of_another_media_type_is_refused(somebody: Tenant, kind: str) -> None:
    answer = await somebody.call("POST", "/tickets", content=b'{"title": "A"}', headers={"Content-Type": kind})
    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"Idempotency-Key": ""},
        {"Idempotency-Key": "two words"},
        {"Idempotency-Key": "x" * 201},
        {"Idempotency-Key": "\u00e9".encode()},
        {"Baton-On-Behalf-Of": "somebody"},
        {"If-Match": "7"},
        {"If-Match": '"x"'},
        {"If-Match": '"9999999999"'},
    ],
    ids=str,
)
async def test_headers_that_make_no_sense_are_refused(somebody: Tenant, headers: dict[str, Any]) -> None:
    ticket = await somebody.ticket()
    answer = await somebody.call("PATCH", f"/tickets/{ticket['id']}", {"title": "B"}, headers=headers)
    assert_problem(answer, 422, "invalid_request")
    assert await somebody.reload(ticket) == ticket


@pytest.mark.parametrize("authorization", ["Bearer \u00e9", "Bearer", "Bearer " + "x" * 5_000])
async def test_key_that_cannot_be_one_is_refused(http: httpx.AsyncClient, authorization: str) -> None:
    answer = await http.get("/api/v1/tickets", headers={b"Authorization": authorization.encode()})
    assert_problem(answer, 401, "unauthorized")


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/organization", {"auto_close_after": "P0D"}),
        ("/organization", {"auto_close_after": "-P1D"}),
        ("/organization", {"reopen_window": "P4000D"}),
        ("/organization", {"reopen_window": "soon"}),
        ("/organization", {"reopen_window": 1e400}),
        ("/organization", {"name": "x" * 101}),
    ],
    ids=str,
)
async def test_settings_that_make_no_sense_are_refused(somebody: Tenant, path: str, document: dict[str, Any]) -> None:
    answer = await somebody.call("PATCH", path, content=json.dumps(document).encode(), headers=JSON)
    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [{"after": "P2D", "action": "remind"}, {"after": "P1D", "action": "remind"}],
        [{"after": "P1D", "action": "resolve"}, {"after": "P2D", "action": "remind"}],
        [{"after": "P400D", "action": "remind"}],
        [{"after": "PT0S", "action": "remind"}],
        [{"after": "P1D", "action": "the-customers-own-words"}],
    ],
    ids=str,
)
async def test_ladder_that_could_not_run_is_refused(somebody: Tenant, steps: list[dict[str, str]]) -> None:
    answer = await somebody.call("POST", "/reminder-ladders", {"name": "A", "steps": steps})
    assert_problem(answer, 422, answer.json()["code"])
    assert answer.json()["code"] in ("invalid_request", "invalid_ladder")


@pytest.mark.parametrize(
    "sent_at", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-22T10:00:00", "yesterday", "9" * 30]
)
async def test_message_sent_outside_of_time_is_refused(somebody: Tenant, sent_at: str) -> None:
    ticket = await somebody.ticket()
    assert_problem(await somebody.message(ticket, body=SECRET, sent_at=sent_at), 422, "invalid_request")
    assert (await somebody.get(f"/tickets/{ticket['id']}/messages"))["items"] == []
    assert await somebody.reload(ticket) == ticket


async def test_what_exists_already_is_not_made_again(somebody: Tenant) -> None:
    await somebody.post("/members", {"name": "Ana", "email": "ana@example.com"})
    again = await somebody.call("POST", "/members", {"name": "Ana", "email": "ANA@example.com"})
    assert_problem(again, 409, "already_exists")
    team = await somebody.team()
    assert_problem(await somebody.call("POST", "/teams", {"name": team["name"]}), 409, "already_exists")


async def test_team_with_tickets_is_kept_until_they_are_closed(tenant: Tenant) -> None:
    team = await tenant.team()
    ticket = await tenant.ticket("resolved", team_id=team["id"])
    refusal = await tenant.call("DELETE", f"/teams/{team['id']}")
    assert_problem(refusal, 409, "still_in_use")
    await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "closed"})
    assert (await tenant.call("DELETE", f"/teams/{team['id']}")).status_code == 204
    assert_problem(await tenant.call("GET", f"/teams/{team['id']}"), 404, "not_found")


async def test_organizations_name_is_checked_for_the_operator_too(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/api/v1/organizations", json={"name": " "}, headers={"Authorization": f"Bearer {OPERATOR_KEY}"}
    )
    assert_problem(answer, 422, "invalid_request")
