"""Reads back everything the system has of a replay: lists, stories, conversations and the workflows themselves."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import UUID, uuid4

from temporalio.client import Client, RPCError, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCStatusCode

from api.schemas.escalation import EscalationView
from api.schemas.ticket import TicketView
from benchmarks.replay.api_client import Api, Caller, Refused
from benchmarks.replay.escalation_account import unlike
from benchmarks.replay.journal import Journal, Tenant
from benchmarks.replay.readings import ConversationReading, EscalationReading, TenantReading, TicketReading
from benchmarks.replay.reconciliation import differences, story_gap
from db.tickets import RecordedTicket, RequesterFacts
from domain.delivery import DeliveryState
from domain.escalation import Escalation, EscalationStatus
from domain.ids import escalation_workflow_id, workflow_id
from domain.ticket import Status, Ticket
from settings import Settings
from workflows.escalation import EscalationWorkflow
from workflows.handles import ticket_handle
from workflows.search_attributes import TICKET_ORGANIZATION
from workflows.ticket import TicketWorkflow

S = TypeVar("S")
T = TypeVar("T")
Json = dict[str, Any]

_LOOKS = 6
"""Times a ticket is read before a difference counts: it may be changing at this moment."""
_FIRST_PAUSE_SECONDS = 0.2
_NOT_OF_THE_WORKFLOW = {"description", "requester", "temporal_ui_url", "offers"}
_NOT_OF_THE_ESCALATION = {"conversation_external_id", "team", "reasons", "position", "ticket", "offers", "notes"}
_SOON = timedelta(seconds=20)
"""A delivery that is tried again by then is waited for; for later ones the receiver, which is up, asks at once."""
_RPC_TIMEOUT = timedelta(seconds=10)
_NO_WORKFLOW = (RPCStatusCode.NOT_FOUND, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
_WORKFLOW_PREFIX = workflow_id(UUID(int=0)).removesuffix(str(UUID(int=0)))


class Stopped(Exception):
    """Reading was told to stop."""


@dataclass
class Reader:
    """Reads through the API as any client does, and the workflows from Temporal.

    ``advanced`` is told of each ticket and conversation that has been read, and how many there are.
    """

    api: Api
    journal: Journal
    temporal: Client
    concurrency: int
    stop: asyncio.Event
    settings: Settings
    advanced: Callable[[int], None] = lambda _known: None
    _slots: asyncio.Semaphore = field(init=False)
    _known: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.concurrency)

    async def waiting(self) -> int:
        """How many tickets have something that will still happen by itself."""
        living = [status.value for status in Status if status is not Status.CLOSED]
        callers = [self.api.caller(tenant.api_key) for tenant in self.journal.tenants.values()]
        lists = [await caller.pages("/tickets", status=living) for caller in callers]
        return sum(bool(view["timers"]) for views in lists for view in views)

    async def on_their_way(self, soon: timedelta = _SOON) -> int:
        """How many deliveries are not settled; those whose next attempt is further off are tried at once."""
        count, until = 0, datetime.now(UTC) + soon
        for tenant in self.journal.tenants.values():
            caller = self.api.caller(tenant.api_key)
            for view in await caller.pages("/deliveries", state=DeliveryState.PENDING.value):
                count += 1
                if datetime.fromisoformat(view["next_attempt_at"]) > until:
                    try:
                        await caller.post(f"/deliveries/{view['id']}/send-again", {}, f"again:{uuid4()}", "again")
                    except Refused as refused:
                        if refused.status != 409:  # it has arrived meanwhile
                            raise
        return count

    async def read(self) -> list[TenantReading]:
        """All organizations of the replay, or ``Stopped``."""
        tenants = [self.journal.tenants[brand] for brand in sorted(self.journal.tenants)]
        listed = {tenant.brand: await _listed(self.api.caller(tenant.api_key)) for tenant in tenants}
        # Three witnesses of which tickets there should be: the lists, what was acknowledged to us, and Temporal.
        known = {tenant.brand: {*listed[tenant.brand], *await self._workflows_of(tenant)} for tenant in tenants}
        for done in self.journal.done.values():
            if done.ticket_id:
                known[done.brand].add(done.ticket_id)
        conversations = {
            tenant.brand: await self.api.caller(tenant.api_key).pages("/conversations") for tenant in tenants
        }
        self._known = sum(map(len, known.values())) + sum(map(len, conversations.values()))
        return [
            await self._tenant(tenant, sorted(known[tenant.brand]), listed[tenant.brand], conversations[tenant.brand])
            for tenant in tenants
        ]

    async def _tenant(
        self, tenant: Tenant, ids: Sequence[str], listed: Mapping[str, Json], conversations: Sequence[Json]
    ) -> TenantReading:
        caller = self.api.caller(tenant.api_key)
        tickets = await self._each(ids, lambda id_: self._ticket(caller, id_, listed.get(id_)))
        held = await self._each(conversations, lambda view: self._conversation(caller, view))
        escalations = await self._escalations(caller)
        notices = [view for view in await caller.pages("/notifications") if view["conversation_id"] is not None]
        await self._delivered(caller)
        at = time.time()
        return TenantReading(
            tenant.brand, tickets, held, escalations, await caller.pages("/deliveries"), notices, deliveries_at=at
        )

    async def _escalations(self, caller: Caller) -> list[EscalationReading]:
        """All of them, each with what its conversation's workflow holds, where that is the last of them."""
        statuses = [status.value for status in EscalationStatus]
        views = {view["id"]: view for view in await caller.pages("/escalations", status=statuses)}
        ordered = sorted(views.values(), key=lambda view: datetime.fromisoformat(view["raised_at"]))
        last = {view["conversation_id"]: view["id"] for view in ordered}
        return await self._each(
            ordered, lambda view: self._escalation(caller, view, last=last[view["conversation_id"]] == view["id"])
        )

    async def _escalation(self, caller: Caller, view: Json, *, last: bool) -> EscalationReading:
        """The escalation once both agree, or as it stands after the last look."""
        if not last:
            return EscalationReading(view["id"], view, None, replaced=True)
        pause = _FIRST_PAUSE_SECONDS
        for look in range(1, _LOOKS + 1):
            live = view["status"] in (EscalationStatus.QUEUED, EscalationStatus.CLAIMED)
            state = await self._escalating(view["conversation_id"], ended=not live)
            mine = state is not None and str(state.id) == view["id"]
            reading = EscalationReading(view["id"], view, _escalation_document(state) if state and mine else None)
            if look == _LOOKS or not unlike(reading):
                break
            await asyncio.sleep(pause)
            pause *= 1.5
            view = await caller.get(f"/escalations/{view['id']}")
        return reading

    async def _escalating(self, conversation_id: str, *, ended: bool) -> Escalation | None:
        handle: WorkflowHandle[EscalationWorkflow, Escalation] = self.temporal.get_workflow_handle(
            escalation_workflow_id(UUID(conversation_id)), result_type=Escalation
        )
        if ended:
            return await _answered(handle.result(rpc_timeout=_RPC_TIMEOUT))
        live = await _answered(handle.query(EscalationWorkflow.live, rpc_timeout=_RPC_TIMEOUT))
        return live.escalation if live else None

    async def _delivered(self, caller: Caller) -> None:
        """Wait until nothing is on its way any more, or for the last look."""
        pause = 5 * _FIRST_PAUSE_SECONDS
        for _ in range(_LOOKS):
            if not await caller.pages("/deliveries", state=DeliveryState.PENDING.value) or self.stop.is_set():
                break
            await asyncio.sleep(pause)
            pause *= 1.5

    async def _conversation(self, caller: Caller, view: Json) -> ConversationReading:
        path = f"/conversations/{quote(view['external_id'], safe='')}"
        messages = await caller.pages(f"{path}/messages")
        decisions = await caller.get(f"{path}/decisions")
        self.advanced(self._known)
        return ConversationReading(view["external_id"], messages, decisions)

    async def _each(self, items: Iterable[S], read: Callable[[S], Awaitable[T]]) -> list[T]:
        results: list[T] = []

        async def one(item: S) -> None:
            async with self._slots:
                if not self.stop.is_set():
                    results.append(await read(item))

        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
        if self.stop.is_set():  # after what had begun has ended: a request to Temporal is not abandoned
            raise Stopped
        return results

    async def _ticket(self, caller: Caller, id_: str, listed: Json | None) -> TicketReading:
        """The ticket once all three agree, or as it stands after the last look."""
        view: Json | None = listed
        listed_as: str | None = listed["listed_as"] if listed else None
        pause = _FIRST_PAUSE_SECONDS
        for look in range(1, _LOOKS + 1):
            events = await _or_none(caller.pages(f"/tickets/{id_}/events")) or []
            state = await self._workflow(id_, ended=view is not None and view["status"] == Status.CLOSED)
            reading = TicketReading(id_, view, listed_as, events, self._document(state) if state else None)
            if look == _LOOKS or not (differences(reading) or story_gap(reading)):
                break
            await asyncio.sleep(pause)
            pause *= 1.5
            view = await _row(caller, id_)
            if listed and view and view["version"] != listed["version"]:
                listed_as = view["status"]  # the list is older than what is compared now
        self.advanced(self._known)
        return reading

    async def _workflow(self, id_: str, *, ended: bool) -> Ticket | None:
        """What the workflow holds, or what it ended with; ``None`` where Temporal has no workflow that did either."""
        handle = ticket_handle(self.temporal, UUID(id_))
        if ended:
            return await _answered(handle.result(rpc_timeout=_RPC_TIMEOUT))
        live = await _answered(handle.query(TicketWorkflow.live, rpc_timeout=_RPC_TIMEOUT))
        return live.ticket if live else None

    def _document(self, state: Ticket) -> Json:
        """What the API should show of a ticket whose workflow holds this."""
        nobody = RequesterFacts(id=state.requester_id)
        view = TicketView.of(RecordedTicket(state, description="", requester=nobody), self.settings)
        return view.model_dump(mode="json", exclude=_NOT_OF_THE_WORKFLOW)

    async def _workflows_of(self, tenant: Tenant) -> set[str]:
        """The tickets Temporal knows workflows of."""
        query = f"WorkflowType = 'Ticket' AND {TICKET_ORGANIZATION.name} = '{tenant.id}'"
        return {found.id.removeprefix(_WORKFLOW_PREFIX) async for found in self.temporal.list_workflows(query)}


