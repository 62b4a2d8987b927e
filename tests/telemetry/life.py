"""What happens to a Baton that is watched: everyday work and failures, all of it full of words nobody else may see."""

from dataclasses import dataclass
from uuid import uuid4

import psycopg
from temporalio.client import Client

from domain.ids import workflow_id
from tests.api.tenant import Json, Tenant
from tests.support import eventually
from tests.telemetry.processes import Pair

TITLE = "Invoice 4711 names the wrong Sunflower"
PRIVATE = {
    "title": TITLE,
    "description": "The Montgolfier account is short by nine",
    "requester": "Quentin Mirabelle",
    "address": "mirabelle@example.com",
    "member": "Philippa Ostrander",
    "message": "Where is my Zeppelin money?",
    "answer": "It went to Hindenburg street.",
    "note": "He shouted about Bauhaus chairs.",
    "reason": "She asked for Wintergarten",
    "search": "Sunflower Riesling",
    "tag": "kaleidoscope",
    "key": "key-of-Rumpelstilz",
    "path": "Karlsbad",
    "refused": "Gerolstein",
}
"""Said in a life; nothing of it may be read in a log line, a metric or a trace."""


@dataclass
class Life:
    """A ticket that has gone through everything, and others that make the queues."""

    tenant: Tenant
    ticket: Json
    others: list[Json]
    incident: str


async def _leave(tenant: Tenant) -> None:
    """Everything is exported, and a customer erased, with all that their ticket says."""
    export = await tenant.post("/exports", {})
    await tenant.finished(f"/exports/{export['id']}")
    assert (await tenant.call("GET", f"/exports/{export['id']}/download")).is_success
    requester = {"name": PRIVATE["requester"], "external_id": f"second {PRIVATE['address']}"}
    ticket = await tenant.ticket("resolved", title=TITLE, description=PRIVATE["description"], requester=requester)
    await tenant.becomes(ticket, "closed")  # by its timer
    erasure = await tenant.call("DELETE", f"/requesters/{ticket['requester']['id']}")
    await tenant.finished(f"/erasures/{erasure.json()['id']}")


async def live(pair: Pair, tenant: Tenant, temporal: Client) -> Life:
    """Work, refusals, a read model that cannot be written, a task that cannot be done, a defect."""
    member = await tenant.member(name=PRIVATE["member"], email="p.ostrander@example.com")
    requester = {"name": PRIVATE["requester"], "email": PRIVATE["address"], "external_id": PRIVATE["address"]}
    ticket: Json = await tenant.post(
        "/tickets",
        {"title": TITLE, "description": PRIVATE["description"], "requester": requester, "tags": [PRIVATE["tag"]]},
        key=f"{PRIVATE['key']}-create",
    )
    path = f"/tickets/{ticket['id']}"
    await tenant.post(f"{path}/assignment", {"assignee_id": member["id"]}, key=f"{PRIVATE['key']}-assign")
    assert (await tenant.message(ticket, body=PRIVATE["message"])).is_success
    speaking = tenant.acting_for(member)
    assert (await speaking.message(ticket, author="agent", body=PRIVATE["answer"])).is_success
    await speaking.post(f"{path}/notes", {"body": PRIVATE["note"]})
    await speaking.post(f"{path}/status", {"to": "waiting", "reason": PRIVATE["reason"]})
    await tenant.get("/tickets", q=PRIVATE["search"])
    await _leave(tenant)
    await _be_refused(tenant, ticket)
    await _break_the_record(pair, tenant, ticket)
    await _break_a_task(pair, temporal)
    incident = await _break_a_query(pair, tenant, ticket)
    await tenant.post(f"{path}/status", {"to": "resolved"})
    await tenant.becomes(ticket, "closed")  # by its timer
    others = [await tenant.ticket(status) for status in ("open", "open", "in_progress", "waiting")]
    await tenant.post(f"/tickets/{others[0]['id']}/assignment", {"assignee_id": member["id"]})
    return Life(tenant, ticket, others, incident)


async def _be_refused(tenant: Tenant, ticket: Json) -> None:
    path = f"/tickets/{ticket['id']}"
    illegal = await tenant.call("POST", f"{path}/status", {"to": "closed", "reason": PRIVATE["refused"]})
    malformed = await tenant.call("POST", "/tickets", {"title": {"not": PRIVATE["refused"]}})
    reused = await tenant.call("POST", "/tickets", {"title": PRIVATE["refused"]}, key=f"{PRIVATE['key']}-create")
    nowhere = await tenant.call("GET", f"/conversations/{PRIVATE['path']}/{PRIVATE['address']}")
    stranger = await tenant.client.get("/api/v1/tickets", headers={"Authorization": f"Bearer baton_{PRIVATE['path']}"})
    answers = [each.status_code for each in (illegal, malformed, reused, nowhere, stranger)]
    assert answers == [409, 422, 422, 404, 401]


async def _break_the_record(pair: Pair, tenant: Tenant, ticket: Json) -> None:
    """Have Postgres refuse the row with words that quote it, until it takes it again."""
    with psycopg.connect(pair.settings.psycopg_url, autocommit=True) as admin:
        admin.execute(f"ALTER TABLE tickets ADD CONSTRAINT not_this_one CHECK (title <> '{TITLE}') NOT VALID")
        answer = await tenant.call("POST", f"/tickets/{ticket['id']}/escalate", {"reason": PRIVATE["reason"]})
        assert answer.headers["Baton-Read-Model"] == "pending"
        admin.execute("ALTER TABLE tickets DROP CONSTRAINT not_this_one")

    async def caught_up() -> bool:
        events = await tenant.events(ticket)
        return bool(events[-1]["kind"] == "escalated")

    await eventually(caught_up, timeout=60)


async def _break_a_task(pair: Pair, temporal: Client) -> None:
    """Give a workflow an input it cannot read, as after a bad deployment."""
    task_queue = pair.settings.temporal_task_queue
    handle = await temporal.start_workflow("Ticket", TITLE, id=workflow_id(uuid4()), task_queue=task_queue)

    async def failed() -> bool:
        return bool(pair.scrape("worker").total("temporal_workflow_task_execution_failed"))

    await eventually(failed, timeout=60)
    await handle.terminate()


async def _break_a_query(pair: Pair, tenant: Tenant, ticket: Json) -> str:
    """Have a statement fail that holds somebody's words; returns the incident's id."""
    with psycopg.connect(pair.settings.psycopg_url, autocommit=True) as admin:
        admin.execute("ALTER TABLE notes RENAME TO notes_away")
        answer = await tenant.call("POST", f"/tickets/{ticket['id']}/notes", {"body": PRIVATE["note"]})
        assert answer.status_code == 500, answer.text
        admin.execute("ALTER TABLE notes_away RENAME TO notes")
    incident: str = answer.json()["incident"]
    return incident
