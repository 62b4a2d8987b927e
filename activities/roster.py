"""Who takes a ticket over."""

from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncSession
from temporalio import activity

from activities.signatures import CHOOSE_ASSIGNEE, ChooseAssignee
from db.assignment import lock_rota, pick_for_ladder
from db.engine import Sessions
from db.models import Member
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

        Safe to repeat: the ticket's workflow decides, and it is the one owner. A member who is chosen by their team's
        turns has the ticket on their account from here on, until its next record says who has it.
        """
        async with self._sessions.begin() as session:
            if request.successor is Successor.NEXT_MEMBER:
                choice = await _next_member(session, request)
                if choice is not None:
                    return choice
            for member_id in await supervisors(session, request.organization_id, request.team_id):
                if member_id != request.assignee_id:
                    member = await session.get_one(Member, member_id)
                    return Choice(member_id=member.id, name=member.name)
        return Choice()


async def _next_member(session: AsyncSession, request: ChooseAssignee) -> Choice | None:
    """Who is next in the team and has not been tried."""
    if request.team_id is None:
        return None
    person = await pick_for_ladder(
        session,
        await lock_rota(session, request.organization_id),
        request.team_id,
        ticket_id=request.ticket_id,
        episode=request.episode,
        present=request.assignee_id,
        tried=request.tried,
        now=datetime.now(UTC),
    )
    return Choice(member_id=person.id, name=person.name) if person else None
