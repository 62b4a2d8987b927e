"""A write is sent again under its key until it is answered, and nothing else is sent again."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest

from benchmarks.replay.api_client import Api, ApiAway, Caller, Refused

Answer = httpx.Response | httpx.TransportError
DONE = {"id": "t1"}


@asynccontextmanager
async def _api(
    answers: Sequence[Callable[[], Answer]], patience: float = 30
) -> AsyncIterator[tuple[Caller, list[str]]]:
    """An API that gives these answers in turn, the last one for good, and the keys it was sent."""
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        given = answers[min(len(keys), len(answers) - 1)]()
        keys.append(request.headers.get("Idempotency-Key", ""))
        if isinstance(given, httpx.TransportError):
            raise given
        return given

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://api") as client:
        yield Api(client, "http://api", patience).caller("key of the organization"), keys


PASSING: dict[str, Callable[[], Answer]] = {
    "Postgres or Temporal is away": lambda: httpx.Response(503, json={"code": "temporal_unavailable"}),
    "the outcome is not known": lambda: httpx.Response(504, json={"code": "outcome_unknown"}),
    "a proxy without a document": lambda: httpx.Response(502, text="Bad Gateway"),
    "nobody listens": lambda: httpx.ConnectError("refused"),
    "the answer is lost": lambda: httpx.ReadTimeout("late"),
    "the server goes": lambda: httpx.RemoteProtocolError("disconnected"),
}


@pytest.mark.parametrize("passing", PASSING.values(), ids=PASSING)
async def test_what_passes_is_waited_out_under_the_same_key(passing: Callable[[], Answer]) -> None:
    async with _api([passing, passing, lambda: httpx.Response(201, json=DONE)]) as (caller, keys):
        assert await caller.post("/tickets", {}, "m1:ticket", "create") == DONE
    assert keys == ["m1:ticket"] * 3
    (request,) = caller.requests
    assert (request.attempts, request.status) == (3, 201)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 412, 422, 500])
async def test_a_refusal_is_final_and_says_its_code(status: int) -> None:
    async with _api([lambda: httpx.Response(status, json={"code": "some_code"})]) as (caller, keys):
        with pytest.raises(Refused, match="some_code") as refused:
            await caller.post("/tickets", {}, "m1:ticket", "create")
    assert (refused.value.status, refused.value.code, len(keys)) == (status, "some_code", 1)


async def test_an_api_that_stays_away_is_given_up_with_what_to_do() -> None:
    async with _api([PASSING["nobody listens"]], patience=0.2) as (caller, _):
        with pytest.raises(ApiAway, match="run the same command to go on"):
            await caller.get("/tickets")


async def test_a_ticket_that_a_message_has_caused_is_awaited_before_it_is_used() -> None:
    answers = [
        lambda: httpx.Response(404, json={"code": "not_found"}),
        lambda: httpx.Response(200, json=DONE),
    ]
    async with _api(answers) as (caller, keys):
        assert await caller.shown("/tickets/t1") == DONE
    assert len(keys) == 2


async def test_a_ticket_that_does_not_show_is_not_awaited_for_ever() -> None:
    async with _api([lambda: httpx.Response(404, json={"code": "not_found"})], patience=0.2) as (caller, _):
        with pytest.raises(Refused, match="not_found"):
            await caller.shown("/tickets/t1")


async def test_every_page_of_a_list_is_read() -> None:
    pages = [{"items": [1, 2], "next_cursor": "a"}, {"items": [3], "next_cursor": None}]
    async with _api([lambda: httpx.Response(200, json=pages[0]), lambda: httpx.Response(200, json=pages[1])]) as (
        caller,
        _,
    ):
        assert await caller.pages("/tickets") == [1, 2, 3]
