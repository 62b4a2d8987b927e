"""What members have chosen to be told, the mails they are sent, and what open pages are shown as it happens."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class NotificationSettings(Table):
    """What a member has chosen: ``domain.notices.Preferences``, in two documents. Who chose nothing has no row."""

    __tablename__ = "notification_settings"

    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), primary_key=True)
    organization_id: Mapped[OrganizationId]
    media: Mapped[dict[str, Any]]
    quiet_hours: Mapped[dict[str, Any] | None]


class Mail(Table):
    """A mail, sent once for its ``key``. ``state`` is a ``domain.mail.MailState``; ``error`` says what went wrong last.

    ``organization_id`` is ``None`` where somebody is written to who belongs to none. ``headers`` go beside those that
    every mail has. A token that lets its receiver in is put into ``text`` as the mail is sent, and is never here.
    """

    __tablename__ = "mails"

    id: Mapped[Key]
    key: Mapped[str] = mapped_column(unique=True)
    organization_id: Mapped[UUID | None] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))
    to_address: Mapped[str]
    subject: Mapped[str]
    text: Mapped[str]
    html: Mapped[str | None]
    headers: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    created_at: Mapped[CreatedAt]
    sent_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0, server_default=sql("0"))
    state: Mapped[str]
    error: Mapped[str | None]

    __table_args__ = (
        Index("ix_mails_queued", "created_at", postgresql_where=sql("state = 'queued'")),
        Index(None, "organization_id"),
    )


class LiveEvent(Table):
    """Something that has just happened, kept for as long as a page may have been away.

    ``transaction`` is the one that wrote it: rows in the order of transaction and id, read up to the oldest
    transaction that still runs, never get one put between them (ADR 17). ``member_id`` is the only one who may see it,
    ``None`` where everybody of the organization may.
    """

    __tablename__ = "live_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction: Mapped[int] = mapped_column(
        BigInteger, server_default=sql("CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
    )
    organization_id: Mapped[OrganizationId]
    member_id: Mapped[UUID | None]
    ticket_id: Mapped[UUID | None]
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "transaction", "id"), Index(None, "at"))
