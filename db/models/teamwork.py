"""Working together on tickets: who follows and who looks, what belongs together, and many changed at once."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class TicketWatcher(Table):
    """A member follows a ticket: told what its assignee is told."""

    __tablename__ = "ticket_watchers"

    ticket_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), primary_key=True, index=True)
    organization_id: Mapped[OrganizationId]
    created_at: Mapped[CreatedAt]


class TicketPresence(Table):
    """A member has a ticket open until ``expires_at``; ``activity`` is ``viewing`` or ``answering``.

    Unlogged: what a crash forgets is renewed by the members' browsers within seconds.
    """

    __tablename__ = "ticket_presences"

    ticket_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(ForeignKey("members.id", ondelete="CASCADE"), primary_key=True)
    organization_id: Mapped[OrganizationId]
    activity: Mapped[str]
    since: Mapped[datetime]
    expires_at: Mapped[datetime]

    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


class TicketLink(Table):
    """Two tickets have to do with each other: ``ticket_id`` is related to, duplicate of, or blocks ``other_id``.

    A ``related`` link has the smaller id first, so that it cannot be made twice.
    """

    __tablename__ = "ticket_links"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    ticket_id: Mapped[UUID]
    other_id: Mapped[UUID]
    kind: Mapped[str]
    created_by: Mapped[str | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("ticket_id", "other_id", "kind"),
        Index(None, "other_id"),
    )


class TicketMerge(Table):
    """Which ticket goes into which: claimed by the merging ticket's workflow before anything else happens.

    The rows never form a circle, since each is written under one lock for the organization. A merge that was refused
    has no row.
    """

    __tablename__ = "ticket_merges"

    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    target_id: Mapped[UUID]
    request_id: Mapped[str]
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "target_id"),)


class BulkChange(Table):
    """One change asked of many tickets; run by a workflow of the same id.

    ``ticket_ids`` were chosen when it was asked for; those before ``examined`` are done. ``status`` is ``running``,
    ``stopping``, ``stopped`` or ``done``. ``refusals`` counts by code; ``refused`` lists the first ones.
    """

    __tablename__ = "bulk_changes"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    actor: Mapped[dict[str, Any]]
    change: Mapped[dict[str, Any]]
    ticket_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()))
    status: Mapped[str]
    examined: Mapped[int] = mapped_column(default=0, server_default="0")
    changed: Mapped[int] = mapped_column(default=0, server_default="0")
    unchanged: Mapped[int] = mapped_column(default=0, server_default="0")
    refusals: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    refused: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))
    created_at: Mapped[CreatedAt]
    finished_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "organization_id", "created_at", "id"),)
