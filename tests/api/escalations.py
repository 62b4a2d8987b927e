"""The queue of escalations, as tests of the API ask for it."""

from typing import Any

from tests.api.chat import Chat
from tests.api.tenant import Json, Tenant
from tests.support import eventually

ASKED: Json = {"human_requested": True}
TELLS: Json = {"create_ticket": False, "priority": "high"}


async def queue(tenant: Tenant, **params: Any) -> list[Json]:
    return [each async for each in tenant.pages("/escalations", **params)]


async def raised(chat: Chat, **document: Any) -> Json:
    """The conversation's escalation, raised by a program."""
    if not document.pop("quiet", False):
        await chat.say("Where is my bag?")
    answer = await chat.tenant.post(f"{chat.path}/escalations", {"reason": "The bot gave up.", **document})
    assert answer["escalation"] is not None
    escalation: Json = answer["escalation"]
    return escalation


async def becomes(tenant: Tenant, escalation: Json, **values: Any) -> Json:
    async def has_become() -> Json:
        found: Json = await tenant.get(f"/escalations/{escalation['id']}")
        assert {name: found[name] for name in values} == values
        return found

    return await eventually(has_become)


async def live(chat: Chat) -> Json:
    """The conversation's escalation, once it is in the queue."""

    async def is_there() -> Json:
        found = await queue(chat.tenant, status=["queued", "claimed"])
        assert len(found) == 1
        return found[0]

    return await eventually(is_there)
