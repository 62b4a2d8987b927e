"""A worker that was away when clocks fell due; in real time, with targets of seconds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.client import Client

from db.engine import Sessions
from domain.clocks import Metric, Verdict
from domain.commands import AgentReplied
from domain.ladders import Notify, RaisePriority, Target
from settings import Settings
from tests.support import eventually
from tests.workflows.life import Life
from tests.workflows.office import Office
from tests.workflows.rules import Rules, step
from worker import make_worker

SECOND = timedelta(seconds=1)
FIRST_RESPONSE = Metric.FIRST_RESPONSE
TARGET = 8 * SECOND
"""Longer than a worker takes to record a few tickets and to stop, also on a busy machine."""


@pytest.fixture
async def office(temporal_client: Client, settings: Settings, sessions: Sessions) -> Office:
    """One that nobody works for but ``at_work``."""
    own = settings.model_copy(update={"temporal_task_queue": f"tickets-{uuid4()}"})
    return await Office(temporal_client, own, sessions).open()


@asynccontextmanager
async def at_work(office: Office) -> AsyncIterator[None]:
    async with make_worker(office.client, office.settings, office.sessions):
        yield


async def answer(life: Life, at: datetime) -> None:
    """Written at ``at``, and told now."""
    await life.tell(AgentReplied(message_id=uuid4(), at=at, actor=life.office.members["Ana"]))


async def test_what_fell_due_while_the_worker_was_away_is_done_once_in_order_and_says_how_late(office: Office) -> None:
    rules = Rules(office)
    ladder = await rules.ladder(step(SECOND, Notify(targets=(Target.SUPERVISORS,))), step(SECOND, RaisePriority()))
    await rules.policy({FIRST_RESPONSE: TARGET}, warn_at=0.9, escalation_ladder_id=ladder)
    async with at_work(office):
        silent, in_time, too_late = [await office.ticket(assignee="Ana") for _ in range(3)]
        warn_at, due_at = await deadlines(silent)
        _, due_in_time = await deadlines(in_time)
        _, due_too_late = await deadlines(too_late)

    await eventually(lambda: datetime.now(UTC) > due_too_late + 2 * SECOND, timeout=30)
    await answer(in_time, due_in_time)
    await answer(too_late, due_too_late + SECOND)
    back_at = datetime.now(UTC)

    async with at_work(office):
        await eventually(lambda: _tells(silent, ["sla_warning", "sla_breached", "ladder_step", "ladder_step"]), 30)
        await eventually(lambda: _tells(in_time, ["agent_replied", "start"]), 30)
        await eventually(lambda: _tells(too_late, ["agent_replied", "start"]), 30)
        told = [("Ana", "ticket_assigned")]
        assert await silent.told() == [
            *told,
            *[("Ana", "sla_warning"), ("Ana", "sla_breached"), ("Sue", "ticket_escalated")],
        ]
        assert await in_time.told() == await too_late.told() == told  # nobody could do anything about it any more
        assert [(await life.live()).timers for life in office.lives] == [()] * 3
        await office.check()

    missed = [event for event in await silent.events() if "late_seconds" in event.about]
    assert [datetime.fromisoformat(event.about["due_at"]) for event in missed] == [
        warn_at,
        due_at,
        due_at + SECOND,
        due_at + 2 * SECOND,
    ]
    for event in missed:
        late = event.at - datetime.fromisoformat(event.about["due_at"])
        assert event.at > back_at
        assert event.about["late_seconds"] == pytest.approx(late.total_seconds(), abs=0.001)
    for life, verdict in ((silent, Verdict.BREACHED), (in_time, Verdict.MET), (too_late, Verdict.BREACHED)):
        ticket = await life.row()
        assert ticket
        assert ticket.clocks.first_response.verdict is verdict
    answered = (await too_late.events())[1]
    assert [(each["kind"], each["late_by"]) for each in answered.clock_events] == [
        ("breach", "PT1S"),
        ("fulfil", "PT0S"),
    ]


async def deadlines(life: Life) -> tuple[datetime, datetime]:
    """When the first response is warned of, and due."""
    clock = (await life.settled()).clocks.first_response
    assert clock.warn_at
    assert clock.due_at
    return clock.warn_at, clock.due_at


async def _tells(life: Life, story: list[str]) -> bool:
    assert [str(event.about.get("move", event.kind)) for event in (await life.events())[1:]] == story
    return True
