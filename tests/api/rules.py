"""Rules that tests send, and messages that they are held against."""

from typing import Any
from uuid import uuid4

from tests.api.tenant import Json, Tenant

EVENTS, ROUTING = "/escalation-events", "/routing-rules"
REFUND: Json = {"keyword": ["refund"]}


def rule(name: str = "Refunds", conditions: Any = None, **fields: Any) -> Json:
    """A document that both kinds take."""
    return {"name": name, "conditions": conditions or REFUND, "actions": {"tags": ["money"]}, **fields}


async def write(tenant: Tenant, body: str, conversation: str = "chat-1", **fields: Any) -> Json:
    """A customer's message through the front door."""
    message = {"external_id": str(uuid4()), "author": "customer", "body": body, **fields}
    answer: Json = await tenant.post(f"/conversations/{conversation}/messages", message)
    return answer
