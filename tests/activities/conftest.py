"""An organization in a real database, and the activities on it; Temporal is not needed to call them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from db.engine import Sessions, make_engine, make_sessions
from db.models import Conversation, Member, Organization, Requester, Team, TeamMember
from domain.ticket import Ticket
from settings import Settings
from tests.unit.tickets import NOW

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def sessions(database_url: str) -> AsyncIterator[Sessions]:
    engine = make_engine(Settings(database_url=database_url, secret_key=SecretStr("0" * 32)))
    yield make_sessions(engine)
    await engine.dispose()


@pytest.fixture
async def ticket(sessions: Sessions) -> Ticket:
    """A ticket before its first event, of a team with Ada, Ben and Cleo in this order, under Sam."""
    organization_id, team_id, requester_id, conversation_id = (uuid4() for _ in range(4))
    people = {name: uuid4() for name in ("Ada", "Ben", "Cleo", "Sam")}
    async with sessions.begin() as session:
        session.add(Organization(id=organization_id, name="Org", auto_close_after=DAY * 3, reopen_window=DAY * 30))
        await session.flush()
        for name, member_id in people.items():
            session.add(
                Member(
                    id=member_id,
                    organization_id=organization_id,
                    name=name,
                    email=f"{name.lower()}@example.com",
                    role="supervisor" if name == "Sam" else "agent",
                    status="active",
                    presence="online",
                )
            )
        session.add(Requester(id=requester_id, organization_id=organization_id))
        await session.flush()
        session.add(
            Conversation(
                id=conversation_id, organization_id=organization_id, channel="email", requester_id=requester_id
            )
        )
        session.add(
            Team(
                id=team_id,
                organization_id=organization_id,
                name="Support",
                assignment="manual",
                supervisor_id=people["Sam"],
                acknowledge_within=DAY,
            )
        )
        await session.flush()
        for position, name in enumerate(("Ada", "Ben", "Cleo")):
            session.add(TeamMember(team_id=team_id, member_id=people[name], position=position))
    return Ticket(
        id=uuid4(),
        organization_id=organization_id,
        number=1,
        title="Refund for order 1001",
        requester_id=requester_id,
        conversation_id=conversation_id,
        team_id=team_id,
        team_name="Support",
        assignee_id=people["Ada"],
        assignee_name="Ada",
        assigned_at=NOW,
        assignment_episode=1,
        created_at=NOW,
        updated_at=NOW,
        status_since=NOW,
    )
