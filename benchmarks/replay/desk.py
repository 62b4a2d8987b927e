"""What each step asks of the API: the customer writes, the agents at their desk answer and decide."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from benchmarks.replay.api_client import Caller, Refused
from benchmarks.replay.door import Door
from benchmarks.replay.journal import Answered, Done, Request, Tenant
from benchmarks.replay.plan import Kind, Step
from benchmarks.replay.stream import StreamMessage, channel_kind
from domain.escalation import EscalationStatus
from domain.rules.rule import Outcome
from domain.ticket import Status

ANSWER = "Thank you for writing to us. We are looking into it."
FLOW = "replay"
"""The chatbot's flow; its nodes are named by their steps' keys."""
_COMMANDS = {Kind.WAIT: Status.WAITING, Kind.RESOLVE: Status.RESOLVED, Kind.CLOSE: Status.CLOSED}
_ENDS = {
    Kind.SETTLE: ("resolved", "/escalations/{escalation}/resolve"),
    Kind.DISMISS: ("dismissed", "/escalations/{escalation}/dismiss"),
    Kind.HAND_BACK: ("handed back", "{conversation}/handback"),
}
"""Steps after which a conversation has no live escalation: what was done, and where it is asked for."""
_OF_ESCALATIONS = (Kind.RAISE, Kind.CLAIM, Kind.TAKE_OVER, Kind.FILE, *_ENDS)
_LOOKS = 4
_LOOK_AGAIN_SECONDS = 0.25


def external_id(message: StreamMessage) -> str:
    """The id by which a message of the stream is stored."""
    return f"{message.channel}:{message.message}"


def answer_id(message: StreamMessage) -> str:
    """The id by which an agent's answer to it is stored."""
    return f"answer:{message.message}"


@dataclass(frozen=True)
class Act:
    """What the API acknowledged of a step; ``did`` is empty where there was nothing to do."""

    did: str = ""
    escalation_id: str = ""
    said: str = ""


