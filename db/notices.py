"""Members' notifications, written with the change that caused them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.bell import left_to_tell
from db.channels import LIVE
from db.live_events import NOTIFICATION
from db.models import Member, Team, TeamMember, TicketWatcher
from domain.events import Notice, NoticeKind, TicketEvent
from domain.ladders import Target
from domain.notices import DEFAULTS, Medium
from domain.priority import Priority
from domain.ticket import Ticket

SUPERVISING_ROLES = ("supervisor", "admin", "owner")


@dataclass(frozen=True)
class Subject:
    """What a notification is about: a ticket, a conversation, or a ticket made of that conversation."""

    organization_id: UUID
    ticket_id: UUID | None = None
    ticket_version: int | None = None
    conversation_id: UUID | None = None
    urgent: bool = False
    """Whether mails about it wait neither for others nor for the end of quiet hours."""


# In the order of members, so that two transactions that tell the same ones never wait for each other. Whoever has a
# mail to come already is not woken again, except for what is urgent.
_NOTIFY = text(
    f"""WITH given AS (
        SELECT CAST(:organization_id AS uuid) AS organization_id, CAST(:ticket_id AS uuid) AS ticket_id,
            CAST(:ticket_version AS int) AS ticket_version, CAST(:conversation_id AS uuid) AS conversation_id,
            CAST(:urgent AS boolean) AS urgent, CAST(:key AS text) AS key, CAST(:kind AS text) AS kind,
            CAST(:why AS text) AS why, CAST(:at AS timestamptz) AS at
    ), told AS (
        INSERT INTO notifications (organization_id, key, member_id, conversation_id, ticket_id, ticket_version, medium,
            kind, why, urgent, created_at, mail_due)
        SELECT given.organization_id, given.key || ':' || m.id || ':' || medium.name, m.id, given.conversation_id,
            given.ticket_id, given.ticket_version, medium.name, given.kind, given.why, given.urgent, given.at,
            medium.name = '{Medium.EMAIL}'
        FROM given CROSS JOIN unnest(CAST(:members AS uuid[])) AS m (id)
        LEFT JOIN notification_settings AS own ON own.member_id = m.id
        CROSS JOIN (
            VALUES ('{Medium.IN_APP}', CAST(:in_app AS boolean)), ('{Medium.EMAIL}', CAST(:email AS boolean))
        ) AS medium (name, by_default)
        WHERE coalesce(CAST(own.media -> given.kind ->> medium.name AS boolean), medium.by_default)
        ORDER BY m.id, medium.name
        ON CONFLICT (key) DO NOTHING
        RETURNING id, member_id, medium
    ), shown AS (
        INSERT INTO live_events (organization_id, member_id, ticket_id, kind, payload)
        SELECT given.organization_id, told.member_id, given.ticket_id, '{NOTIFICATION}', jsonb_build_object(
            'id', told.id, 'member_id', told.member_id, 'kind', given.kind, 'why', given.why, 'urgent', given.urgent,
            'ticket_id', given.ticket_id, 'conversation_id', given.conversation_id)
        FROM told CROSS JOIN given WHERE told.medium = '{Medium.IN_APP}'
        RETURNING 1
    ), announced AS (
        SELECT pg_notify('{LIVE}', '') FROM (SELECT FROM shown LIMIT 1) AS any_shown
    )
    SELECT told.member_id FROM told CROSS JOIN given LEFT JOIN announced ON true
    WHERE told.medium = '{Medium.EMAIL}' AND (given.urgent OR NOT EXISTS (
        SELECT FROM notifications AS due WHERE due.member_id = told.member_id AND due.mail_due
    ))"""  # noqa: S608 - made of constants
)


async def insert_notifications(
    session: AsyncSession, ticket: Ticket, event: TicketEvent, *, watched: bool = True
) -> None:
    """Tell each receiver of an event once, however often this runs; nobody is told of their own act.

    Who is named by several notices of one event gets the first. ``watched`` is false where nobody watches the ticket.
    """
    told: set[UUID | None] = {event.actor.member_id}
    subject = Subject(ticket.organization_id, ticket.id, event.version, urgent=ticket.priority is Priority.URGENT)
    for notice in event.notices:
        if notice.targets == (Target.WATCHERS,) and not watched:
            continue
        around = Around(ticket.organization_id, ticket.team_id, ticket.assignee_id, ticket.id)
        receivers = await receivers_of(session, around, notice) - told
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
    the members are active and of the subject's organization. One statement, however many they are; it shows in-app
    notifications on open pages, and leaves in ``db.bell.left_to_tell`` whom to wake a mail for.
    """
    receivers = [member_id for member_id in member_ids if member_id is not None]
    if not receivers:
        return
    defaults = DEFAULTS[kind]
    values = {**asdict(subject), "key": key, "kind": kind, "why": why, "at": at, "members": receivers}
    by_default = {"in_app": defaults.in_app, "email": defaults.email}
    mailed = await session.scalars(_NOTIFY, values | by_default)
    left_to_tell(session).member_ids.update(mailed)


@dataclass(frozen=True)
class Around:
    """Who the targets of a notice are: those of a team, whoever has it, and who watches the ticket."""

    organization_id: UUID
    team_id: UUID | None = None
    assignee_id: UUID | None = None
    ticket_id: UUID | None = None


async def receivers_of(
    session: AsyncSession, around: Around, notice: Notice, team_ids: Sequence[UUID] = ()
) -> set[UUID | None]:
    """Active members the notice goes to; those of ``team_ids`` are named besides."""
    named: set[UUID | None] = set(notice.member_ids)
    if Target.ASSIGNEE in notice.targets and around.assignee_id:
        named.add(around.assignee_id)
    wanted = [Member.id.in_(named)] if named else []
    teams = [*team_ids, *([around.team_id] if Target.TEAM in notice.targets and around.team_id else [])]
    if teams:
        wanted.append(Member.id.in_(select(TeamMember.member_id).where(TeamMember.team_id.in_(teams))))
    if Target.WATCHERS in notice.targets and around.ticket_id:
        wanted.append(Member.id.in_(select(TicketWatcher.member_id).where(TicketWatcher.ticket_id == around.ticket_id)))
    if not wanted and Target.SUPERVISORS not in notice.targets:
        return set()
    active = (Member.organization_id == around.organization_id, Member.status == "active")
    found: set[UUID | None] = set()
    if wanted:
        found |= set(await session.scalars(select(Member.id).where(*active, or_(*wanted))))
    if Target.SUPERVISORS in notice.targets:
        found |= set(await supervisors(session, around.organization_id, around.team_id))
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
