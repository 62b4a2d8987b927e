import pytest
from sqlalchemy import select, update

from activities.roster import Roster
from activities.signatures import ChooseAssignee
from db.engine import Sessions
from db.models import Member
from domain.ladders import Successor
from domain.ticket import Ticket

NEXT, SUPERVISOR = Successor.NEXT_MEMBER, Successor.SUPERVISOR


@pytest.mark.parametrize(
    ("changes", "present", "tried", "successor", "chosen"),
    [
        ({}, "Ada", [], NEXT, "Ben"),  # the next in the team's order
        ({}, "Cleo", [], NEXT, "Ada"),  # which goes round
        ({}, "Ada", ["Ada", "Ben"], NEXT, "Cleo"),  # not who has had a turn
        ({"Ben": {"presence": "offline"}}, "Ada", [], NEXT, "Cleo"),  # who is there goes first
        ({"Ben": {"presence": "away"}, "Cleo": {"presence": "away"}}, "Ada", [], NEXT, "Ben"),  # better than nobody
        ({"Ben": {"status": "disabled"}}, "Ada", [], NEXT, "Cleo"),
        ({}, None, [], NEXT, "Ada"),
        ({}, "Ada", ["Ada", "Ben", "Cleo"], NEXT, "Sam"),  # nobody is left
        ({}, "Ada", [], SUPERVISOR, "Sam"),
        ({}, "Sam", [], SUPERVISOR, None),  # who has it already
        ({"Sam": {"status": "disabled"}}, "Ada", [], SUPERVISOR, None),
        ({"Sam": {"status": "disabled"}, "Cleo": {"role": "admin"}}, "Ada", [], SUPERVISOR, "Cleo"),
    ],
)
async def test_who_takes_over(
    sessions: Sessions,
    ticket: Ticket,
    *,
    changes: dict[str, dict[str, str]],
    present: str | None,
    tried: list[str],
    successor: Successor,
    chosen: str | None,
) -> None:
    of_organization = Member.organization_id == ticket.organization_id
    async with sessions.begin() as session:
        for name, values in changes.items():
            await session.execute(update(Member).where(of_organization, Member.name == name).values(**values))
        members = {member.name: member.id for member in await session.scalars(select(Member).where(of_organization))}
    choice = await Roster(sessions).choose(
        ChooseAssignee(
            organization_id=ticket.organization_id,
            team_id=ticket.team_id,
            assignee_id=members[present] if present else None,
            tried=tuple(members[name] for name in tried),
            successor=successor,
        )
    )
    assert (choice.name, choice.member_id) == (chosen, members[chosen] if chosen else None)
