"""Asking people to join, and their joining."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal, Services
from api.membership import check_gift, revoke_invitations
from api.own import in_turn
from api.problems import Problem
from api.schemas.invitation import InvitationStatus, InvitationView, Invitee
from api.schemas.people import MemberStatus
from api.security import hash_token
from db.audit import note_change
from db.mail import send_mail
from db.models import Account, Invitation, Member, Organization, Team, TeamMember
from domain.assignment import Presence
from domain.mail import TOKEN_GOES_HERE, as_html, mail_token
from domain.permissions import Role

LASTS = timedelta(days=7)
_PURPOSE = "invitation"


class Invitations:
    """Invitations of the caller's organization; each call is part of the caller's transaction."""

    def __init__(self, session: AsyncSession, services: Services, caller: Principal) -> None:
        self._session = session
        self._services = services
        self._caller = caller

    async def invite(self, invitees: Sequence[Invitee]) -> list[InvitationView]:
        """Ask all of them, or none where one cannot be asked.

        Who was removed is asked anew; who is an active member without a sign-in gets one and stays active meanwhile.
        """
        emails = [each.email for each in invitees]
        if len(set(emails)) < len(emails):
            raise Problem("invalid_request", "An address is named twice.")
        check_gift(self._caller, *(each.role for each in invitees))
        await in_turn(self._session, self._caller)
        await self._check_teams({team_id for each in invitees for team_id in each.team_ids})
        known = await self._known(emails)
        there = [email for email, member in known.items() if _takes_part(member)]
        if there:
            raise Problem("already_exists", "These addresses are members' already.", addresses=there)
        name = await self._organization_name()
        return [await self._invite(each, known.get(each.email), name) for each in invitees]

    async def resend(self, invitation: Invitation, member: Member) -> InvitationView:
        """Mail another token, good for as long as the first; the one before stops working."""
        if invitation.accepted_at or invitation.revoked_at:
            raise Problem("invalid_request", "This invitation was accepted or revoked; invite anew.")
        check_gift(self._caller, member.role)
        await self._send(invitation, member, await self._organization_name())
        await self._session.flush()
        return view_of(invitation, member)

    async def _check_teams(self, team_ids: set[UUID]) -> None:
        mine = select(Team.id).where(Team.organization_id == self._caller.organization_id, Team.id.in_(team_ids))
        unknown = team_ids - set(await self._session.scalars(mine)) if team_ids else set()
        if unknown:
            raise Problem(
                "invalid_reference",
                "team_ids names teams this organization does not have.",
                at="team_ids",
                unknown=sorted(map(str, unknown)),
            )

    async def _known(self, emails: Iterable[str]) -> dict[str, Member]:
        rows = await self._session.scalars(
            select(Member)
            .where(Member.organization_id == self._caller.organization_id, Member.email.in_(emails))
            .with_for_update()
        )
        return {member.email: member for member in rows}

    async def _organization_name(self) -> str:
        return (await self._session.get_one(Organization, self._caller.organization_id)).name

    async def _invite(self, invitee: Invitee, member: Member | None, organization: str) -> InvitationView:
        now = datetime.now(UTC)
        if member is None:
            member = Member(
                id=uuid4(),
                organization_id=self._caller.organization_id,
                email=invitee.email,
                name=invitee.email,
                status=MemberStatus.INVITED,
                presence=Presence.OFFLINE,
                created_at=now,
            )
            self._session.add(member)
        else:
            check_gift(self._caller, member.role)
        member.name = invitee.name or member.name
        member.role = invitee.role
        if member.status != MemberStatus.ACTIVE:
            member.status = MemberStatus.INVITED
        await self._session.flush()
        await self._join_teams(member, invitee.team_ids)
        await revoke_invitations(self._session, member)
        invitation = Invitation(
            id=uuid4(),
            organization_id=self._caller.organization_id,
            member_id=member.id,
            invited_by=self._caller.actor.name if self._caller.actor.member_id else None,
            created_at=now,
        )
        await self._send(invitation, member, organization)
        self._session.add(invitation)
        await self._session.flush()
        asked = {"email": member.email, "role": member.role, "team_ids": invitee.team_ids}
        note_change(self._session, "invitation", invitation.id, None, asked)
        return view_of(invitation, member)

    async def _join_teams(self, member: Member, team_ids: Sequence[UUID]) -> None:
        """Be in these teams and no others; in each the last to take a turn."""
        await self._session.execute(
            delete(TeamMember).where(TeamMember.member_id == member.id, TeamMember.team_id.not_in(team_ids))
        )
        for team_id in dict.fromkeys(team_ids):
            if await self._session.get(TeamMember, (team_id, member.id)) is None:
                last = select(func.coalesce(func.max(TeamMember.position), 0)).where(TeamMember.team_id == team_id)
                position = (await self._session.scalar(last) or 0) + 1
                self._session.add(TeamMember(team_id=team_id, member_id=member.id, position=position))
                await self._session.flush()

    async def _send(self, invitation: Invitation, member: Member, organization: str) -> None:
        now = datetime.now(UTC)
        key = f"invitation:{invitation.id}:{now.timestamp()}"
        token = mail_token(key, self._services.settings.secret_key.get_secret_value())
        invitation.token_hash = token_hash(token, self._services)
        invitation.sent_at, invitation.expires_at = now, now + LASTS
        web_url = self._services.settings.web_url
        by = f"{invitation.invited_by} has invited you" if invitation.invited_by else "You are invited"
        text = (
            f"{by} to join {organization} in Baton as {member.role}.\n\n"
            f"Accept the invitation here, within {LASTS.days} days:\n"
            f"{web_url}/invitation#token={TOKEN_GOES_HERE}\n\n"
            "If you did not expect this, you need not do anything.\n"
        )
        await send_mail(
            self._session,
            key=key,
            organization_id=invitation.organization_id,
            to=member.email,
            subject=f"Your invitation to {organization}",
            text=text,
            html=as_html(text, web_url),
        )


def token_hash(token: str, services: Services) -> bytes:
    """What is kept of an invitation's token."""
    return hash_token(token, _PURPOSE, services.settings.secret_key)


