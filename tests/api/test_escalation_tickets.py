"""The ticket that a member has made of an escalation: routed as any other, once, and never left behind."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from embedded.ports import LOOPBACK, free_port
from settings import Settings
from tests.api.chat import Chat
from tests.api.escalations import raised
from tests.api.rules import ROUTING, rule
from tests.api.running import serving
from tests.api.tenant import Json


async def ticket_of(chat: Chat, escalation: Json, **document: object) -> Json:
    """The ticket that goes with the escalation from now on."""
    path = f"/escalations/{escalation['id']}/ticket"
    found = (await chat.tenant.post(path, document))["ticket"]
    ticket: Json = await chat.tenant.get(f"/tickets/{found['id']}")
    return ticket


async def test_routing_rules_give_it_what_nobody_has_said(chat: Chat) -> None:
    tenant = chat.tenant
    team, other = await tenant.team(), await tenant.team()
    actions = {"team_id": team["id"], "priority": "high", "tags": ["luggage"]}
    bags = await tenant.post(ROUTING, rule("Bags", {"keyword": ["bag"]}, actions=actions))
    escalation = await raised(chat)
    ticket = await ticket_of(chat, escalation)
    assert (ticket["team"]["id"], ticket["priority"], ticket["tags"]) == (team["id"], "high", ["luggage"])
    [created] = [each for each in await tenant.events(ticket) if each["kind"] == "created"]
    assert [each["rule_id"] for each in created["about"]["because"]] == [bags["id"]]
    decisions = [each async for each in tenant.pages(f"{ROUTING}/{bags['id']}/decisions")]
    assert [(each["ticket_id"], each["outcome"]) for each in decisions] == [(ticket["id"], "acted")]

    asked = Chat(tenant)
    escalation = await raised(asked, team_id=other["id"], priority="urgent")
    ticket = await ticket_of(asked, escalation)
    assert (ticket["team"]["id"], ticket["priority"], ticket["tags"]) == (other["id"], "urgent", ["luggage"])


async def test_of_several_who_ask_at_once_all_get_the_same_one(chat: Chat) -> None:
    escalation = await raised(chat)
    made = await asyncio.gather(*(ticket_of(chat, escalation) for _ in range(4)))
    assert len({ticket["id"] for ticket in made}) == 1


async def test_another_is_made_where_the_first_is_over(chat: Chat) -> None:
    escalation = await raised(chat)
    first = await ticket_of(chat, escalation)
    await chat.tenant.post(f"/tickets/{first['id']}/status", {"to": "resolved"})
    second = await ticket_of(chat, escalation)
    assert second["number"] == first["number"] + 1
    assert (await chat.now())["ticket_id"] == second["id"]


async def test_the_same_request_is_answered_again_after_the_end(chat: Chat) -> None:
    escalation = await raised(chat)
    path = f"/escalations/{escalation['id']}/ticket"
    first = await chat.tenant.call("POST", path, {}, key="once")
    await chat.tenant.post(f"/escalations/{escalation['id']}/resolve", {})
    again = await chat.tenant.call("POST", path, {}, key="once")
    assert (again.status_code, again.json()["ticket"]["id"]) == (200, first.json()["ticket"]["id"])
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_one_whose_start_got_lost_is_started_by_the_next_try(chat: Chat, settings: Settings) -> None:
    escalation = await raised(chat)
    nowhere = {"temporal_address": f"{LOOPBACK}:{free_port()}", "command_timeout": timedelta(seconds=1)}
    async with serving(settings.model_copy(update=nowhere)) as client:
        cut_off = replace(chat.tenant, client=client)
        lost = await cut_off.call("POST", f"/escalations/{escalation['id']}/ticket", {})
        assert lost.status_code == 503
    decided = (await chat.now())["ticket_id"]
    assert [each async for each in chat.tenant.pages("/tickets")] == []
    assert (await ticket_of(chat, escalation))["id"] == decided


async def test_a_resolved_ticket_offers_to_end_the_escalations_that_went_with_it(chat: Chat) -> None:
    tenant, known = chat.tenant, {"external_id": "customer-1"}
    await chat.say("Hello", requester=known)
    beside, other = await raised(chat, quiet=True), Chat(tenant)
    ticket = await ticket_of(chat, beside)
    assert ticket["offers"] == []
    await other.say("And by mail", requester=known)
    attached = await raised(other, quiet=True)
    await ticket_of(other, attached, ticket_id=ticket["id"])
    resolved = await tenant.post(f"/tickets/{ticket['id']}/status", {"to": "resolved"})
    offers = [(offer["action"], offer["path"]) for offer in resolved["offers"]]
    assert offers == [("resolve_escalation", f"/escalations/{each['id']}/resolve") for each in (beside, attached)]
    assert (await tenant.get(f"/tickets/{ticket['id']}"))["offers"] == resolved["offers"]
    for offer in resolved["offers"]:
        await tenant.call(offer["method"], offer["path"], offer["document"])
    assert (await tenant.get(f"/tickets/{ticket['id']}"))["offers"] == []
