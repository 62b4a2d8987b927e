"""Members, their teams, and what they are told."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Member(Table):
    """A person of an organization; disabled rather than deleted, since their acts stay theirs.

    ``heartbeat_at`` is of a presence that has to be kept up; without it ``presence`` holds until it is changed.
    ``capacity`` is how many tickets they are given at most, ``None`` what their team or organization says. From
    ``out_from`` until ``out_until`` they are out of office, and ``replacement_id`` takes their turns.
    ``account_id`` is who signs in as this member; ``None`` for whom only programs act.
    """

    __tablename__ = "members"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    email: Mapped[str]
    role: Mapped[str]
    status: Mapped[str]
    presence: Mapped[str]
    heartbeat_at: Mapped[datetime | None]
    capacity: Mapped[int | None]
    out_from: Mapped[datetime | None]
    out_until: Mapped[datetime | None]
    replacement_id: Mapped[UUID | None] = mapped_column(ForeignKey("members.id"))
    account_id: Mapped[UUID | None] = mapped_column(ForeignKey("accounts.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "email"),
        UniqueConstraint("account_id", "organization_id"),
        Index(None, "organization_id", "created_at", "id"),
    )


class Team(Table):
    """Members who share a queue.

    ``acknowledge_within`` is how long an assigned ticket may stay open; ``None`` sets no limit.
    What happens then is ``escalation_ladder_id``'s ladder, else the default one. ``member_capacity`` is the capacity of
    members who have none of their own, ``None`` the organization's.

    ``queue_ladder_id`` is climbed while a conversation waits in the team's queue, ``None`` for the default; its waits
    count working time where ``queue_in_business_hours``. ``silence_limit`` is how long whoever has a conversation may
    leave its customer waiting, ``None`` for the default.
    """

    __tablename__ = "teams"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    assignment: Mapped[str]
    acknowledge_within: Mapped[timedelta | None]
    escalation_ladder_id: Mapped[UUID | None] = mapped_column(ForeignKey("escalation_ladders.id"))
    supervisor_id: Mapped[UUID | None] = mapped_column(ForeignKey("members.id"))
    member_capacity: Mapped[int | None]
    queue_ladder_id: Mapped[UUID | None] = mapped_column(ForeignKey("escalation_ladders.id"))
    queue_in_business_hours: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    silence_limit: Mapped[timedelta | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        Index(None, "organization_id", "created_at", "id"),
    )


class TeamMember(Table):
    """A member's place in a team; ``position`` is the order in which turns are taken, ``last_turn`` the last one."""

    __tablename__ = "team_members"

    team_id: Mapped[UUID] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), primary_key=True, index=True)
    position: Mapped[int]
    last_turn: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Notification(Table):
    """A member is told something, once: ``key`` names its subject, episode, step, receiver and medium.

    The subject is a ticket, a conversation, or a ticket made of that conversation. One by email is ``mail_due`` until
    it is in a mail, or too old for one.
    """

    __tablename__ = "notifications"

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    key: Mapped[str] = mapped_column(unique=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"))
    conversation_id: Mapped[UUID | None]
    ticket_id: Mapped[UUID | None]
    ticket_version: Mapped[int | None]
    medium: Mapped[str] = mapped_column(server_default=text("'in_app'"))
    kind: Mapped[str]
    why: Mapped[str]
    urgent: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    mail_due: Mapped[bool] = mapped_column(server_default=text("false"))
    mail_id: Mapped[UUID | None] = mapped_column(ForeignKey("mails.id", ondelete="SET NULL"))

    __table_args__ = (
        Index(None, "organization_id", "member_id", "id"),
        Index("ix_notifications_unread", "member_id", "id", postgresql_where=text("read_at IS NULL")),
        Index("ix_notifications_mail_due", "member_id", postgresql_where=text("mail_due")),
        Index(None, "mail_id", postgresql_where=text("mail_id IS NOT NULL")),
    )
