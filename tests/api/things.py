"""One of each thing that a route's path can name, made from the API's own examples when it is first needed."""

import re
from typing import Any
from uuid import uuid4

import httpx

from tests.api.description import OPERATIONS
from tests.api.running import OPERATOR_KEY
from tests.api.tenant import Tenant

_EXAMPLES = {(each.method, each.below_prefix): each.examples for each in OPERATIONS}

_MADE_AT = {"/backtests": "/escalation-events/backtests", "/bulk-changes": "/tickets/bulk"}
"""Where things are made that have another path afterwards."""


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
        """As the tenant; as the operator where only the operator may, and for a member where only members may."""
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"} if path == "/organizations" else {}
        own = path.startswith(("/members/me/", "/notifications/")) or path.endswith("/presence")
        if own or path.endswith(("/claim", "/takeover")):  # what is a member's own, or becomes it
            headers = {"Baton-On-Behalf-Of": await self._thing("/members")}
        if path.endswith("/handback"):  # what nobody has, nobody hands back
            taken = path.replace("/handback", "/takeover")
            await self.tenant.call("POST", taken, {}, headers={"Baton-On-Behalf-Of": await self._thing("/members")})
        return await self.tenant.call(method, path, document, headers=headers)

    async def _thing(self, collection: str) -> str:
        if collection not in self.ids:
            making = getattr(self, f"_make_{collection[1:].replace('-', '_')}", None)
            self.ids[collection] = await (making() if making else self._make(_MADE_AT.get(collection, collection)))
        made = self.ids[collection]
        if collection in ("/links", "/secrets", "/escalations"):
            # Of what the path names and gone with it, or ended by it: each path gets its own.
            del self.ids[collection]
        return made

    async def _make(self, path: str) -> str:
        made: str = (await self.tenant.post(path, _EXAMPLES["POST", path][0]))["id"]
        return made

    async def _make_channels(self) -> str:
        """With a name of its own: one that was deleted is made again."""
        document = {**_EXAMPLES["POST", "/channels"][0], "name": f"Channel {uuid4()}"}
        return str((await self.tenant.post("/channels", document))["id"])

    async def _make_secrets(self) -> str:
        return str((await self.tenant.post(f"/channels/{await self._thing('/channels')}/secrets", {}))["id"])

    async def _make_webchat(self) -> str:
        """A channel that pages may show."""
        settings = {"allowed_origins": ["https://shop.example"]}
        made = await self.tenant.post("/channels", {"kind": "webchat", "name": f"Chat {uuid4()}", "settings": settings})
        return str(made["id"])

    async def _make_sla_rollouts(self) -> str:
        policy = await self._thing("/sla-policies")
        made = await self.tenant.post(f"/sla-policies/{policy}/apply", {"dry_run": False, "to": "running"})
        return str(made["rollout_id"])

    async def _make_requesters(self) -> str:
        customer = {"external_id": f"customer-{uuid4()}", "name": "A customer"}
        return str((await self.tenant.ticket(requester=customer))["requester"]["id"])

    async def _make_watchers(self) -> str:
        return await self._thing("/members")

    async def _make_links(self) -> str:
        link = {"kind": "related", "ticket_id": await self._make("/tickets")}
        return str((await self.tenant.post(f"/tickets/{await self._thing('/tickets')}/links", link))["id"])

    async def _make_erasures(self) -> str:
        erased = await self._thing("/requesters")
        return str((await self.tenant.call("DELETE", f"/requesters/{erased}")).json()["id"])

    async def _make_exports(self) -> str:
        """One that is done; another where an erasure has given it up meanwhile."""
        while True:
            made = await self._make("/exports")
            if (await self.tenant.finished(f"/exports/{made}", "done", "expired"))["status"] == "done":
                return made

    async def _make_conversations(self) -> str:
        """Known by the id its platform gave it, and made by its first message."""
        external_id, path = f"chat-{uuid4()}", "/conversations/{external_id}/messages"
        await self.tenant.post(path.format(external_id=external_id), _EXAMPLES["POST", path][0])
        return external_id

    async def _make_deliveries(self) -> str:
        """Of an answer in a conversation whose channel has a way out."""
        channel = await self._make("/channels") if "/channels" not in self.ids else self.ids["/channels"]
        external_id = f"chat-{uuid4()}"
        message = {"external_id": "m-1", "author": "customer", "body": "Hello?", "channel_id": channel}
        await self.tenant.post(f"/conversations/{external_id}/messages", message)
        answer = await self.tenant.post(f"/conversations/{external_id}/replies", {"body": "Hello."})
        return str(answer["delivery"]["id"])

    async def _make_escalations(self) -> str:
        """One a conversation has: its examples end it."""
        chat = await self._make_conversations()
        raised = await self.tenant.post(f"/conversations/{chat}/escalations", {"reason": "It needs a human."})
        return str(raised["escalation"]["id"])

    async def _make_invitations(self) -> str:
        made = await self.tenant.post("/invitations", {"invitations": [{"email": f"{uuid4()}@example.com"}]})
        return str(made["items"][0]["id"])

    async def _make_members(self) -> str:
        """With an address of their own: one who was removed keeps the address."""
        return str((await self.tenant.member())["id"])
