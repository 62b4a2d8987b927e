"""What customers wrote, put into the tables as the front door puts it, and back-tests on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, update
from temporalio.client import WorkflowHandle

from activities.signatures import TriedRule
from db.models import Backtest, Conversation, Message, Requester
from domain.ids import backtest_workflow_id
from domain.rules.backtest import BacktestStatus, Findings, Trial
from domain.rules.rule import RuleKind
from tests.workflows.office import Office
from workflows.backtest import BacktestWorkflow, StartBacktest

BEGAN = datetime(2026, 11, 2, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INSERTED = 5000


def escalation_event(conditions: Any, cooldown: timedelta = timedelta(0)) -> dict[str, Any]:
    """The definition of one that makes a ticket."""
    return {"conditions": conditions, "actions": {}, "cooldown_seconds": cooldown.total_seconds()}


@dataclass(frozen=True)
class Past:
    """The past of one office, which is open."""

    office: Office

    async def happened(
        self, conversations: Sequence[Sequence[str]], readings: Sequence[Mapping[str, Any]] = ({},), **fields: Any
    ) -> list[UUID]:
        """Conversations of customers' messages, a minute between two; readings are given out in turn.

        ``fields`` are the conversations'. Returns their ids.
        """
        requester_id, office = uuid4(), self.office
        ids = [uuid4() for _ in conversations]
        messages = [
            {
                "id": uuid4(),
                "organization_id": office.id,
                "conversation_id": conversation_id,
                "external_id": f"m-{number}",
                "author_kind": "customer",
                "body": body,
                "reading": readings[number % len(readings)],
                "sent_at": BEGAN + number * MINUTE,
            }
            for conversation_id, bodies in zip(ids, conversations, strict=True)
            for number, body in enumerate(bodies)
        ]
        about = {"organization_id": office.id, "channel": "webchat", "requester_id": requester_id, **fields}
        async with office.sessions.begin() as session:
            session.add(Requester(id=requester_id, organization_id=office.id))
            await session.flush()
            await session.execute(
                insert(Conversation), [{"id": each, "external_id": str(each), **about} for each in ids]
            )
            for start in range(0, len(messages), INSERTED):
                await session.execute(insert(Message), messages[start : start + INSERTED])
        return ids

    async def backtest(
        self, new: Mapping[str, Any], old: Mapping[str, Any] | None = None, kind: RuleKind = RuleKind.ESCALATION_EVENT
    ) -> UUID:
        """A back-test on all of it, not begun yet."""
        now = datetime.now(UTC)
        row = Backtest(
            id=uuid4(),
            organization_id=self.office.id,
            kind=kind,
            definition=Trial(name="Tried", new=new, old=old).model_dump(mode="json"),
            since=BEGAN - timedelta(days=1),
            until=now,
            status=BacktestStatus.RUNNING,
            result={},
            created_at=now,
        )
        async with self.office.sessions.begin() as session:
            session.add(row)
        return row.id

    async def begin(self, backtest_id: UUID) -> WorkflowHandle[BacktestWorkflow, TriedRule]:
        """Have the workflow run."""
        return await self.office.client.start_workflow(
            BacktestWorkflow.run,
            StartBacktest(backtest_id=backtest_id),
            id=backtest_workflow_id(backtest_id),
            task_queue=self.office.settings.temporal_task_queue,
        )

    async def found(self, backtest_id: UUID) -> tuple[BacktestStatus, Findings]:
        """How far it is, and what it has found."""
        async with self.office.sessions() as session:
            row = await session.get_one(Backtest, backtest_id)
            return BacktestStatus(row.status), Findings.model_validate(row.result)

    async def stop(self, backtest_id: UUID) -> None:
        async with self.office.sessions.begin() as session:
            await session.execute(
                update(Backtest).where(Backtest.id == backtest_id).values(status=BacktestStatus.STOPPED)
            )
