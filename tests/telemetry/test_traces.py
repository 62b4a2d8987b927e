from typing import cast

import pytest
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Plugin, Replayer

from domain.ids import workflow_id
from settings import Settings
from tests.support import eventually
from tests.telemetry.collector import Collector, Span
from tests.telemetry.conftest import Watched
from tests.telemetry.life import PRIVATE
from tracing import start_tracing
from worker import WORKFLOWS
from workflows.payloads import data_converter


@pytest.fixture(scope="module")
async def history(watched: Watched, temporal_client: Client) -> WorkflowHistory:
    """Of the ticket that was traced from its creation to its closing."""
    return await temporal_client.get_workflow_handle(workflow_id(watched.life.ticket["id"])).fetch_history()


async def record_of(collector: Collector, request: str, status: int) -> list[Span]:
    """The way from an activity that recorded up to the request that caused it."""

    async def arrived() -> list[Span]:
        for record in collector.named("RunActivity:record_ticket"):
            way = collector.way_up(record)
            if way[-1].name == request and way[-1].attributes["http.response.status_code"] == status:
                return way
        return []

    return await eventually(arrived)


async def test_command_is_one_trace_from_its_request_to_its_record(watched: Watched, collector: Collector) -> None:
    way = await record_of(collector, "POST /api/v1/tickets/{ticket_id}/status", 200)
    assert [(span.service, span.name) for span in reversed(way)] == [
        ("baton-api", "POST /api/v1/tickets/{ticket_id}/status"),
        ("baton-api", "StartWorkflowUpdate:change_status"),
        ("baton-worker", "HandleUpdate:change_status"),
        ("baton-worker", "StartActivity:record_ticket"),
        ("baton-worker", "RunActivity:record_ticket"),
    ]
    ids = {ticket["id"] for ticket in (watched.life.ticket, *watched.life.others)}
    ticket_id = way[-1].attributes["baton.ticket_id"]
    assert ticket_id in ids
    assert {span.attributes["temporalWorkflowID"] for span in way[:-1]} == {workflow_id(ticket_id)}


async def test_fact_is_one_trace_from_its_request_to_its_record(watched: Watched, collector: Collector) -> None:
    way = await record_of(collector, "POST /api/v1/tickets/{ticket_id}/messages", 201)
    assert [span.name for span in reversed(way)][1:3] == [
        "SignalWorkflow:customer_replied",
        "HandleSignal:customer_replied",
    ]


async def test_creation_is_one_trace_that_holds_what_the_ticket_does_by_itself(
    watched: Watched, collector: Collector
) -> None:
    mine = workflow_id(watched.life.ticket["id"])

    async def run() -> Span:
        return next(
            span for span in collector.named("RunWorkflow:Ticket") if span.attributes["temporalWorkflowID"] == mine
        )

    way = collector.way_up(await run())
    assert [span.name for span in way] == ["RunWorkflow:Ticket", "StartWorkflow:Ticket", "POST /api/v1/tickets"]
    children = [span.name for span in collector.spans if span.raw.parent_span_id == way[0].raw.span_id]
    # The creation and the closing by its timer; what commands and messages led to is in their own traces.
    assert children == ["StartActivity:record_ticket"] * 2


async def test_traces_hold_nothing_that_was_written(watched: Watched, collector: Collector) -> None:
    failed = [span for span in collector.named("RunActivity:record_ticket") if span.raw.status.code == 2]
    assert failed, "no failure was traced that could have told the row"
    kinds = {each.value.string_value for span in failed for event in span.raw.events for each in event.attributes}
    assert kinds == {"sqlalchemy.exc.IntegrityError"}
    text = "\n".join(str(request) for request in collector.requests)
    assert [word for word in (*PRIVATE.values(), *watched.secrets) if word in text] == []
    assert "Sunflower" not in text


@pytest.mark.parametrize("traced", [False, True])
async def test_traced_ticket_replays_with_and_without_tracing(
    history: WorkflowHistory, settings: Settings, collector: Collector, traced: bool
) -> None:
    """In the sandbox, and without telling anything a second time."""
    tracing = start_tracing(settings, "replay") if traced else None
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=data_converter,
        plugins=cast("tuple[Plugin, ...]", tracing.plugins) if tracing else (),  # each is one for workers, too
    )
    try:
        await replayer.replay_workflow(history)
    finally:
        if tracing:
            tracing.stop()
    assert [span.name for span in collector.spans if span.service == "replay"] == []
