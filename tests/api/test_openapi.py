from collections import Counter

import httpx
import pytest

from domain.permissions import Access
from tests.api.description import DOCUMENT, OPERATIONS, PREFIX, Operation
from tests.api.tenant import Json, Tenant
from tests.api.things import Things

every_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=str)
inside = [operation for operation in OPERATIONS if operation.path.startswith(PREFIX)]
SECURITY: dict[Access, list[Json]] = {
    Access.GRANTED: [{"HTTPBearer": []}, {"Session": []}],
    Access.OPERATOR: [{"HTTPBearer": []}],
    Access.SIGNED_IN: [{"Session": []}],
    Access.VISITOR: [{"Visitor": []}],
    Access.PUBLIC: [],
}


@every_operation
def test_every_operation_is_described(operation: Operation) -> None:
    details = operation.details
    assert details["summary"]
    assert len(details["tags"]) == 1
    successes = {status: answer for status, answer in details["responses"].items() if status.startswith("2")}
    assert successes
    for status, answer in successes.items():
        content = answer.get("content", {})
        # All answers are JSON, but for the stream of live events and files.
        media = (
            "text/event-stream"
            if operation.below_prefix in ("/events", "/webchat/{channel_id}/events")
            else "application/json"
        )
        files = [each for each in content if each not in ("application/json", media)]
        assert bool(files or content.get(media, {}).get("schema")) == (status != "204")


@pytest.mark.parametrize("operation", inside, ids=str)
def test_every_operation_says_which_problems_it_answers_with(operation: Operation) -> None:
    answers = operation.details["responses"]
    for status in ("401", "404", "422", "503", "504"):
        assert answers[status]["content"] == {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}
        }
    assert operation.access is not None
    assert operation.details.get("security", []) == _security(operation)


def _security(operation: Operation) -> list[Json]:
    if operation.access is Access.CHANNEL:
        return [{"Chatwoot": []}] if operation.path.endswith("/chatwoot") else [{"StandardWebhooks": []}]
    assert operation.access is not None
    return SECURITY[operation.access]


def test_operation_ids_are_unique() -> None:
    ids = Counter(operation.details["operationId"] for operation in OPERATIONS)
    assert [each for each, times in ids.items() if times > 1] == []


# What is sent at the doors is known by its time and place: tests/api/test_doors.py.
taking = [
    operation
    for operation in inside
    if "requestBody" in operation.details and operation.access in (Access.GRANTED, Access.OPERATOR)
]


@pytest.mark.parametrize("operation", taking, ids=str)
async def test_every_document_has_examples_that_work(tenant: Tenant, operation: Operation) -> None:
    assert operation.examples
    things = Things(tenant)
    path = await things.fill(operation.below_prefix)
    for example in operation.examples:
        answer = await things.send(operation.method, path, example)
        # An example cannot know anybody's ids.
        assert answer.is_success or answer.json()["code"] in ("invalid_reference", "already_exists"), answer.text


async def test_the_description_and_its_page_are_served(http: httpx.AsyncClient) -> None:
    assert (await http.get("/openapi.json")).json() == DOCUMENT
    page = await http.get("/docs")
    assert (page.status_code, "swagger" in page.text.casefold()) == (200, True)
