"""One of each thing that a route's path can name, made from the API's own examples when it is first needed."""

import re
from typing import Any
from uuid import uuid4

import httpx

from tests.api.description import OPERATIONS
from tests.api.running import OPERATOR_KEY
from tests.api.tenant import Tenant

_EXAMPLES = {(each.method, each.below_prefix): each.examples for each in OPERATIONS}


class Things:
    """What a tenant has; ``ids`` are those of the things made so far, by the path of their kind."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.ids: dict[str, str] = {}

    async def fill(self, path: str) -> str:
        """The path with the ids of things that exist; ``/tickets/{ticket_id}/notes`` needs a ticket."""
        while found := re.search(r"/([^/]+)/\{\w+\}", path):
            collection = f"/{found[1]}"
            path = path.replace(found[0], f"{collection}/{await self._thing(collection)}", 1)
        return path

    def forget(self, path: str) -> None:
        """The thing the path names was deleted; the next one who needs one makes another."""
        del self.ids[f"/{path.split('/')[1]}"]

    async def send(self, method: str, path: str, document: Any = None) -> httpx.Response:
        """As the tenant; as the operator where only the operator may."""
        operator = {"Authorization": f"Bearer {OPERATOR_KEY}"} if path == "/organizations" else {}
        return await self.tenant.call(method, path, document, headers=operator)

    async def _thing(self, collection: str) -> str:
        if collection not in self.ids:
            if collection == "/sla-rollouts":
                policy = await self._thing("/sla-policies")
                made = await self.tenant.post(f"/sla-policies/{policy}/apply", {"dry_run": False, "to": "running"})
                self.ids[collection] = made["rollout_id"]
            elif collection == "/requesters":
                customer = {"external_id": f"customer-{uuid4()}", "name": "A customer"}
                self.ids[collection] = (await self.tenant.ticket(requester=customer))["requester"]["id"]
            elif collection == "/erasures":
                erased = await self._thing("/requesters")
                self.ids[collection] = (await self.tenant.call("DELETE", f"/requesters/{erased}")).json()["id"]
            elif collection == "/exports":
                made = await self.tenant.post(collection, _EXAMPLES["POST", collection][0])
                self.ids[collection] = made["id"]
                await self.tenant.finished(f"/exports/{made['id']}")
            elif collection == "/conversations":
                # Known by the id its platform gave it, and made by its first message.
                message = _EXAMPLES["POST", "/conversations/{external_id}/messages"][0]
                self.ids[collection] = f"chat-{uuid4()}"
                await self.tenant.post(f"/conversations/{self.ids[collection]}/messages", message)
            else:
                made = await self.tenant.post(collection, _EXAMPLES["POST", collection][0])
                self.ids[collection] = made["id"]
        return self.ids[collection]
