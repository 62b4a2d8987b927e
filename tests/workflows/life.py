"""One ticket of an office: what can be done to it, and what can be seen of it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sqlalchemy import select
from temporalio.client import WithStartWorkflowOperation, WorkflowHandle, WorkflowQueryFailedError
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from db.models import (
    Conversation,
    Member,
    Message,
    Notification,
    Requester,
    TicketEventRow,
    TicketRow,
)
from domain.commands import AgentReplied, Assign, ChangeStatus, Command, CustomerReplied, Edit, Escalate, NoteAdded
from domain.events import Actor, ActorKind
from domain.ids import workflow_id
from domain.ticket import Status, Ticket
from tests.support import eventually
from tests.workflows.skipped_clock import SkippedClock, at_rest
from workflows.attributes import attributes_of
from workflows.handles import ticket_handle
from workflows.messages import Created, LiveTicket, Outcome, StartTicket, Submitted
from workflows.ticket import TicketWorkflow

if TYPE_CHECKING:
    from tests.workflows.office import Office

API = Actor(kind=ActorKind.API_KEY, id=uuid4(), name="Program")
CUSTOMER = Actor(kind=ActorKind.CUSTOMER, id=uuid4(), name="Customer")

DEADLOCK = "TMPRL1101"
"""How the SDK's words about a task that took too long begin."""

_UPDATES: dict[type, Any] = {
    ChangeStatus: TicketWorkflow.change_status,
    Assign: TicketWorkflow.assign,
    Edit: TicketWorkflow.edit,
    Escalate: TicketWorkflow.escalate,
}
_SIGNALS: dict[type, Any] = {
    CustomerReplied: TicketWorkflow.customer_replied,
    AgentReplied: TicketWorkflow.agent_replied,
    NoteAdded: TicketWorkflow.note_added,
}

Fact = CustomerReplied | AgentReplied | NoteAdded


