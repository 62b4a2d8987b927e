"""Agents wait for what they have done to show before they go on with it."""

from datetime import UTC, datetime

import httpx

from benchmarks.replay.api_client import Api
from benchmarks.replay.desk import Act, Desk
from benchmarks.replay.door import Door
from benchmarks.replay.journal import Tenant
from benchmarks.replay.plan import Kind, Step
from benchmarks.replay.stream import StreamMessage

ESCALATION = "e1"
LOOKS = 3


class Behind:
    """An API in which a takeover holds at once, and shows only when it is looked at for the third time."""

    def __init__(self) -> None:
        self.looks = 0
        self.sent: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.sent.append(request.url.path.rsplit("/", 1)[1])
        if self.sent[-1:] == ["takeover"] and request.method == "POST":
            return httpx.Response(201, json={"id": ESCALATION}, headers={"Baton-Read-Model": "pending"})
        if request.method == "GET":
            self.looks += 1
        shown = self.looks >= LOOKS
        return httpx.Response(200 if shown else 404, json={"id": ESCALATION} if shown else {"code": "not_found"})


async def test_a_conversation_taken_over_is_ended_once_its_escalation_shows() -> None:
    message = StreamMessage(
        conversation="c1",
        message="m1",
        at=datetime(2015, 2, 16, tzinfo=UTC),
        brand="North",
        channel="twitter",
        text="Where is my bag?",
    )
    tenant = Tenant(
        brand="North",
        id="o",
        api_key="k",
        team_ids={},
        member_ids=("a",),
        supervisor_id="s",
        channel_ids={"api": "ch"},
    )
    behind = Behind()
    async with httpx.AsyncClient(transport=httpx.MockTransport(behind), base_url="http://api") as client:
        caller = Api(client, "http://api").caller("k")
        desk = Desk(caller, tenant, Door(caller))
        did = []
        for kind in (Kind.TAKE_OVER, Kind.SETTLE):
            await desk.do(Step(kind, message.at, message))
            did.append(desk.act)
    assert did == [Act("took over", ESCALATION), Act("resolved", ESCALATION)]
    assert (behind.sent, behind.looks) == (["takeover", "resolve"], LOOKS)
