"""Mails that are written with the change that causes them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, Table


class Mail(Table):
    """A mail, sent once for its ``key``; ``organization_id`` is ``None`` where it is nobody's in particular."""

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
