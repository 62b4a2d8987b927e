"""An organization with people whose tickets live on the real parts: what the engine's tests drive."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from db.engine import Sessions
from db.models import (
    EscalationLadderRow,
    Member,
    Organization,
    ReminderLadderRow,
    Team,
    TeamMember,
)
from domain.assignment import Assignment
from domain.events import Actor, ActorKind
from domain.ids import follow_up_id
from domain.ladders import EscalationLadder, ReminderLadder
from settings import Settings
from tests.workflows.life import Life


@dataclass
class Office:
    """An organization in an empty world: one team with agents and one supervisor, all online.

    ``skipping`` is the environment whose clock tests move; without it time is real.
    """

    client: Client
    settings: Settings
    sessions: Sessions
    skipping: WorkflowEnvironment | None = None
    id: UUID = field(default_factory=uuid4)
    team_id: UUID = field(default_factory=uuid4)
    members: dict[str, Actor] = field(default_factory=dict)
    lives: list[Life] = field(default_factory=list)

    async def open(
        self,
        *,
        acknowledge_within: timedelta | None = None,
        agents: Sequence[str] = ("Ana", "Ben"),
        supervisor: str | None = "Sue",
        auto_close_after: timedelta = timedelta(days=3),
        reminders: ReminderLadder | None = None,
        escalation: EscalationLadder | None = None,
        assignment: Assignment = Assignment.MANUAL,
        member_capacity: int | None = None,
    ) -> "Office":
        """Write the organization down; the defaults are the product's own."""
        names = [*agents, *([supervisor] if supervisor else [])]
        self.members = {name: Actor(kind=ActorKind.MEMBER, id=uuid4(), name=name) for name in names}
        async with self.sessions.begin() as session:
            session.add(
                Organization(
                    id=self.id, name="Org", auto_close_after=auto_close_after, reopen_window=timedelta(days=30)
                )
            )
            await session.flush()
            for name, actor in self.members.items():
                session.add(
                    Member(
                        id=actor.id,
                        organization_id=self.id,
                        name=name,
                        email=f"{name.lower()}@example.com",
                        role="supervisor" if name == supervisor else "agent",
                        status="active",
                        presence="online",
                    )
                )
            if reminders:
                session.add(
                    ReminderLadderRow(
                        id=uuid4(),
                        organization_id=self.id,
                        name=reminders.name,
                        steps=reminders.model_dump(mode="json")["steps"],
                        is_default=True,
                    )
                )
            ladder_id = await add_ladder(session, self.id, escalation) if escalation else None
            await session.flush()
            session.add(
                Team(
                    id=self.team_id,
                    organization_id=self.id,
                    name="Support",
                    assignment=assignment,
                    acknowledge_within=acknowledge_within,
                    escalation_ladder_id=ladder_id,
                    supervisor_id=self.members[supervisor].id if supervisor else None,
                    member_capacity=member_capacity,
                )
            )
            await session.flush()
            for position, name in enumerate(agents):
                session.add(TeamMember(team_id=self.team_id, member_id=self.members[name].id, position=position))
        return self

    async def ticket(
        self, *, assignee: str | None = None, history_limit: int = 500, follow_up_of: UUID | None = None
    ) -> Life:
        """A new ticket of the team, recorded; nobody's clock runs but the one a test moves."""
        life = Life(self, uuid4() if follow_up_of is None else follow_up_id(follow_up_of))
        self.lives.append(life)
        await life.start(assignee, history_limit, follow_up_of)
        await life.settled()
        return life

    def still(self) -> Any:
        """Start a workflow in it with a clock that stands until a test moves it."""
        environment = self.skipping or WorkflowEnvironment.from_client(self.client)
        return environment.with_time_skipping_disabled()

    async def check(self) -> None:
        """What the read model says of every ticket is what its workflow holds, and no version is missing."""
        for life in self.lives:
            ticket = await life.settled()
            events = await life.events()
            assert [event.version for event in events] == list(range(1, ticket.version + 1))
            requests = [event.request_id for event in events if event.request_id]
            assert len(set(requests)) == len(requests)


async def add_ladder(session: Any, organization_id: UUID, ladder: EscalationLadder) -> UUID:
    row = EscalationLadderRow(
        id=uuid4(),
        organization_id=organization_id,
        name=ladder.name,
        steps=ladder.model_dump(mode="json")["steps"],
        repeat=ladder.repeat,
    )
    session.add(row)
    await session.flush()
    return row.id
