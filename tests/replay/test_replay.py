"""Running tickets must survive a new version of the code: recorded lives take the same course."""

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from activities.signatures import Recorded, TicketBatch
from tests.replay.record import HISTORIES, IDENTITY
from worker import WORKFLOWS
from workflows import steps
from workflows.payloads import data_converter

NAMES = sorted(file.stem for file in HISTORIES.glob("*.json"))


async def replay(name: str) -> None:
    history = WorkflowHistory.from_json(name, text_of(name))
    await Replayer(workflows=WORKFLOWS, data_converter=data_converter).replay_workflow(history)


def text_of(name: str) -> str:
    return (HISTORIES / f"{name}.json").read_text()


def events(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text_of(name))["events"]
    return found


@pytest.mark.parametrize("name", NAMES)
async def test_recorded_life_takes_the_same_course(name: str) -> None:
    await replay(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("waiting-to-the-end", "TIMER_FIRED"),
        ("waiting-to-the-end", "WORKFLOW_EXECUTION_COMPLETED"),
        ("customer-answers", "TIMER_CANCELED"),
        ("reassigned-to-the-supervisor", "TIMER_FIRED"),
        ("reopened-while-resolved", "WORKFLOW_EXECUTION_SIGNALED"),
        ("reopened-after-closed-1", "WORKFLOW_EXECUTION_COMPLETED"),
        ("reopened-after-closed-2", "WORKFLOW_EXECUTION_UPDATE_ACCEPTED"),
        ("refused-submission", "WORKFLOW_EXECUTION_SIGNALED"),
        ("continued-as-new-1", "WORKFLOW_EXECUTION_CONTINUED_AS_NEW"),
        ("continued-as-new-2", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"),
        ("burst", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"),
        ("follow-up", "ACTIVITY_TASK_COMPLETED"),
        ("promise-broken", "TIMER_FIRED"),
        ("rules-changed", "WORKFLOW_EXECUTION_SIGNALED"),
        ("rollout", "WORKFLOW_EXECUTION_COMPLETED"),
        ("backtest", "WORKFLOW_EXECUTION_COMPLETED"),
        ("deliveries", "WORKFLOW_EXECUTION_SIGNALED"),
        ("deliveries", "ACTIVITY_TASK_CANCELED"),
        ("deliveries", "WORKFLOW_EXECUTION_COMPLETED"),
        ("assigned-by-turn", "TIMER_FIRED"),
        ("waited-in-queue", "WORKFLOW_EXECUTION_SIGNALED"),
        ("hand-out", "WORKFLOW_EXECUTION_COMPLETED"),
        ("owner-removed", "WORKFLOW_EXECUTION_SIGNALED"),
        ("member-removal", "WORKFLOW_EXECUTION_COMPLETED"),
        ("mails-of-member", "TIMER_FIRED"),
        ("mails-of-member", "START_CHILD_WORKFLOW_EXECUTION_INITIATED"),
        ("mail", "WORKFLOW_EXECUTION_COMPLETED"),
        ("sweep", "WORKFLOW_EXECUTION_COMPLETED"),
        ("merged", "WORKFLOW_EXECUTION_COMPLETED"),
        ("absorbed", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"),
        ("erased-1", "WORKFLOW_EXECUTION_CONTINUED_AS_NEW"),
        ("erased-2", "WORKFLOW_EXECUTION_UPDATE_COMPLETED"),
        ("erasure", "WORKFLOW_EXECUTION_COMPLETED"),
        ("export", "TIMER_FIRED"),
    ],
)
def test_recording_shows_what_its_name_says(name: str, kind: str) -> None:
    assert f"EVENT_TYPE_{kind}" in {event["eventType"] for event in events(name)}


@pytest.mark.parametrize("name", NAMES)
def test_history_looks_like_one_of_production_and_names_no_machine(name: str) -> None:
    assert "TIME_SKIPPING" not in text_of(name)
    details = [value for event in events(name) for key, value in event.items() if key.endswith("EventAttributes")]
    assert {each["identity"] for each in details if "identity" in each} == {IDENTITY}


# That the test above can fail

Record = Callable[[TicketBatch], Awaitable[Recorded]]


def with_another_activity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "RECORD_TICKET", "write_ticket")


def with_a_pause_before_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    record: Record = steps.record

    async def later(batch: TicketBatch) -> Recorded:
        await workflow.sleep(timedelta(seconds=1))
        return await record(batch)

    monkeypatch.setattr(steps, "record", later)


@pytest.mark.parametrize("change", [with_another_activity, with_a_pause_before_recording])
async def test_changed_course_is_noticed(
    change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    change(monkeypatch)
    for name in ("waiting-to-the-end", "burst", "reopened-after-closed-2"):
        with pytest.raises(workflow.NondeterminismError):
            await replay(name)
