"""A conversation that waits for a human on the real parts: what the tests of escalations drive."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update
from temporalio.api.enums.v1 import EventType
from temporalio.client import WithStartWorkflowOperation, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from db.bell import RaiseToCome
from db.escalations import lock_conversation
from db.models import (
    Conversation,
    EscalationChangeRow,
    EscalationReasonRow,
    EscalationRow,
    Member,
    Notification,
    Requester,
    Team,
)
from domain.escalation import Escalation, Reason
from domain.escalation_commands import Claim, EscalationCommand, HandBack, Raise, Resolve, Spoken
from domain.ids import escalation_workflow_id, human_request_id
from domain.ticket import Source
from tests.support import eventually
from tests.workflows.office import Office
from tests.workflows.skipped_clock import SkippedClock
from workflows.bell import escalation_options, raise_by_signal
from workflows.escalation import EscalationWorkflow
from workflows.messages import EscalationOutcome, LiveEscalation, StartEscalation

_UPDATES: dict[type, Any] = {
    Claim: EscalationWorkflow.claim,
    HandBack: EscalationWorkflow.hand_back,
    Resolve: EscalationWorkflow.resolve,
}


@dataclass
class Line:
    """One conversation: what can be done about it, and what can be seen of its escalations."""

    office: Office
    id: UUID = field(default_factory=uuid4)

    async def open(self) -> "Line":
        """Write the conversation down; nobody waits yet."""
        requester_id = uuid4()
        async with self.office.sessions.begin() as session:
            session.add(Requester(id=requester_id, organization_id=self.office.id, name="Customer"))
            await session.flush()
            session.add(
                Conversation(
                    id=self.id,
                    organization_id=self.office.id,
                    external_id=f"chat-{self.id}",
                    channel="webchat",
                    requester_id=requester_id,
                    handled_by="bot",
                )
            )
        return self

    @property
    def handle(self) -> WorkflowHandle[EscalationWorkflow, Any]:
        """Whatever run is the latest."""
        return self.office.client.get_workflow_handle(escalation_workflow_id(self.id), result_type=Escalation)

    # Doing

    async def raise_(self, source: Source = Source.ASSISTANT, **fields: Any) -> Raise:
        """A reason, told once."""
        reason = Reason(id=human_request_id(uuid4()), source=source, at=datetime.now(UTC), **fields.pop("of", {}))
        raising = Raise(reason=reason, **{"team_id": self.office.team_id, **fields})
        await self.tell(raising)
        return raising

    async def tell(self, raising: Raise) -> None:
        with self.office.still():
            await raise_by_signal(
                self.office.client, self.office.settings, RaiseToCome(self.office.id, self.id, raising)
            )

    def claim(self, by: str, *, request_id: str | None = None, takeover: bool = False) -> Claim:
        member = self.office.members[by]
        assert member.id is not None
        reason = Reason(id=uuid4(), source=Source.TAKEOVER, at=datetime.now(UTC), by=by)
        return Claim(
            request_id=request_id or str(uuid4()),
            fingerprint=f"claim {by}",
            actor=member,
            member_id=member.id,
            member_name=by,
            raising=Raise(reason=reason, actor=member, team_id=self.office.team_id) if takeover else None,
        )

    async def obey(self, command: EscalationCommand) -> EscalationOutcome:
        outcome: EscalationOutcome = await self.handle.execute_update(
            _UPDATES[type(command)], command, id=command.request_id
        )
        return outcome

    async def resolve(self, by: str = "Ana") -> EscalationOutcome:
        return await self.obey(Resolve(request_id=str(uuid4()), fingerprint="resolve", actor=self.office.members[by]))

    async def take_over(self, by: str, *, request_id: str | None = None) -> EscalationOutcome:
        command = self.claim(by, request_id=request_id, takeover=True)
        start = WithStartWorkflowOperation(
            EscalationWorkflow.run,
            StartEscalation(organization_id=self.office.id, conversation_id=self.id),
            **escalation_options(self.office.settings, self.office.id, self.id),
        )
        with self.office.still():
            outcome: EscalationOutcome = await self.office.client.execute_update_with_start_workflow(
                _UPDATES[Claim], command, id=command.request_id, start_workflow_operation=start
            )
        return outcome

    async def contest(self, *names: str) -> list[EscalationOutcome | BaseException]:
        """Members take it over while nothing can be read, and it is resolved before the winning is recorded."""
        async with self.office.sessions.begin() as session:
            await lock_conversation(session, self.office.id, self.id)
            async with session.begin_nested() as unread:
                await session.execute(text("LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE"))
                takeovers = [asyncio.create_task(self.take_over(name)) for name in names]
                await eventually(lambda: self._has_accepted(len(names)), 20)
                await unread.rollback()
            outcomes = await asyncio.gather(*takeovers, return_exceptions=True)
            await self.resolve()
        return outcomes

    async def _has_accepted(self, number: int) -> bool:
        try:
            events = (await self.handle.fetch_history()).events
        except RPCError:  # it has not been started yet
            return False
        accepted = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
        return sum(event.event_type == accepted for event in events) == number

    async def said(self, *, waiting: datetime | None = None, answered: datetime | None = None) -> Spoken:
        """What the conversation's times are, in Postgres alone."""
        async with self.office.sessions.begin() as session:
            before = await lock_conversation(session, self.office.id, self.id)
            assert before is not None
            now = Spoken(waiting_since=waiting, answered_at=answered or before.answered_at)
            await session.execute(update(Conversation).where(Conversation.id == self.id).values(**now.model_dump()))
        return now

    async def spoken(self, **times: datetime | None) -> None:
        """The same, and its escalation is told."""
        await self.handle.signal(EscalationWorkflow.spoken, await self.said(**times))
        await self.settled()

    async def let_pass(self, time: timedelta) -> Escalation:
        """Move the clock on; the state once it is recorded."""
        await self._clock.let_pass(time)
        return await self.settled()

    async def now(self) -> datetime:
        """What the workflow's own clock shows."""
        return await self._clock.now()

    @property
    def _clock(self) -> SkippedClock:
        assert self.office.skipping is not None
        return SkippedClock(self.office.skipping, self.handle, self.live)

    # Seeing

    async def live(self) -> LiveEscalation:
        try:
            return await self.handle.query(EscalationWorkflow.live)
        except RPCError as error:
            if error.status is RPCStatusCode.FAILED_PRECONDITION:
                raise AssertionError(error.message) from error
            raise

    async def rows(self) -> Sequence[EscalationRow]:
        async with self.office.sessions() as session:
            found = select(EscalationRow).where(EscalationRow.conversation_id == self.id)
            return list(await session.scalars(found.order_by(EscalationRow.raised_at)))

    async def settled(self) -> Escalation:
        """The state once the read model has it."""

        async def recorded() -> Escalation:
            live = (await self.live()).escalation
            rows = await self.rows()
            assert live is not None
            assert rows
            assert Escalation.model_validate(rows[-1].state) == live
            return live

        return await eventually(recorded, 20)

    async def changes(self) -> list[EscalationChangeRow]:
        change = EscalationChangeRow
        async with self.office.sessions() as session:
            found = select(change).where(change.conversation_id == self.id).order_by(change.at, change.version)
            return list(await session.scalars(found))

    async def story(self) -> list[str]:
        return [change.kind for change in await self.changes()]

    async def reasons(self) -> list[EscalationReasonRow]:
        async with self.office.sessions() as session:
            found = select(EscalationReasonRow).where(EscalationReasonRow.conversation_id == self.id)
            return list(await session.scalars(found.order_by(EscalationReasonRow.at)))

    async def conversation(self) -> Conversation:
        async with self.office.sessions() as session:
            return await session.get_one(Conversation, self.id)

    async def told(self) -> list[tuple[str, str]]:
        """Who was told in the app, and why, in the order it was written; of one notice by their names."""
        async with self.office.sessions() as session:
            found = await session.execute(
                select(Member.name, Notification.why, Notification.created_at)
                .join(Member, Member.id == Notification.member_id)
                .where(Notification.conversation_id == self.id, Notification.medium == "in_app")
                .order_by(Notification.created_at, Member.name)
            )
        return [(row.name, row.why) for row in found]

    async def refused(self, command: EscalationCommand) -> ApplicationError:
        """How the command is refused."""
        with pytest.raises(WorkflowUpdateFailedError) as refusal:
            await self.obey(command)
        return cause_of(refusal.value)


async def edit_team(office: Office, **values: Any) -> None:
    async with office.sessions.begin() as session:
        await session.execute(update(Team).where(Team.id == office.team_id).values(**values))


def cause_of(error: WorkflowUpdateFailedError) -> ApplicationError:
    """What the workflow said."""
    assert isinstance(error.cause, ApplicationError)
    return error.cause