@dataclass
class Life:
    """``start`` begins it."""

    office: "Office"
    id: UUID

    @property
    def handle(self) -> WorkflowHandle[TicketWorkflow, Ticket]:
        """Whatever run is the latest."""
        return ticket_handle(self.office.client, self.id)

    async def start(self, assignee: str | None, history_limit: int, follow_up_of: UUID | None = None) -> None:
        office, now = self.office, datetime.now(UTC)
        requester_id, conversation_id = uuid4(), uuid4()
        async with office.sessions.begin() as session:
            session.add(Requester(id=requester_id, organization_id=office.id, name="Customer"))
            await session.flush()
            session.add(
                Conversation(id=conversation_id, organization_id=office.id, channel="email", requester_id=requester_id)
            )
        who = office.members[assignee] if assignee else None
        ticket = Ticket(
            id=self.id,
            organization_id=office.id,
            number=office.lives.index(self) + 1,
            title="Refund for order 1001",
            requester_id=requester_id,
            conversation_id=conversation_id,
            follow_up_of=follow_up_of,
            team_id=office.team_id,
            team_name="Support",
            assignee_id=who.id if who else None,
            assignee_name=who.name if who else None,
            assigned_at=now if who else None,
            assignment_episode=1 if who else 0,
            created_at=now,
            updated_at=now,
            status_since=now,
        )
        created = Created(actor=API, request_id="create", fingerprint="create", description="The money is missing.")
        start = StartTicket(ticket_id=self.id, ticket=ticket, created=created, history_limit=history_limit)
        with office.still():
            await office.client.start_workflow(
                TicketWorkflow.run,
                start,
                id=workflow_id(self.id),
                task_queue=office.settings.temporal_task_queue,
                search_attributes=attributes_of(ticket),
                static_summary=ticket.label,
            )

    # Doing

    async def obey(self, command: Command, *, update_id: str | None = None) -> Outcome:
        outcome: Outcome = await self.handle.execute_update(
            _UPDATES[type(command)], command, id=update_id or command.request_id
        )
        return outcome

    async def move(self, to: Status, by: str | None = None, **fields: object) -> Outcome:
        """Move to another status, as a member or as a program."""
        return await self.obey(self.to(to, by, **fields))

    def to(self, status: Status, by: str | None = None, **fields: object) -> ChangeStatus:
        values = {"request_id": str(uuid4()), "fingerprint": f"to {status}", **fields}
        return ChangeStatus.model_validate({"to": status, "actor": self._actor(by), **values})

    async def assign(self, to: str | None, by: str | None = None) -> Outcome:
        who = self.office.members[to] if to else None
        return await self.obey(
            Assign(
                request_id=str(uuid4()),
                fingerprint=f"assign {to}",
                actor=self._actor(by),
                fields=frozenset({"assignee"}),
                assignee_id=who.id if who else None,
                assignee_name=to,
            )
        )

    def edit(self, title: str, request_id: str | None = None) -> Edit:
        return Edit(request_id=request_id or str(uuid4()), fingerprint=f"edit {title}", actor=API, title=title)

    async def submit(self, command: Command) -> None:
        """The command as a signal, whose sender does not wait."""
        await self.handle.signal(TicketWorkflow.submit, Submitted(command=command))

    async def tell(self, fact: Fact) -> None:
        await self.handle.signal(_SIGNALS[type(fact)], fact)

    async def customer_writes(self, *, automatic: bool = False) -> CustomerReplied:
        fact = CustomerReplied(message_id=uuid4(), at=datetime.now(UTC), actor=CUSTOMER, automatic=automatic)
        await self.tell(fact)
        return fact

    async def reopen(self, command: ChangeStatus | None = None) -> Outcome:
        """Begin the next run with nothing but the ticket's id, or use the run that is there."""
        office = self.office
        command = command or self.to(Status.OPEN)
        with office.still():
            outcome: Outcome = await office.client.execute_update_with_start_workflow(
                _UPDATES[ChangeStatus],
                command,
                id=command.request_id,
                start_workflow_operation=WithStartWorkflowOperation(
                    TicketWorkflow.run,
                    StartTicket(ticket_id=self.id),
                    id=workflow_id(self.id),
                    task_queue=office.settings.temporal_task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                ),
            )
        return outcome

    async def reopened_by(self, fact: CustomerReplied) -> None:
        """A customer's message begins the next run, or reaches the one that is there."""
        office = self.office
        with office.still():
            await office.client.start_workflow(
                TicketWorkflow.run,
                StartTicket(ticket_id=self.id),
                id=workflow_id(self.id),
                task_queue=office.settings.temporal_task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                start_signal="customer_replied",
                start_signal_args=[fact],
            )

    async def let_pass(self, time: timedelta) -> Ticket:
        """Move this ticket's clock on; returns the state once it is recorded."""
        await self._clock.let_pass(time)
        return await self.settled()

    async def now(self) -> datetime:
        """What the ticket's own clock shows."""
        return await self._clock.now()

    @property
    def _clock(self) -> SkippedClock:
        assert self.office.skipping is not None
        return SkippedClock(self.office.skipping, self.handle, self.live)

    # Seeing

    async def live(self) -> LiveTicket:
        """What the workflow holds; for about a second a run that has just begun cannot be asked.

        Nor can one whose task was taken for a deadlock, since the machine was busy with others for two seconds.
        """
        try:
            return await self.handle.query(TicketWorkflow.live)
        except RPCError as error:
            if error.status is RPCStatusCode.FAILED_PRECONDITION:
                raise AssertionError(error.message) from error
            raise
        except WorkflowQueryFailedError as error:
            if DEADLOCK in str(error):
                raise AssertionError(str(error)) from error
            raise

    async def row(self) -> Ticket | None:
        async with self.office.sessions() as session:
            found = await session.scalar(select(TicketRow).where(TicketRow.id == self.id))
        if found is None:
            return None
        ticket = Ticket.model_validate(found.state)
        assert (found.version, found.status, found.assignee_id) == (ticket.version, ticket.status, ticket.assignee_id)
        return ticket

    async def settled(self, timeout: float = 20) -> Ticket:
        """The state once the read model and the workflow agree on it; patient, since machines are shared."""

        async def agreed() -> Ticket:
            row = await self.row()
            assert row is not None  # before that a question to the workflow would only delay it
            assert row == (await self.live()).ticket
            return row

        return await eventually(agreed, timeout)

    async def events(self) -> list[TicketEventRow]:
        async with self.office.sessions() as session:
            return list(
                await session.scalars(
                    select(TicketEventRow).where(TicketEventRow.ticket_id == self.id).order_by(TicketEventRow.version)
                )
            )

    async def story(self) -> list[str]:
        """The kinds of all events so far, and for a move its name."""
        await self.settled()
        return [str(event.about.get("move", event.kind)) for event in await self.events()]

    async def said_to_customer(self) -> list[str]:
        """Keys of the messages the system wrote, in order."""
        await self.settled()
        async with self.office.sessions() as session:
            found = await session.scalars(
                select(Message.external_id).where(Message.ticket_id == self.id).order_by(Message.sent_at, Message.id)
            )
        return [external_id.removeprefix(f"baton:{self.id}:") for external_id in found]

    async def told(self) -> list[tuple[str, str]]:
        """Who was told what in the app, in the order it was written."""
        await self.settled()
        async with self.office.sessions() as session:
            found = await session.execute(
                select(Member.name, Notification.kind)
                .join(Member, Member.id == Notification.member_id)
                .where(Notification.ticket_id == self.id, Notification.medium == "in_app")
                .order_by(Notification.id)
            )
        return [(name, kind) for name, kind in found]

    async def history_length(self) -> int:
        """Events of the latest run once nothing is under way."""
        await self.settled()
        return (await at_rest(self.handle)).history_length

    async def runs(self) -> list[int]:
        """How many events each run of the present chain has, the first run first."""
        found: list[int] = []
        run_id: str | None = (await self.handle.describe()).run_id
        while run_id:
            description = await self.office.client.get_workflow_handle(workflow_id(self.id), run_id=run_id).describe()
            found.insert(0, description.history_length)
            run_id = await self._continued_from(run_id)
        return found

    async def _continued_from(self, run_id: str) -> str | None:
        handle = self.office.client.get_workflow_handle(workflow_id(self.id), run_id=run_id)
        async for event in handle.fetch_history_events(page_size=1):
            return event.workflow_execution_started_event_attributes.continued_execution_run_id or None
        return None

    def _actor(self, name: str | None) -> Actor:
        return self.office.members[name] if name else API
