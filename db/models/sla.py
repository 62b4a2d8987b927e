"""Business calendars and SLA policies as an organization keeps them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class CalendarRow(Table):
    """A ``domain.calendar.BusinessCalendar`` (``definition``); one of them is the organization's default."""

    __tablename__ = "calendars"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    definition: Mapped[dict[str, Any]]
    is_default: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        Index("one_default_calendar", "organization_id", unique=True, postgresql_where=text("is_default")),
    )


class SlaPolicyRow(Table):
    """An SLA policy: its place among the others, and whether it is in use. What it promises is in its versions."""

    __tablename__ = "sla_policies"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    position: Mapped[int]
    enabled: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[CreatedAt]

    __table_args__ = (UniqueConstraint("organization_id", "name"), Index(None, "organization_id", "position"))


class SlaPolicyVersion(Table):
    """What a policy promised from a moment on, to tickets created since ``effective_from``.

    ``definition`` is the rest of a ``domain.sla.SlaPolicy``. A version that was applied to running
    tickets is effective from the beginning of time.
    """

    __tablename__ = "sla_policy_versions"

    policy_id: Mapped[UUID] = mapped_column(ForeignKey("sla_policies.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[dict[str, Any]]
    effective_from: Mapped[datetime]
