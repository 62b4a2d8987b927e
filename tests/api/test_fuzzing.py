"""Every operation is sent documents, parameters and headers nobody would think of: no 500, nothing undescribed.

A short run belongs to the tests and is the same each time; ``make fuzz`` sends much more, and other things each time.
"""

import asyncio
import os
import re
from functools import cache
from typing import Any

import httpx
import pytest
import requests
from hypothesis import HealthCheck, given, settings

from domain.permissions import Access
from tests.api.description import DOCUMENT, OPERATIONS, PREFIX, Operation
from tests.api.running import OPERATOR_KEY
from tests.api.tenant import new_tenant
from tests.api.things import Things

EXAMPLES_VARIABLE = "BATON_FUZZ_EXAMPLES"
EXAMPLES = int(os.environ.get(EXAMPLES_VARIABLE, "2"))
"""Of each kind, valid and not, for each operation."""


def _with_iso_durations(part: Any) -> Any:
    """Lengths of time as ISO 8601 has them, where days may follow years; JSON Schema's format allows no such thing."""
    if isinstance(part, list):
        return [_with_iso_durations(each) for each in part]
    if not isinstance(part, dict):
        return part
    if part.get("format") == "duration":
        return {name: value for name, value in part.items() if name != "format"} | {"pattern": r"^-?P[0-9YMWDTHS.]+$"}
    return {name: _with_iso_durations(value) for name, value in part.items()}


@cache
def _described() -> Any:
    """What the library makes of the description; it is imported here, since every process of a run reads this file."""
    import schemathesis

    return schemathesis.openapi.from_dict(_with_iso_durations(DOCUMENT))


# Those for a session alone need a browser's cookie, and the stream of live events does not end.
fuzzed = [
    each
    for each in OPERATIONS
    if each.path.startswith(PREFIX) and each.access is not Access.SIGNED_IN and each.below_prefix != "/events"
]


@pytest.fixture(scope="module")
async def read_only(http: httpx.AsyncClient) -> Things:
    """For all that only reads; an export alone takes seconds to make."""
    return Things(await new_tenant(http))


@pytest.fixture
async def things(http: httpx.AsyncClient, read_only: Things, operation: Operation) -> Things:
    """What paths may name, so that not every answer is 404; in nobody's way who sends something."""
    return read_only if operation.method == "GET" else Things(await new_tenant(http))


@pytest.mark.parametrize("operation", fuzzed, ids=str)
async def test_nothing_a_client_sends_is_answered_otherwise_than_described(
    http: httpx.AsyncClient, things: Things, operation: Operation
) -> None:
    real = await things.fill(operation.below_prefix)
    found = re.fullmatch(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", operation.below_prefix), real)
    assert found
    key = OPERATOR_KEY if operation.path == f"{PREFIX}/organizations" else things.tenant.key
    # In a thread of its own, since it knows nothing of the event loop that the API runs on.
    await asyncio.to_thread(_send, operation, str(http.base_url), key, found.groupdict())


def _send(operation: Operation, base_url: str, key: str, names: dict[str, Any]) -> None:
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    expected = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    with requests.Session() as session:
        session.trust_env = False
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            target = _described()[operation.path][operation.method]

            @settings(
                max_examples=EXAMPLES,
                derandomize=EXAMPLES_VARIABLE not in os.environ,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(case=target.as_strategy(generation_mode=mode))
            def attempt(case: Any) -> None:
                case.path_parameters = {**case.path_parameters, **names} if names else case.path_parameters
                headers = {"Authorization": f"Bearer {key}"}
                response = case.call(base_url=base_url, session=session, headers=headers, timeout=20)
                case.validate_response(response, checks=expected)

            attempt()
