"""Tickets under an encryption key, and what Temporal itself holds of them."""

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    GetWorkflowExecutionHistoryRequest,
    ListWorkflowExecutionsRequest,
)
from temporalio.client import Client, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from activities.signatures import RECORD_TICKET, Recorded, TicketBatch
from activities.ticket_record import TicketRecord
from db.engine import make_engine, make_sessions
from domain.ids import workflow_id
from embedded.temporal import EmbeddedTemporal
from settings import Settings
from tests.api.running import serving, settings_for
from tests.api.tenant import Json, Tenant, new_tenant
from tests.support import eventually
from workflows.connection import connect
from workflows.encryption import encrypted_data_converter
from workflows.ticket import TicketWorkflow

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()

TITLE = "Invoice 4711 names the wrong Sunflower"
NAME = "Quentin Mirabelle"
ADDRESS = "quentin.mirabelle@example.com"
MEMBER = "Philippa Ostrander"
REASON = "She asked for Montgolfier Street"
PRIVATE = (TITLE, "Sunflower", NAME, "Mirabelle", ADDRESS, MEMBER, "Ostrander", REASON, "Montgolfier")


@dataclass
class World:
    """A Baton with certain keys: one API, one worker whose first attempt to record each ticket fails with its title."""

    settings: Settings
    client: Client
    tenant: Tenant

    async def raw(self, ticket: Json) -> bytes:
        """Every byte that Temporal gives away of the ticket: history, description, and its row in the list."""
        execution, namespace = WorkflowExecution(workflow_id=workflow_id(ticket["id"])), self.client.namespace
        service = self.client.workflow_service
        history = await service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(namespace=namespace, execution=execution)
        )
        assert not history.next_page_token
        description = await service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(namespace=namespace, execution=execution)
        )
        query = f"WorkflowId = '{execution.workflow_id}'"

        async def listed() -> bytes:
            answer = await service.list_workflow_executions(
                ListWorkflowExecutionsRequest(namespace=namespace, query=query)
            )
            return answer.SerializeToString() if answer.executions else b""

        return b"".join(
            [history.SerializeToString(), description.SerializeToString(), await eventually(listed, timeout=10)]
        )

    async def history(self, ticket: Json) -> WorkflowHistory:
        return await self.client.get_workflow_handle(workflow_id(ticket["id"])).fetch_history()


def stumbling(record: TicketRecord) -> Callable[..., object]:
    """The real activity, which fails with a customer's words first."""

    @activity.defn(name=RECORD_TICKET)
    async def stumble(batch: TicketBatch) -> Recorded:
        if activity.info().attempt == 1:
            try:
                raise ValueError(f"No room for {batch.ticket.title}")
            except ValueError as error:
                raise ApplicationError(f"{NAME}'s ticket could not be written", batch.ticket.title) from error
        return await record.record(batch)

    return stumble


