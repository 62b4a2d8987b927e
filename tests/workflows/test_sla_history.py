"""What SLA clocks leave in Temporal: timers, search attributes, and words in its UI."""

from collections import Counter
from datetime import timedelta

from temporalio.api.enums.v1 import EventType
from temporalio.api.sdk.v1 import WorkflowMetadata

from domain.clocks import Metric
from domain.ladders import RaisePriority
from domain.sla_notices import METRIC_WORDS
from domain.ticket import Status
from tests.workflows.acts import ask, of_the_sla, reply
from tests.workflows.life import Life
from tests.workflows.rules import Rules, step
from workflows.search_attributes import TICKET_BREACHED

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVERY = {Metric.FIRST_RESPONSE: 2 * HOUR, Metric.NEXT_RESPONSE: 2 * HOUR, Metric.RESOLUTION: 2 * DAY}


async def timer_events(life: Life) -> Counter[str]:
    """How many events of timers the latest run's history has, by what each timer was for."""
    purpose: dict[int, str] = {}
    found: Counter[str] = Counter()
    async for event in life.handle.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED:
            [purpose[event.event_id]] = await life.office.client.data_converter.decode(
                [event.user_metadata.summary], [str]
            )
            found[purpose[event.event_id]] += 1
        elif event.event_type == EventType.EVENT_TYPE_TIMER_FIRED:
            found[purpose[event.timer_fired_event_attributes.started_event_id]] += 1
        elif event.event_type == EventType.EVENT_TYPE_TIMER_CANCELED:
            found[purpose[event.timer_canceled_event_attributes.started_event_id]] += 1
    return found


def of_metrics(events: Counter[str]) -> dict[Metric, int]:
    return {
        metric: sum(times for purpose, times in events.items() if purpose.startswith(words))
        for metric, words in METRIC_WORDS.items()
    }


async def test_ticket_that_never_breaches_writes_at_most_four_timer_events_a_metric(rules: Rules) -> None:
    await rules.policy(EVERY)
    life = await rules.office.ticket(assignee="Ana")
    await life.let_pass(1.8 * HOUR)  # warned
    await reply(life)
    await life.let_pass(HOUR)
    await ask(life)
    await life.let_pass(1.8 * HOUR)  # warned again
    await reply(life)
    await life.let_pass(1.7 * DAY)  # and of the resolution, too
    await life.move(Status.RESOLVED, "Ana")
    await life.settled()
    assert [metric for _, metric in await of_the_sla(life)] == ["first_response", "next_response", "resolution"]
    counted = of_metrics(await timer_events(life))
    assert all(times <= 4 for times in counted.values()), counted
    assert sum(counted.values()) > 6


async def test_search_attribute_says_whether_a_metric_is_breached(rules: Rules) -> None:
    await rules.policy({Metric.NEXT_RESPONSE: 2 * HOUR})
    life = await rules.office.ticket(assignee="Ana")

    async def breached() -> bool | None:
        await life.settled()
        return (await life.handle.describe()).typed_search_attributes.get(TICKET_BREACHED)

    await reply(life)
    await ask(life)
    assert await breached() is False
    await life.let_pass(3 * HOUR)
    assert await breached() is True
    await reply(life)
    assert await breached() is True  # answered late is still breached
    await ask(life)
    assert await breached() is False  # the next episode


async def test_details_in_the_temporal_ui_list_deadlines_and_ladders_in_words(rules: Rules) -> None:
    ladder = await rules.ladder(step(HOUR, RaisePriority()))
    await rules.policy(EVERY, name="Gold_1", escalation_ladder_id=ladder)
    life = await rules.office.ticket(assignee="Ana")
    first = (await life.settled()).clocks.first_response
    lines = await details(life)
    assert f"- First response: due {first.due_at:%Y-%m-%d %H:%M} UTC (Gold\\_1 v1)" in lines
    assert waits(lines) == [
        "The first response is due soon.",
        "The first response is due",
        "The resolution is due soon.",
        "The resolution is due",
    ]
    breached_at = (await life.let_pass(2.5 * HOUR)).clocks.first_response.breached_at
    lines = await details(life)
    assert f"- First response: **breached** {breached_at:%Y-%m-%d %H:%M} UTC (Gold\\_1 v1)" in lines
    assert waits(lines)[0] == "The first response breached: raise the priority"


def waits(lines: list[str]) -> list[str]:
    """What the details say will happen by itself, the next first."""
    return [line.partition("UTC: ")[2] for line in lines if line.startswith("1. ")]


async def details(life: Life) -> list[str]:
    """What a supervisor reads of the ticket."""
    metadata: WorkflowMetadata = await life.handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    return metadata.current_details.splitlines()
