from datetime import datetime, timedelta

import httpx
import pytest
from temporalio.client import Client

from domain.ids import workflow_id
from tests.api.tenant import PATHS, Json, Tenant

DAY = timedelta(days=1)


def since(ticket: Json, moment: str) -> timedelta:
    """From when the ticket came into its status until ``moment``."""
    return datetime.fromisoformat(moment) - datetime.fromisoformat(ticket["status_since"])


@pytest.mark.parametrize("status", PATHS)
async def test_timers_asked_of_the_workflow_are_those_the_ticket_shows(tenant: Tenant, status: str) -> None:
    ticket = await tenant.ticket(status)
    live = await tenant.get(f"/tickets/{ticket['id']}/timers")
    assert (live["ticket_id"], live["version"], live["status"]) == (ticket["id"], ticket["version"], status)
    assert live["timers"] == ticket["timers"] == (await tenant.reload(ticket))["timers"]
    wanted = {"waiting": [("reminder", DAY)], "resolved": [("auto_close", 3 * DAY)]}.get(status, [])
    assert [(timer["kind"], since(ticket, timer["due_at"])) for timer in ticket["timers"]] == wanted


async def test_timers_follow_the_organizations_own_rules(tenant: Tenant) -> None:
    steps = [{"after": "PT4H", "action": "remind"}, {"after": "P2D", "action": "resolve"}]
    await tenant.post("/reminder-ladders", {"name": "Quick", "steps": steps, "is_default": True})
    await tenant.call("PATCH", "/organization", {"auto_close_after": "PT1H"})
    team, member = await tenant.team(acknowledge_within="PT30M"), await tenant.member()

    assigned = await tenant.ticket(team_id=team["id"], assignee_id=member["id"])
    assert [(timer["kind"], since(assigned, timer["due_at"])) for timer in assigned["timers"]] == [
        ("acknowledgement", timedelta(minutes=30))
    ]
    waiting = await tenant.ticket("waiting")
    assert [since(waiting, timer["due_at"]) for timer in waiting["timers"]] == [timedelta(hours=4)]
    resolved = await tenant.ticket("resolved")
    assert [since(resolved, timer["due_at"]) for timer in resolved["timers"]] == [timedelta(hours=1)]


async def test_new_ticket_says_where_it_is_and_what_was_given(tenant: Tenant) -> None:
    requester = {"external_id": "customer-77", "name": "A customer", "email": "a@example.com"}
    document = {
        "title": "  The invoice is wrong  ",
        "description": "Invoice 1093.\n\u0646\u0639\u0645",
        "priority": "high",
        "tags": ["Invoice", "invoice", "VIP"],
        "channel": "email",
        "source": "flow",
        "requester": requester,
    }
    answer = await tenant.call("POST", "/tickets", document)
    ticket = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (201, '"1"')
    assert answer.headers["Location"] == f"/api/v1/tickets/{ticket['id']}"
    there = await tenant.client.get(answer.headers["Location"], headers=tenant.authorization)
    assert (there.json()["id"], there.headers["ETag"]) == (ticket["id"], '"1"')
    assert ticket["title"] == "The invoice is wrong"
    assert ticket["tags"] == ["invoice", "vip"]
    for name in ("description", "priority", "channel", "source"):
        assert ticket[name] == document[name]
    assert {name: ticket["requester"][name] for name in requester} == requester
    assert (ticket["number"], ticket["status"], ticket["version"], ticket["team"]) == (1, "open", 1, None)
    assert ticket["created_at"].endswith("Z")

    again = await tenant.post("/tickets", {"title": "Another", "requester": {"external_id": "customer-77"}})
    assert again["requester"] == ticket["requester"]
    assert (again["number"], again["conversation_id"] == ticket["conversation_id"]) == (2, False)


async def test_version_is_the_entity_tag_of_every_answer(tenant: Tenant) -> None:
    ticket = await tenant.ticket()
    for version in range(2, 5):
        answer = await tenant.call("POST", f"/tickets/{ticket['id']}/escalate", {"reason": "Angry"})
        assert (answer.headers["ETag"], answer.json()["version"]) == (f'"{version}"', version)
    assert (await tenant.call("GET", f"/tickets/{ticket['id']}")).headers["ETag"] == '"4"'


async def test_ticket_knows_its_page_in_the_temporal_ui(tenant: Tenant, temporal_client: Client) -> None:
    ticket = await tenant.ticket()
    workflow = workflow_id(ticket["id"])
    assert ticket["temporal_ui_url"] == f"http://temporal.example/namespaces/default/workflows/{workflow}"
    assert (await temporal_client.get_workflow_handle(workflow).describe()).id == workflow


async def test_story_says_who_what_when_and_why(tenant: Tenant) -> None:
    agent, boss = await tenant.member(), await tenant.member(role="supervisor")
    ticket = await tenant.ticket()
    path = f"/tickets/{ticket['id']}"
    await tenant.acting_for(boss).post(f"{path}/assignment", {"assignee_id": agent["id"], "reason": "Knows it."})
    await tenant.acting_for(agent).post(f"{path}/status", {"to": "in_progress"}, key="start")
    await tenant.message(ticket)
    created, assigned, started, replied = await tenant.events(ticket)
    assert (created["kind"], created["actor"]["kind"], created["actor"]["name"]) == ("created", "api_key", "first key")
    assert (assigned["actor"]["id"], assigned["reason"]) == (boss["id"], "Knows it.")
    assert assigned["changes"] == {"assignee_id": {"before": None, "after": agent["id"]}}
    assert (started["actor"]["name"], started["request_id"]) == (agent["name"], "start")
    assert started["changes"] == {"status": {"before": "open", "after": "in_progress"}}
    assert (replied["kind"], replied["actor"]["kind"]) == ("customer_replied", "customer")
    moments = [event["at"] for event in (created, assigned, started, replied)]
    assert moments == sorted(moments)
    told = [each async for each in tenant.pages("/notifications", member_id=agent["id"])]
    assert [(each["kind"], each["why"]) for each in told] == [
        ("ticket_assigned", "Knows it."),
        ("customer_replied", "The customer wrote on a ticket that is assigned to you."),
    ]


async def test_health_of_a_well_process(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json()["status"] == "ok"
    ready = await http.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"status": "ok", "parts": {"database": "ok", "temporal": "ok", "read_model": "ok"}}
