import asyncio

from tests.api.chat import Chat
from tests.api.escalations import becomes, queue
from tests.api.tenant import Json, Tenant
from tests.support import eventually


async def test_of_two_who_take_over_one_wins_and_the_other_is_told_who(chat: Chat) -> None:
    await chat.say()
    members = [await chat.tenant.member() for _ in range(3)]
    answers = await asyncio.gather(
        *(chat.tenant.acting_for(each).call("POST", f"{chat.path}/takeover", {}) for each in members)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    for refused in [answer.json() for answer in answers if answer.status_code == 409]:
        assert (refused["code"], refused["owner_name"]) == ("claimed_by_another", won["owner"]["name"])
    assert won["reasons"][0]["source"] == "takeover"
    now = await chat.now()
    assert (now["handled_by"], now["owner_id"]) == ("human", won["owner"]["id"])


async def test_what_a_bot_writes_afterwards_is_kept_and_marked_until_it_is_handed_back(chat: Chat) -> None:
    member = chat.tenant.acting_for(await chat.tenant.member())
    await chat.say("Hello?")
    await chat.say("I am a bot.", author="bot")
    await member.post(f"{chat.path}/takeover", {})
    await chat.say("I am still a bot.", author="bot")
    await chat.say("And I am Ana.", author="agent")
    ended = await member.post(f"{chat.path}/handback", {"note": "Explained it."})
    assert (ended["status"], ended["notes"]) == ("resolved", ["Explained it."])
    assert (await chat.now())["handled_by"] == "bot"
    await chat.say("Back again.", author="bot")
    messages = [each async for each in chat.tenant.pages(f"{chat.path}/messages")]
    assert [each["body"] for each in messages if each["out_of_turn"]] == ["I am still a bot."]


async def test_only_who_has_it_or_a_supervisor_hands_it_back(chat: Chat) -> None:
    tenant = chat.tenant
    await chat.say()
    one, two = await tenant.member(), await tenant.member()
    nobody = await tenant.acting_for(one).call("POST", f"{chat.path}/handback", {})
    assert (nobody.status_code, nobody.json()["code"]) == (409, "not_claimed")
    await tenant.acting_for(one).post(f"{chat.path}/takeover", {})
    refused = await tenant.acting_for(two).call("POST", f"{chat.path}/handback", {})
    assert refused.json()["code"] == "claimed_by_another"
    supervisor = await tenant.member(role="supervisor")
    await tenant.acting_for(supervisor).post(f"{chat.path}/handback", {})


async def test_a_program_has_to_say_for_whom_it_takes_over(chat: Chat) -> None:
    await chat.say()
    answer = await chat.tenant.call("POST", f"{chat.path}/takeover", {})
    assert (answer.status_code, answer.json()["code"]) == (403, "member_required")


async def test_the_same_takeover_sent_again_is_answered_again(chat: Chat) -> None:
    member = chat.tenant.acting_for(await chat.tenant.member())
    await chat.say()
    first = await member.call("POST", f"{chat.path}/takeover", {}, key="mine")
    again = await member.call("POST", f"{chat.path}/takeover", {}, key="mine")
    assert (first.json(), again.headers["Idempotency-Replayed"]) == (again.json(), "true")
    await member.post(f"{chat.path}/handback", {})
    late = await member.call("POST", f"{chat.path}/takeover", {}, key="mine")
    assert late.json()["id"] == first.json()["id"]
    assert len(await queue(chat.tenant, status=["queued", "claimed"])) == 0


async def test_a_removed_members_conversations_go_back_to_the_queue(chat: Chat) -> None:
    tenant = chat.tenant
    member = await tenant.member()
    await chat.say()
    escalation = await tenant.acting_for(member).post(f"{chat.path}/takeover", {})
    assert (await tenant.call("DELETE", f"/members/{member['id']}")).status_code in (200, 204)
    await becomes(tenant, escalation, status="queued", owner=None)


async def test_whoever_goes_offline_is_known_to_be_away(chat: Chat) -> None:
    tenant = chat.tenant
    member = tenant.acting_for(await tenant.member())
    await chat.say()
    escalation = await member.post(f"{chat.path}/takeover", {})
    await member.call("PUT", "/members/me/presence", {"presence": "online"})
    await becomes(tenant, escalation, absent_since=None)
    await member.call("PUT", "/members/me/presence", {"presence": "offline"})
    away = await eventually(lambda: _away(tenant, escalation))
    assert away["returns_at"] is not None
    await member.call("PUT", "/members/me/presence", {"presence": "online"})
    await becomes(tenant, escalation, absent_since=None)


async def _away(tenant: Tenant, escalation: Json) -> Json:
    found: Json = await tenant.get(f"/escalations/{escalation['id']}")
    return found if found["absent_since"] else {}
