"""What is done about data as such: erasing what is known of a requester, handing out all that an organization has."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Erasure(Table):
    """That a requester was erased, by whom, and how much it was; done by a workflow of the same id.

    ``status`` is ``running`` or ``done``. The row says nothing of what was erased, and stays.
    """

    __tablename__ = "erasures"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("requesters.id"))
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    status: Mapped[str]
    tickets: Mapped[int] = mapped_column(default=0, server_default="0")
    messages: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "organization_id", "created_at", "id"), Index(None, "requester_id"))


class Export(Table):
    """All that belongs to an organization, gathered by a workflow of the same id.

    ``status`` is ``running``, ``done`` or ``expired``; ``rows`` counts by file; ``size`` is of its pages, in bytes.
    After ``expires_at`` its pages are gone.
    """

    __tablename__ = "exports"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    status: Mapped[str]
    rows: Mapped[dict[str, Any]]
    size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]

    __table_args__ = (Index(None, "organization_id", "created_at", "id"),)


class ExportPage(Table):
    """Some rows of one file of an export: JSON Lines, compressed (zlib)."""

    __tablename__ = "export_pages"

    export_id: Mapped[UUID] = mapped_column(ForeignKey("exports.id", ondelete="CASCADE"), primary_key=True)
    file: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    rows: Mapped[int]
    content: Mapped[bytes]
