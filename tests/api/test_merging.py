"""Two tickets become one, whoever asks at the same time and whatever comes for the one that ended."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from settings import Settings
from tests.api.running import serving
from tests.api.sla import policy
from tests.api.tenant import Json, Tenant
from tests.support import eventually


async def merge(tenant: Tenant, source: Json, into: Json, key: str | None = None) -> Json:
    merged: Json = await tenant.post(f"/tickets/{source['id']}/merge", {"into": into["id"]}, key=key)
    return merged


async def kinds(tenant: Tenant, ticket: Json) -> list[str]:
    return [event["kind"] for event in await tenant.events(ticket)]


async def test_merged_ticket_ends_and_the_other_goes_on_with_all_of_it(tenant: Tenant) -> None:
    await tenant.post("/sla-policies", policy(first_response="PT1H", resolution="PT10H"))
    watcher, assignee = await tenant.member(), await tenant.member()
    source = await tenant.ticket(tags=["refund", "vip"])
    target = await tenant.ticket(tags=["invoice"], assignee_id=assignee["id"])
    await tenant.call("PUT", f"/tickets/{source['id']}/watchers/{watcher['id']}")
    await tenant.message(source, body="Where is it?")
    await tenant.post(f"/tickets/{source['id']}/notes", {"body": "Lost by the carrier."})
    await tenant.message(target, body="And this?")

    merged = await merge(tenant, source, target, key="merge")
    assert (merged["status"], merged["merged_into"], merged["legal_statuses"]) == ("closed", target["id"], [])
    assert (merged["timers"], merged["ladders"]) == ([], [])
    assert {clock["state"] for clock in merged["clocks"]} == {"fulfilled", "idle"}
    assert await kinds(tenant, source) == ["created", "customer_replied", "note_added", "merged"]
    goes_on = await tenant.reload(target)
    assert goes_on["tags"] == ["invoice", "refund", "vip"]
    assert goes_on["unanswered_since"] is not None
    assert await kinds(tenant, target) == ["created", "customer_replied", "absorbed"]
    assert (await tenant.events(target))[-1]["about"] == {"from": source["id"]}
    assert [each["member_id"] for each in await tenant.get(f"/tickets/{target['id']}/watchers")] == [watcher["id"]]
    messages = [each["body"] async for each in tenant.pages(f"/tickets/{target['id']}/messages", limit=1)]
    assert messages == ["Where is it?", "And this?"]
    notes = [each["body"] async for each in tenant.pages(f"/tickets/{target['id']}/notes")]
    assert notes == ["Lost by the carrier."]
    [link] = await tenant.get(f"/tickets/{target['id']}/links")
    assert (link["relation"], link["ticket_id"]) == ("merged_from", source["id"])
    told = ["customer_replied", "ticket_merged"]
    for member, expected in ((watcher, told), (assignee, ["ticket_assigned", *told])):
        notices = [each["kind"] async for each in tenant.pages("/notifications", member_id=member["id"])]
        assert sorted(notices) == sorted(expected)

    again = await tenant.call("POST", f"/tickets/{source['id']}/merge", {"into": target["id"]}, key="merge")
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
    assert again.json()["version"] == merged["version"]


async def test_what_comes_for_a_merged_ticket_goes_to_the_other(tenant: Tenant) -> None:
    source = await tenant.ticket(requester={"external_id": "c-1", "name": "First"})
    middle, target = await tenant.ticket(), await tenant.ticket("waiting")
    await merge(tenant, source, middle)
    await merge(tenant, middle, target)
    answer = await tenant.message(source, body="Hello?", external_id="m-1")
    assert answer.status_code == 201, answer.text
    message = answer.json()
    assert (message["ticket_id"], message["conversation_id"]) == (target["id"], source["conversation_id"])
    assert message["author_name"] == "First"
    assert (await tenant.reload(target))["status"] == "in_progress"
    assert (await tenant.message(source, body="Hello?", external_id="m-1")).status_code == 200
    assert await kinds(tenant, target) == [
        *["created", "status_changed", "absorbed", "customer_replied", "status_changed"],
    ]
    assert (await tenant.reload(source))["status"] == "closed"

    async def refused(method: str, path: str, document: Json) -> None:
        refusal = await tenant.call(method, f"/tickets/{source['id']}{path}", document)
        found = refusal.json()
        assert (refusal.status_code, found["code"], found["merged_into"]) == (409, "ticket_merged", middle["id"]), found

    await refused("POST", "/status", {"to": "open"})
    await refused("PATCH", "", {"priority": "urgent"})
    await refused("POST", "/notes", {"body": "Too late"})
    await refused("POST", "/merge", {"into": target["id"]})
    later = await tenant.call(
        "POST", f"/tickets/{source['id']}/status", {"to": "open"}, headers={"Prefer": "respond-async"}
    )
    assert later.json()["code"] == "ticket_merged"


async def test_an_answer_on_a_merged_ticket_counts_for_the_other(tenant: Tenant) -> None:
    source, target = await tenant.ticket(), await tenant.ticket()
    await merge(tenant, source, target)
    agent = tenant.acting_for(await tenant.member())
    answered = await agent.message(source, author="agent", body="We are on it.")
    assert answered.json()["ticket_id"] == target["id"]
    assert (await tenant.reload(target))["status"] == "in_progress"


async def test_two_that_merge_into_each_other_at_once_become_one(tenant: Tenant) -> None:
    for _ in range(3):
        pair = [await tenant.ticket(), await tenant.ticket()]
        answers = await asyncio.gather(
            tenant.call("POST", f"/tickets/{pair[0]['id']}/merge", {"into": pair[1]["id"]}),
            tenant.call("POST", f"/tickets/{pair[1]['id']}/merge", {"into": pair[0]["id"]}),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409], [each.text for each in answers]
        won = 0 if answers[0].status_code == 200 else 1
        assert answers[1 - won].json()["code"] in ("merge_refused", "ticket_merged")
        ended, goes_on = pair[won], pair[1 - won]
        assert (await tenant.reload(ended))["merged_into"] == goes_on["id"]
        assert (await tenant.reload(goes_on))["status"] == "open"
        await tenant.post(f"/tickets/{goes_on['id']}/status", {"to": "in_progress"})


async def test_a_circle_of_three_at_once_is_broken_in_one_place(tenant: Tenant) -> None:
    ring = [await tenant.ticket() for _ in range(3)]
    answers = await asyncio.gather(
        *(
            tenant.call("POST", f"/tickets/{each['id']}/merge", {"into": following["id"]})
            for each, following in zip(ring, [*ring[1:], ring[0]], strict=True)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 200, 409], [each.text for each in answers]
    found = [await tenant.reload(each) for each in ring]
    [goes_on] = [each for each in found if each["merged_into"] is None]
    assert goes_on["status"] == "open"
    absorbed = [event for event in await tenant.events(goes_on) if event["kind"] == "absorbed"]
    others = [event for each in found if each is not goes_on for event in await tenant.events(each)]
    assert len(absorbed) + sum(event["kind"] == "absorbed" for event in others) == 2


async def test_a_closed_ticket_takes_nothing_over(tenant: Tenant) -> None:
    source, target = await tenant.ticket(), await tenant.ticket("closed")
    answer = await tenant.call("POST", f"/tickets/{source['id']}/merge", {"into": target["id"]})
    assert (answer.status_code, answer.json()["code"]) == (409, "merge_refused")
    itself = await tenant.call("POST", f"/tickets/{source['id']}/merge", {"into": source["id"]})
    assert (itself.status_code, itself.json()["code"]) == (409, "merge_refused")
    assert (await tenant.reload(source))["status"] == "open"
    # Nothing is left of the refusal: the ticket can be merged elsewhere, and the other one, reopened, into it.
    await tenant.post(f"/tickets/{target['id']}/status", {"to": "open"})
    assert (await merge(tenant, target, source))["merged_into"] == source["id"]


async def test_messages_that_arrive_while_tickets_merge_are_all_told_to_the_one_that_goes_on(
    tenant: Tenant, settings: Settings
) -> None:
    source, target = await tenant.ticket(), await tenant.ticket()
    sent = [f"m-{number}" for number in range(8)]
    # What the ended ticket hands on never shows in it, so that the answer is waited for in vain.
    async with serving(settings.model_copy(update={"read_model_wait": timedelta(seconds=1)})) as client:
        hasty = replace(tenant, client=client)
        _, answers = await asyncio.gather(
            merge(tenant, source, target),
            asyncio.gather(*(hasty.message(source, external_id=each, body="Hello?") for each in sent)),
        )
    assert all(answer.is_success for answer in answers)

    async def all_known() -> bool:
        events = [*await tenant.events(source), *await tenant.events(target)]
        told = [event["about"]["message_id"] for event in events if event["kind"] == "customer_replied"]
        return sorted(told) == sorted(answer.json()["id"] for answer in answers)

    await eventually(all_known)
    assert (await tenant.reload(source))["merged_into"] == target["id"]
    assert (await kinds(tenant, source))[-1] == "merged"
    assert (await tenant.reload(target))["unanswered_since"] is not None


async def test_key_of_a_merge_is_of_that_merge(tenant: Tenant) -> None:
    source, one, other = [await tenant.ticket() for _ in range(3)]
    key = str(uuid4())
    await merge(tenant, source, one, key=key)
    answer = await tenant.call("POST", f"/tickets/{source['id']}/merge", {"into": other["id"]}, key=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
