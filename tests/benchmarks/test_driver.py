"""Trouble with one conversation stops that one; trouble with all of them stops the replay."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from benchmarks.replay.api_client import Api, ApiAway
from benchmarks.replay.driver import Driver, StepFailed
from benchmarks.replay.journal import Header, Journal, Tenant, open_journal
from benchmarks.replay.plan import Habits, plan
from benchmarks.replay.stream import read_stream
from tests.benchmarks.streams import line, write

HEADER = Header(digest="d", seed=1, speed_up=1e9, target="http://api", run="r")
MESSAGES = [line(number, f"c{2 * (number % 3)}", hours=number) for number in range(12)]
"""Three conversations of four messages, all of one brand."""


class Troubled:
    """An API that takes everything but the messages of the conversations ``trouble``, to which it gives ``answer``."""

    def __init__(self, trouble: tuple[str, ...], answer: int) -> None:
        self.trouble = trouble
        self.answer = answer
        self.untold: set[str] = set()
        self.batches: list[int] = []
        self.taken: list[str] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        document = json.loads(request.content)
        await asyncio.sleep(0)  # others may hand in theirs meanwhile
        if request.url.path == "/api/v1/messages/batch":
            rows = document["messages"]
            self.batches.append(len(rows))
            if self.answer >= 500 and any(row["conversation"] in self.trouble for row in rows):
                return httpx.Response(self.answer, json={"code": "some_code"})
            return httpx.Response(200, json={"rows": [self._row(row) for row in rows]})
        conversation = request.url.path.split("/")[4]
        if conversation in self.trouble:
            return httpx.Response(self.answer, json={"code": "some_code"})
        return httpx.Response(201, json=self._view(document))

    def _row(self, row: dict[str, str]) -> dict[str, object]:
        if row["conversation"] in self.trouble:
            return {"status": "refused", "message": None, "problem": {"code": "some_code"}}
        if row["external_id"] in self.untold:
            self.untold.remove(row["external_id"])
            return {"status": "untold", "message": None, "problem": {"code": "temporal_unavailable"}}
        return {"status": "stored", "message": self._view(row)}

    def _view(self, row: dict[str, str]) -> dict[str, object]:
        self.taken.append(row["external_id"])
        request = {"requested": False, "decided_by": "builtin"}
        return {"ticket_id": None, "decisions": [], "reading": {"sentiment": None, "human_request": request}}


async def _drive(journal: Journal, api: Troubled, folder: Path) -> bool:
    stream = read_stream(write(folder / "stream", MESSAGES))
    # Agents who ignore everything leave the customers' own steps, and an assignment each, which needs a ticket.
    plans = plan(stream, 1, 4, Habits(ignored=1, hands_over=0))
    tenant = Tenant(
        brand="North",
        id="o",
        api_key="k",
        team_ids={},
        member_ids=("a",) * 4,
        supervisor_id="s",
        channel_ids={"api": "ch"},
    )
    if "North" not in journal.tenants:
        journal.write(tenant)
    transport = httpx.MockTransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await Driver(Api(client, "http://api", 0.3), journal, plans, 1e9, 16, asyncio.Event()).run()


def _sent(journal: Journal) -> set[str]:
    return {key.split(":")[0] for key in journal.done if key.endswith(":tell")}


async def test_a_conversation_without_a_final_answer_is_left_for_the_next_run(tmp_path: Path) -> None:
    with open_journal(tmp_path / "state", HEADER) as journal:
        with pytest.raises(ApiAway, match="All is sent but 1 conversations"):
            await _drive(journal, Troubled(("c2",), 504), tmp_path)
        assert _sent(journal) == {each["message"] for each in MESSAGES if each["conversation"] != "c2"}
    with open_journal(tmp_path / "state", HEADER) as journal:
        assert await _drive(journal, Troubled((), 0), tmp_path)
        assert _sent(journal) == {each["message"] for each in MESSAGES}


async def test_messages_that_wait_together_go_in_together_and_those_of_a_conversation_in_order(tmp_path: Path) -> None:
    api = Troubled((), 0)
    with open_journal(tmp_path / "state", HEADER) as journal:
        assert await _drive(journal, api, tmp_path)
        assert {done.ticket_id for done in journal.done.values()} == {""}
    assert max(api.batches) > 1
    for conversation in range(3):
        own = [int(name.removeprefix("twitter:m")) for name in api.taken]
        own = [number for number in own if number % 3 == conversation]
        assert own == sorted(own)
        assert len(own) == 4


async def test_a_message_of_a_batch_whose_ticket_was_away_goes_in_again(tmp_path: Path) -> None:
    api = Troubled((), 0)
    api.untold = {f"twitter:{each['message']}" for each in MESSAGES[:3]}
    with open_journal(tmp_path / "state", HEADER) as journal:
        assert await _drive(journal, api, tmp_path)
        assert _sent(journal) == {each["message"] for each in MESSAGES}
    assert api.untold == set()
    assert len(api.taken) == len(MESSAGES)


async def test_an_api_that_answers_nobody_stops_the_replay(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "state", HEADER) as journal,
        pytest.raises(ApiAway, match="has given no final answer"),
    ):
        await _drive(journal, Troubled(("c0", "c2", "c4"), 503), tmp_path)


async def test_a_refusal_that_should_not_be_stops_the_replay_and_names_the_step(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "state", HEADER) as journal,
        pytest.raises(StepFailed, match=r"refused the step m1:tell .*some_code"),
    ):
        await _drive(journal, Troubled(("c2",), 422), tmp_path)