@asynccontextmanager
async def world(settings: Settings, tenant: Tenant | None = None) -> AsyncIterator[World]:
    """Such a Baton for a new organization, or for one that an earlier world made."""
    client = await connect(settings)
    engine = make_engine(settings)
    record = TicketRecord(make_sessions(engine))
    worker = Worker(
        client,
        task_queue=settings.temporal_task_queue,
        workflows=[TicketWorkflow],
        activities=[stumbling(record), record.load],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    try:
        async with worker, serving(settings) as http:
            yield World(settings, client, replace(tenant, client=http) if tenant else await new_tenant(http))
    finally:
        await engine.dispose()


async def lead_a_life(tenant: Tenant) -> Json:
    """A ticket with people in it, commands of all kinds, one refused, one that nobody waits for."""
    member = await tenant.member(name=MEMBER, email="philippa@example.com")
    requester = {"name": NAME, "email": ADDRESS, "external_id": ADDRESS}
    ticket: Json = await tenant.post(
        "/tickets",
        {"title": TITLE, "description": f"Write to {ADDRESS}", "requester": requester},
        key=f"create-for-{ADDRESS}",
    )
    path = f"/tickets/{ticket['id']}"
    await tenant.post(f"{path}/assignment", {"assignee_id": member["id"]}, key=f"assign-for-{ADDRESS}")
    assert (await tenant.message(ticket, body="Where is it?")).is_success
    waiting = await tenant.acting_for(member).post(f"{path}/status", {"to": "waiting", "reason": REASON})
    assert waiting["status"] == "waiting"
    refused = await tenant.call("POST", f"{path}/status", {"to": "closed", "reason": REASON})
    assert refused.status_code == 409
    handed_on = await tenant.call(
        "POST", f"{path}/status", {"to": "closed", "reason": REASON}, headers={"Prefer": "respond-async"}
    )
    assert handed_on.status_code == 202

    async def refused_in_its_story() -> bool:
        return "command_refused" in {event["kind"] for event in await tenant.events(ticket)}

    await eventually(refused_in_its_story, timeout=10)
    return await tenant.reload(ticket)


def readable(raw: bytes) -> list[str]:
    """Which of the private words are there, in any letter case."""
    return [word for word in PRIVATE if word.lower().encode() in raw.lower()]


@pytest.fixture(scope="module")
def plain(new_database: Callable[[], str], temporal_server: EmbeddedTemporal) -> Settings:
    """Without keys."""
    return settings_for(new_database(), temporal_server.address)


def keyed(settings: Settings, *keys: str, **others: object) -> Settings:
    return Settings.model_validate(settings.model_dump() | {"encryption_keys": ",".join(keys)} | others)


async def replay(history: WorkflowHistory, settings: Settings) -> None:
    """Run the workflow's code over the history, which fails where it does not fit or cannot be read."""
    converter = encrypted_data_converter(settings.encryption_keys)
    await Replayer(workflows=[TicketWorkflow], data_converter=converter).replay_workflow(history)


async def test_nothing_private_is_readable_in_temporal_and_the_ticket_lives_as_ever(plain: Settings) -> None:
    async with world(keyed(plain, OLD)) as it:
        ticket = await lead_a_life(it.tenant)
        raw = await it.raw(ticket)
        assert readable(raw) == []
        assert raw.count(b"binary/encrypted") > 20
        assert (ticket["title"], ticket["assignee"]["name"], ticket["status"]) == (TITLE, MEMBER, "waiting")
        assert (await it.tenant.get(f"/tickets/{ticket['id']}/timers"))["version"] == ticket["version"]
        await replay(await it.history(ticket), it.settings)


async def test_history_goes_on_when_a_key_comes_and_when_it_is_replaced(
    plain: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(plain) as it:
        tenant = it.tenant
        ticket = await lead_a_life(tenant)
        assert readable(await it.raw(ticket)) == list(PRIVATE)  # what the other test looks for is there to be found
        path = f"/tickets/{ticket['id']}/status"

    async with world(keyed(plain, OLD), tenant) as it:
        await it.tenant.post(path, {"to": "in_progress"})
        await replay(await it.history(ticket), it.settings)

    async with world(keyed(plain, NEW, command_timeout=1), tenant) as it:
        unknown = await it.tenant.call("POST", path, {"to": "resolved"}, key="resolve")
        assert unknown.json()["code"] == "outcome_unknown"
        await eventually(lambda: "key 'old', which BATON_ENCRYPTION_KEYS does not hold (it holds: new)" in caplog.text)
        with pytest.raises(RuntimeError, match="UndecryptableError"):  # the kind of a failure stays readable
            await replay(await it.history(ticket), it.settings)

    async with world(keyed(plain, NEW, OLD), tenant) as it:
        done = await it.tenant.post(path, {"to": "resolved"}, key="resolve")
        assert done["status"] == "resolved"
        history = await it.history(ticket)
        assert keys_of_commands(history) == {b"", b"old", b"new"}
        await replay(history, it.settings)


def keys_of_commands(history: WorkflowHistory) -> set[bytes]:
    """The ids of the keys that encrypted accepted commands; empty for one that is not."""
    accepted = [event.workflow_execution_update_accepted_event_attributes for event in history.events]
    payloads = [payload for one in accepted for payload in one.accepted_request.input.args.payloads]
    return {payload.metadata.get("encryption-key-id", b"") for payload in payloads}