class Desk:
    """One conversation, with the ticket it is about at the moment and the escalation it has, if any.

    ``escalation_id`` is that of one which is raised or claimed as far as anybody here knows, and ``holder`` has it.
    """

    def __init__(self, caller: Caller, tenant: Tenant, door: Door) -> None:
        self._caller = caller
        self._tenant = tenant
        self._door = door
        self._assigned: str | None = None
        self._latest_actor: str | None = None
        self._requests: list[Request] = []
        self._asked = False
        self._awaited = False
        self.ticket_id = ""
        self.escalation_id = ""
        self.holder = ""
        self.act = Act()

    def remember(self, step: Step, done: Done) -> None:
        """Take over what an earlier run did."""
        self.ticket_id, self.holder = done.ticket_id, done.member_id
        if step.kind is Kind.ASSIGN or (step.kind is Kind.FILE and done.did and done.member_id):
            self._assigned = done.ticket_id
        if done.escalation_id:
            self.escalation_id = "" if step.kind in _ENDS else done.escalation_id
        self._asked = self._asked or step.kind is Kind.RAISE or bool(done.answered and done.answered.human_requested)

    def take_requests(self) -> tuple[Request, ...]:
        """The requests since the last time."""
        taken = (*self._requests, *self._caller.requests)
        self._requests, self._caller.requests = [], []
        return taken

    async def do(self, step: Step) -> Answered | None:
        """Do the step; ``Refused`` only where that should never happen. Safe to repeat.

        Agents find out, as people do, that a ticket or an escalation has moved on meanwhile: a conflict (409) is an
        answer. What was read in a customer's message is returned; ``act`` is what was done.
        """
        self.act = Act()
        if step.kind is Kind.TELL:
            return await self._tell(step)
        try:
            self.act = await self._escalating(step) if step.kind in _OF_ESCALATIONS else await self._working(step)
        except Refused as refused:
            if refused.status != 409:
                raise
            if step.kind in _ENDS:  # somebody else has ended it, or it came back to the queue
                self.escalation_id = self.holder = ""
        return None

    async def _tell(self, step: Step) -> Answered:
        message = step.message
        taken = await self._door.take(
            {
                "conversation": message.conversation,
                "external_id": external_id(message),
                "author": "customer",
                "body": message.text,
                "channel_id": self._tenant.channel_ids[channel_kind(message)],
                "requester": {"external_id": message.conversation},
            }
        )
        self._requests += taken.requests
        self.ticket_id = taken.view["ticket_id"] or ""
        reading = taken.view["reading"]
        request = reading["human_request"]
        acted = any(each["outcome"] == Outcome.ACTED for each in taken.view["decisions"])
        self._awaited = bool(acted or request["requested"])
        self._asked = self._asked or self._awaited
        return Answered(
            sentiment=reading["sentiment"], human_requested=request["requested"], decided_by=request["decided_by"]
        )

    async def _escalating(self, step: Step) -> Act:
        """Do with the conversation's escalation what the step says; nothing where it has none."""
        member = self._tenant.member_ids[step.member]
        if step.kind is Kind.RAISE:
            return await self._raise(step)
        if step.kind in (Kind.CLAIM, Kind.TAKE_OVER):
            return await self._take(step, member)
        # Who works on the ticket alone has not claimed anything: what waits in the queue is theirs to clear away.
        mine = self.escalation_id or await self._in_queue(step, member)
        if not mine or (step.kind is Kind.HAND_BACK and not self.holder):
            return Act()
        actor = self.holder or member
        return await (self._file if step.kind is Kind.FILE else self._end)(step, mine, actor)

    async def _raise(self, step: Step) -> Act:
        node = {"source": "flow", "flow_id": FLOW, "node_id": step.key}
        raised = await self._caller.post(f"{_path(step)}/escalations", node, step.key, "raise")
        self._asked = self._awaited = True
        self.escalation_id = (raised["escalation"] or {}).get("id", "")
        return Act("raised", self.escalation_id)

    async def _take(self, step: Step, member: str) -> Act:
        """Take the conversation: out of the queue where it is there, or away from the bot."""
        if step.kind is Kind.TAKE_OVER:
            taken = await self._caller.post(f"{_path(step)}/takeover", {}, step.key, "takeover", member=member)
        elif found := await self._in_queue(step, member):
            taken = await self._caller.post(f"/escalations/{found}/claim", {}, step.key, "claim", member=member)
        else:
            return Act()
        self.escalation_id, self.holder = taken["id"], member
        await self._caller.shown(f"/escalations/{taken['id']}")  # what comes next is done with it
        return Act("took over" if step.kind is Kind.TAKE_OVER else "claimed", self.escalation_id)

    async def _file(self, step: Step, mine: str, actor: str) -> Act:
        if self.ticket_id:
            await self._caller.shown(f"/tickets/{self.ticket_id}")
        filed = await self._caller.post(f"/escalations/{mine}/ticket", {}, step.key, "ticket", member=actor)
        self.ticket_id, self.escalation_id = filed["ticket"]["id"], mine
        await self._caller.shown(f"/tickets/{self.ticket_id}")  # what comes next is done with it
        self._assigned = self.ticket_id if self.holder else self._assigned  # to whom has the conversation
        return Act("filed", mine)

    async def _end(self, step: Step, mine: str, actor: str) -> Act:
        did, path = _ENDS[step.kind]
        await self._caller.post(
            path.format(escalation=mine, conversation=_path(step)), {}, step.key, "end", member=actor
        )
        self.escalation_id = self.holder = ""
        return Act(did, mine)

    async def _in_queue(self, step: Step, member: str) -> str:
        """The id of the conversation's escalation as the queue shows it, or as one the member has; else empty.

        Where the customer's message should have brought it there, it is looked for again: it shows a moment later.
        """
        if not (self._asked or self.ticket_id):  # nobody can have asked for a human
            return ""
        looks = _LOOKS if self._awaited else 1
        self._awaited = False
        wanted = step.message.conversation
        for look in range(looks):
            if look:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            for query in (
                {"status": EscalationStatus.QUEUED.value},
                {"status": EscalationStatus.CLAIMED.value, "owner_id": member},  # by a step that was cut off
            ):
                for each in await self._caller.pages("/escalations", **query):
                    if each["conversation_external_id"] == wanted:
                        return str(each["id"])
        return ""

    async def _working(self, step: Step) -> Act:
        """Work on the conversation: whoever has it answers in it, whoever has its ticket by that."""
        if step.kind is Kind.ANSWER and self.holder:
            reply = {"body": ANSWER, "external_id": answer_id(step.message)}
            await self._caller.post(f"{_path(step)}/replies", reply, step.key, "answer", member=self.holder)
            return Act("answered", said=reply["external_id"])
        if not self.ticket_id:
            return Act()
        if step.kind is Kind.ASSIGN:
            await self._assign(step)
        elif step.kind in (Kind.START, Kind.ANSWER):
            return await self._take_up(step)
        else:
            actor = self._latest_actor or self._tenant.member_ids[step.member]
            await self._post("status", {"to": _COMMANDS[step.kind]}, step, "command", actor)
        return Act()

    async def _assign(self, step: Step) -> None:
        """Once a ticket: a conversation's follow-up ticket, which a message may have made, needs its own assignee."""
        self.ticket_id = (await self._caller.get(_path(step)))["ticket_id"]
        if self._assigned != self.ticket_id:
            await self._caller.shown(f"/tickets/{self.ticket_id}")
            body = {"assignee_id": self._tenant.member_ids[step.member]}
            await self._post("assignment", body, step, "command", self._tenant.supervisor_id)
            self._assigned = self.ticket_id

    async def _take_up(self, step: Step) -> Act:
        """Whoever has the ticket by now acts; it may have been given to another member."""
        ticket = await self._caller.get(f"/tickets/{self.ticket_id}")
        owner = (ticket["assignee"] or {}).get("id")
        self._latest_actor = owner or self._tenant.member_ids[step.member]
        if step.kind is Kind.ANSWER:
            answer = {"author": "agent", "body": ANSWER, "external_id": answer_id(step.message)}
            await self._post("messages", answer, step, "answer", self._latest_actor)
            return Act("answered", said=answer["external_id"])
        if ticket["status"] == Status.OPEN:
            await self._post("status", {"to": Status.IN_PROGRESS}, step, "command", self._latest_actor)
        return Act()

    async def _post(self, noun: str, body: dict[str, Any], step: Step, what: str, member: str | None = None) -> Any:
        return await self._caller.post(f"/tickets/{self.ticket_id}/{noun}", body, step.key, what, member=member)


def _path(step: Step) -> str:
    """The address of the step's conversation."""
    return f"/conversations/{quote(step.message.conversation, safe='')}"
