"""What each step asks of the API: the customer writes, the agents at their desk answer and decide."""

from typing import Any
from urllib.parse import quote

from benchmarks.replay.api_client import Caller, Refused
from benchmarks.replay.door import Door
from benchmarks.replay.journal import Answered, Request, Tenant
from benchmarks.replay.plan import Kind, Step
from benchmarks.replay.stream import StreamMessage
from domain.ticket import ChannelKind, Status

ANSWER = "Thank you for writing to us. We are looking into it."
_COMMANDS = {Kind.WAIT: Status.WAITING, Kind.RESOLVE: Status.RESOLVED, Kind.CLOSE: Status.CLOSED}


def external_id(message: StreamMessage) -> str:
    """The id by which a message of the stream is stored."""
    return f"{message.channel}:{message.message}"


class Desk:
    """One conversation and the ticket it is about at the moment, if it has one."""

    def __init__(self, caller: Caller, tenant: Tenant, door: Door) -> None:
        self._caller = caller
        self._tenant = tenant
        self._door = door
        self._assigned: str | None = None
        self._latest_actor: str | None = None
        self._requests: list[Request] = []
        self.ticket_id = ""

    def remember(self, step: Step, ticket_id: str) -> None:
        """Take over what an earlier run did."""
        self.ticket_id = ticket_id
        if step.kind is Kind.ASSIGN:
            self._assigned = ticket_id

    def take_requests(self) -> tuple[Request, ...]:
        """The requests since the last time."""
        taken = (*self._requests, *self._caller.requests)
        self._requests, self._caller.requests = [], []
        return taken

    async def do(self, step: Step) -> Answered | None:
        """Do the step; ``Refused`` only where that should never happen. Safe to repeat.

        Agents have nothing to do with a conversation that has no ticket. They find out, as people do, that a ticket
        has moved on meanwhile: a conflict (409) is an answer. What was read in a customer's message is returned.
        """
        if step.kind is Kind.TELL:
            return await self._tell(step)
        if self.ticket_id:
            try:
                await self._act(step)
            except Refused as refused:
                if refused.status != 409:
                    raise
        return None

    async def _tell(self, step: Step) -> Answered:
        message = step.message
        taken = await self._door.take(
            {
                "conversation": message.conversation,
                "external_id": external_id(message),
                "author": "customer",
                "body": message.text,
                "channel": _channel(message),
                "requester": {"external_id": message.conversation},
            }
        )
        self._requests += taken.requests
        self.ticket_id = taken.view["ticket_id"] or ""
        reading = taken.view["reading"]
        request = reading["human_request"]
        return Answered(
            sentiment=reading["sentiment"], human_requested=request["requested"], decided_by=request["decided_by"]
        )

    async def _act(self, step: Step) -> None:
        if step.kind is Kind.ASSIGN:
            await self._assign(step)
        elif step.kind in (Kind.START, Kind.ANSWER):
            await self._take_up(step)
        else:
            actor = self._latest_actor or self._tenant.member_ids[step.member]
            await self._post("status", {"to": _COMMANDS[step.kind]}, step, "command", actor)

    async def _assign(self, step: Step) -> None:
        """Once a ticket: a conversation's follow-up ticket, which a message may have made, needs its own assignee."""
        known_as = quote(step.message.conversation, safe="")
        self.ticket_id = (await self._caller.get(f"/conversations/{known_as}"))["ticket_id"]
        if self._assigned != self.ticket_id:
            await self._caller.shown(f"/tickets/{self.ticket_id}")
            body = {"assignee_id": self._tenant.member_ids[step.member]}
            await self._post("assignment", body, step, "command", self._tenant.supervisor_id)
            self._assigned = self.ticket_id

    async def _take_up(self, step: Step) -> None:
        """Whoever has the ticket by now acts; it may have been given to another member."""
        ticket = await self._caller.get(f"/tickets/{self.ticket_id}")
        owner = (ticket["assignee"] or {}).get("id")
        self._latest_actor = owner or self._tenant.member_ids[step.member]
        if step.kind is Kind.ANSWER:
            answer = {"author": "agent", "body": ANSWER, "external_id": f"answer:{step.message.message}"}
            await self._post("messages", answer, step, "answer", self._latest_actor)
        elif ticket["status"] == Status.OPEN:
            await self._post("status", {"to": Status.IN_PROGRESS}, step, "command", self._latest_actor)

    async def _post(self, noun: str, body: dict[str, Any], step: Step, what: str, member: str | None = None) -> Any:
        return await self._caller.post(f"/tickets/{self.ticket_id}/{noun}", body, step.key, what, member=member)


def _channel(message: StreamMessage) -> str:
    """The same channel where Baton knows it, else the API, through which all of them come here."""
    known = [kind.value for kind in ChannelKind]
    return message.channel if message.channel in known else ChannelKind.API.value
