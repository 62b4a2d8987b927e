"""What an office promises: SLA policies, calendars and ladders, written as the API writes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import update
from temporalio.testing import WorkflowEnvironment

from db.models import CalendarRow, EscalationLadderRow, SlaPolicyRow, SlaPolicyVersion
from db.sla import ALWAYS, read_policy
from domain.calendar import BusinessCalendar
from domain.clocks import Metric
from domain.ladders import EscalationLadder, LadderAction, LadderStep
from domain.priority import Priority
from domain.sla import SlaPolicy, SlaTime
from tests.workflows.office import Office
from workflows.rollout import RolloutProgress, RolloutWorkflow, StartRollout

Targets = Mapping[Metric, timedelta | Mapping[Priority, timedelta]]


@dataclass(frozen=True)
class Rules:
    """The rules of one office; what changes them tells no ticket, as long as nobody rolls them out."""

    office: Office

    async def ladder(self, *steps: LadderStep, repeat: int = 0) -> UUID:
        """A new escalation ladder."""
        ladder = EscalationLadder(name=f"Ladder {uuid4()}", steps=steps, repeat=repeat).checked()
        row = EscalationLadderRow(
            id=uuid4(), organization_id=self.office.id, **ladder.model_dump(mode="json", exclude_none=True)
        )
        async with self.office.sessions.begin() as session:
            session.add(row)
        return row.id

    async def edit_ladder(self, ladder_id: UUID, *steps: LadderStep) -> None:
        async with self.office.sessions.begin() as session:
            row = await session.get_one(EscalationLadderRow, ladder_id)
            row.steps = [each.model_dump(mode="json") for each in steps]

    async def policy(self, targets: Targets, *, name: str = "Standard", position: int = 1, **fields: object) -> UUID:
        """A new policy, for tickets created from now on; in calendar time unless told otherwise."""
        row = SlaPolicyRow(id=uuid4(), organization_id=self.office.id, name=name, position=position, enabled=True)
        values = {"id": row.id, "name": name, "counts": SlaTime.CALENDAR, **fields, "targets": _whole(targets)}
        async with self.office.sessions.begin() as session:
            session.add(row)
            await session.flush()
            session.add(_version(SlaPolicy.model_validate(values), datetime.now(UTC)))
        return row.id

    async def edit(self, policy_id: UUID, targets: Targets, *, applied: bool = False, **fields: object) -> None:
        """The policy's next version, for new tickets only unless it is ``applied``."""
        async with self.office.sessions.begin() as session:
            row = await session.get_one(SlaPolicyRow, policy_id)
            before = read_policy(row, await session.get_one(SlaPolicyVersion, (policy_id, row.version)))
            row.version += 1
            changed = before.model_copy(update={"version": row.version, "targets": _whole(targets), **fields})
            session.add(_version(changed, ALWAYS if applied else datetime.now(UTC)))

    async def switch(self, policy_id: UUID, *, on: bool) -> None:
        async with self.office.sessions.begin() as session:
            await session.execute(update(SlaPolicyRow).where(SlaPolicyRow.id == policy_id).values(enabled=on))

    async def calendar(self, calendar: BusinessCalendar) -> UUID:
        """A new calendar, the default one."""
        row = CalendarRow(
            id=uuid4(),
            organization_id=self.office.id,
            name="Office",
            definition=calendar.model_dump(mode="json", exclude={"name", "version"}),
            is_default=True,
        )
        async with self.office.sessions.begin() as session:
            session.add(row)
        return row.id

    async def edit_calendar(self, calendar_id: UUID, calendar: BusinessCalendar) -> None:
        definition = calendar.model_dump(mode="json", exclude={"name", "version"})
        async with self.office.sessions.begin() as session:
            row = await session.get_one(CalendarRow, calendar_id)
            row.definition, row.version = definition, row.version + 1

    async def roll_out(self) -> RolloutProgress:
        """Tell running tickets that rules have changed, and wait until all have been told."""
        office, rollout_id = self.office, uuid4()
        start = StartRollout(organization_id=office.id, rollout_id=rollout_id, reason="The rules were changed.")
        environment = office.skipping or WorkflowEnvironment.from_client(office.client)
        with environment.with_time_skipping_disabled():
            return await office.client.execute_workflow(
                RolloutWorkflow.run,
                start,
                id=f"rollout-{office.id}-{rollout_id}",
                task_queue=office.settings.temporal_task_queue,
            )


def step(wait: timedelta, *actions: LadderAction) -> LadderStep:
    """A ladder's step."""
    return LadderStep(wait=wait, actions=actions)


def _version(policy: SlaPolicy, effective_from: datetime) -> SlaPolicyVersion:
    definition = policy.checked().model_dump(mode="json", exclude={"id", "name", "version", "enabled"})
    return SlaPolicyVersion(
        policy_id=policy.id, version=policy.version, definition=definition, effective_from=effective_from
    )


def _whole(targets: Targets) -> dict[Metric, Mapping[Priority, timedelta]]:
    """Targets by priority; one that is given for a metric alone holds for each."""
    return {
        metric: target if isinstance(target, Mapping) else dict.fromkeys(Priority, target)
        for metric, target in targets.items()
    }