def _escalation_document(state: Escalation) -> Json:
    """What the API should show of an escalation whose workflow holds this, but for what only Postgres knows."""
    view = EscalationView.of(state, external_id=None, team_name=None, reasons=(), position=None, ticket=None, notes=())
    return view.model_dump(mode="json", exclude=_NOT_OF_THE_ESCALATION)


async def _listed(caller: Caller) -> dict[str, Json]:
    """The tickets by id, each with the status it was found under; the newest where it moved between two lists."""
    found: dict[str, Json] = {}
    for status in Status:
        for view in await caller.pages("/tickets", status=status.value):
            if view["id"] not in found or found[view["id"]]["version"] <= view["version"]:
                found[view["id"]] = {**view, "listed_as": status.value}
    return found


async def _row(caller: Caller, id_: str) -> Json | None:
    """The ticket by itself, without the arithmetic of its clocks, which lists do not show."""
    view: Json | None = await _or_none(caller.get(f"/tickets/{id_}"))
    return view and {**view, "clocks": [{**clock, "explanation": None} for clock in view["clocks"]]}


async def _or_none(reading: Awaitable[T]) -> T | None:
    try:
        return await reading
    except Refused as refused:
        if refused.status == 404:
            return None
        raise


async def _answered(asked: Awaitable[T]) -> T | None:
    """What a workflow answers; ``None`` where Temporal has none that does."""
    try:
        return await asked
    except WorkflowFailureError:
        return None
    except RPCError as error:
        if error.status in _NO_WORKFLOW:
            return None
        raise