async def find_open(session: AsyncSession, token: bytes) -> tuple[Invitation, Member]:
    """The invitation whose token this is, and its member, both locked; ``invalid_token`` where it does not work."""
    invitation = await session.scalar(select(Invitation).where(Invitation.token_hash == token).with_for_update())
    if invitation is None or status_of(invitation) is not InvitationStatus.OPEN:
        raise Problem("invalid_token", "This invitation was used, revoked or replaced, or is too old; ask for another.")
    return invitation, await session.get_one(Member, invitation.member_id, with_for_update=True)


async def join(session: AsyncSession, invitation: Invitation, member: Member, account: Account) -> None:
    """Make the account the invited member. Part of the caller's transaction, which has locked both."""
    invitation.accepted_at = datetime.now(UTC)
    member.account_id, member.name, member.status = account.id, account.name, MemberStatus.ACTIVE
    await session.flush()


def status_of(invitation: Invitation) -> InvitationStatus:
    """What has become of it by now."""
    if invitation.accepted_at:
        return InvitationStatus.ACCEPTED
    if invitation.revoked_at:
        return InvitationStatus.REVOKED
    return InvitationStatus.OPEN if datetime.now(UTC) < invitation.expires_at else InvitationStatus.EXPIRED


def view_of(invitation: Invitation, member: Member) -> InvitationView:
    """The invitation as lists show it."""
    return InvitationView(
        id=invitation.id,
        member_id=member.id,
        email=member.email,
        name=member.name,
        role=Role(member.role),
        status=status_of(invitation),
        invited_by=invitation.invited_by,
        created_at=invitation.created_at,
        sent_at=invitation.sent_at,
        expires_at=invitation.expires_at,
    )


def _takes_part(member: Member) -> bool:
    return member.status == MemberStatus.ACTIVE and member.account_id is not None
