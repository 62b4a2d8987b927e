"""Who may make whom what: no role above one's own is given or taken, and an organization keeps an owner."""

from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal
from api.own import in_turn
from api.problems import Problem
from api.schemas.people import MemberStatus
from db.callers import access_ended
from db.models import Invitation, Member
from domain.permissions import Role, highest_gift


def check_gift(caller: Principal, *roles: str) -> None:
    """Refuse with ``forbidden`` where one of the roles is above what the caller may give or take."""
    highest = highest_gift(caller.role, caller.scopes)
    for role in map(Role, roles):
        if role.rank > highest.rank:
            raise Problem("forbidden", f"You may give and take roles up to {highest}; {role} is above it.")


async def set_role(session: AsyncSession, caller: Principal, member: Member, role: Role) -> None:
    """Give the locked member another role. Part of the caller's transaction."""
    check_gift(caller, member.role, role)
    if role is not Role.OWNER:
        await _keep_an_owner(session, caller, member)
    member.role = role


async def disable(session: AsyncSession, caller: Principal, member: Member) -> None:
    """Remove the locked member: their sessions no longer reach the organization, and open invitations end.

    Part of the caller's transaction; safe to repeat. Everything that is to happen when somebody leaves belongs here.
    """
    check_gift(caller, member.role)
    await _keep_an_owner(session, caller, member)
    member.status = MemberStatus.DISABLED
    await access_ended(session)
    await revoke_invitations(session, member)


async def revoke_invitations(session: AsyncSession, member: Member) -> None:
    """End the locked member's open invitations, each as a change of its own. Part of the caller's transaction."""
    open_ones = select(Invitation).where(
        Invitation.member_id == member.id, Invitation.accepted_at.is_(None), Invitation.revoked_at.is_(None)
    )
    for invitation in await session.scalars(open_ones.with_for_update()):
        invitation.revoked_at = datetime.now(UTC)
    await session.flush()


async def _keep_an_owner(session: AsyncSession, caller: Principal, member: Member) -> None:
    """Refuse with ``last_owner`` where nobody else would be left who owns the organization."""
    if member.role != Role.OWNER or member.status != MemberStatus.ACTIVE:
        return
    await in_turn(session, caller)  # two owners who remove each other at once
    others = await session.scalar(
        select(func.count())
        .select_from(Member)
        .where(
            Member.organization_id == caller.organization_id,
            Member.role == Role.OWNER,
            Member.status == MemberStatus.ACTIVE,
            Member.id != member.id,
        )
    )
    if not others:
        raise Problem("last_owner", "This is the last owner; make somebody else an owner first.")
