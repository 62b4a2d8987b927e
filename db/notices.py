"""Members' notifications, written with the change that caused them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.models import Member, Notification, Team, TeamMember, TicketWatcher
from domain.events import Notice, NoticeKind, TicketEvent
from domain.ladders import Target
from domain.ticket import Ticket

IN_APP = "in_app"
SUPERVISING_ROLES = ("supervisor", "admin", "owner")


@dataclass(frozen=True)
class Subject:
    """What a notification is about: a ticket, a conversation, or a ticket made of that conversation."""

    organization_id: UUID
    ticket_id: UUID | None = None
    ticket_version: int | None = None
    conversation_id: UUID | None = None


async def insert_notifications(
    session: AsyncSession, ticket: Ticket, event: TicketEvent, *, watched: bool = True
) -> None:
    """Tell each receiver of an event once, however often this runs; nobody is told of their own act.

    Who is named by several notices of one event gets the first. ``watched`` is false where nobody watches the ticket.
    """
    told: set[UUID | None] = {event.actor.member_id}
    subject = Subject(ticket.organization_id, ticket.id, event.version)
    for notice in event.notices:
        if notice.targets == (Target.WATCHERS,) and not watched:
            continue
        receivers = await _receivers(session, ticket, notice) - told
        told |= receivers
        await notify(
            session,
            subject,
            f"{ticket.id}:{notice.key}",
            kind=notice.kind,
            why=notice.why,
            member_ids=receivers,
            at=event.at,
        )


async def notify(
    session: AsyncSession,
    subject: Subject,
    key: str,
    *,
    kind: NoticeKind,
    why: str,
    member_ids: Iterable[UUID | None],
    at: datetime,
) -> None:
    """Tell members something, once for ``key`` (subject, episode and step), each by every medium they want.

    Part of the caller's transaction, which is that of the change they are told of. Whoever calls has made sure that
    the members are active and of the subject's organization.
    """
    rows = [
        {
            **asdict(subject),
            "key": f"{key}:{member_id}:{IN_APP}",
            "member_id": member_id,
            "kind": kind,
            "why": why,
            "created_at": at,
        }
        for member_id in sorted(member_ids, key=str)
    ]
    if rows:
        await session.execute(insert(Notification).values(rows).on_conflict_do_nothing(index_elements=["key"]))


async def _receivers(session: AsyncSession, ticket: Ticket, notice: Notice) -> set[UUID | None]:
    """Active members the notice goes to."""
    named: set[UUID | None] = set(notice.member_ids)
    if Target.ASSIGNEE in notice.targets and ticket.assignee_id:
        named.add(ticket.assignee_id)
    wanted = [Member.id.in_(named)] if named else []
    if Target.TEAM in notice.targets and ticket.team_id:
        wanted.append(Member.id.in_(select(TeamMember.member_id).where(TeamMember.team_id == ticket.team_id)))
    if Target.WATCHERS in notice.targets:
        wanted.append(Member.id.in_(select(TicketWatcher.member_id).where(TicketWatcher.ticket_id == ticket.id)))
    if not wanted and Target.SUPERVISORS not in notice.targets:
        return set()
    active = (Member.organization_id == ticket.organization_id, Member.status == "active")
    found: set[UUID | None] = set()
    if wanted:
        found |= set(await session.scalars(select(Member.id).where(*active, or_(*wanted))))
    if Target.SUPERVISORS in notice.targets:
        found |= set(await supervisors(session, ticket.organization_id, ticket.team_id))
    return found


async def supervisors(session: AsyncSession, organization_id: UUID, team_id: UUID | None) -> list[UUID]:
    """Who supervises a team: the one it names; else its own members who may; else everybody who may."""
    active = (Member.organization_id == organization_id, Member.status == "active")
    if team_id is not None:
        named = await session.scalar(
            select(Member.id)
            .join(Team, Team.supervisor_id == Member.id)
            .where(Team.id == team_id, Team.organization_id == organization_id, *active)
        )
        if named:
            return [named]
        own = await session.scalars(
            select(Member.id)
            .join(TeamMember, TeamMember.member_id == Member.id)
            .where(TeamMember.team_id == team_id, Member.role.in_(SUPERVISING_ROLES), *active)
            .order_by(TeamMember.position)
        )
        if found := list(own):
            return found
    everybody = await session.scalars(
        select(Member.id).where(Member.role.in_(SUPERVISING_ROLES), *active).order_by(Member.created_at, Member.id)
    )
    return list(everybody)
