"""Who takes a ticket over."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.signatures import CHOOSE_ASSIGNEE, ChooseAssignee
from db.engine import Sessions
from db.models import Member, TeamMember
from db.notices import supervisors
from domain.ladders import Successor
from domain.timers import Choice


class Roster:
    """Finds the next owner of a ticket nobody has taken up."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @activity.defn(name=CHOOSE_ASSIGNEE)
    async def choose(self, request: ChooseAssignee) -> Choice:
        """Return the team's next member, or its supervisor when that is asked for or no member is left.

        Only reads, so it is safe to repeat: the ticket's workflow decides, and it is the one owner.
        """
        async with self._sessions() as session:
            if request.successor is Successor.NEXT_MEMBER:
                member = await _next_member(session, request)
                if member:
                    return Choice(member_id=member.id, name=member.name)
            for member_id in await supervisors(session, request.organization_id, request.team_id):
                if member_id != request.assignee_id:
                    member = await session.get_one(Member, member_id)
                    return Choice(member_id=member.id, name=member.name)
        return Choice()


async def _next_member(session: AsyncSession, request: ChooseAssignee) -> Member | None:
    """The next in the team's order after the present assignee, who is active, online and has not been tried."""
    if request.team_id is None:
        return None
    members = list(
        await session.scalars(
            select(Member)
            .join(TeamMember, TeamMember.member_id == Member.id)
            .where(
                TeamMember.team_id == request.team_id,
                Member.organization_id == request.organization_id,
                Member.status == "active",
            )
            .order_by(TeamMember.position, Member.id)
        )
    )
    ids = [member.id for member in members]
    start = ids.index(request.assignee_id) + 1 if request.assignee_id in ids else 0
    turn = members[start:] + members[:start]
    free = [member for member in turn if member.id not in request.tried and member.id != request.assignee_id]
    online = [member for member in free if member.presence == "online"]
    return next(iter(online or free), None)
