"""What reports count: one narrow row a ticket, written with its record."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import String

from db.models.table import OrganizationId, Table


class TicketFacts(Table):
    """The ticket's properties as they are, and the moments that reports measure.

    ``first_replied_at`` is the first public answer by a human, ``resolved_at`` the latest resolution that still
    holds. The verdicts are ``domain.clocks.Verdict``s; ``next_met`` and ``next_breached`` count the episodes of the
    next response. Nothing here names or quotes anybody: it outlives a requester who is erased.
    """

    __tablename__ = "ticket_facts"

    ticket_id: Mapped[UUID] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    created_at: Mapped[datetime]
    channel: Mapped[str]
    source: Mapped[str]
    priority: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String))
    team_id: Mapped[UUID | None]
    assignee_id: Mapped[UUID | None]
    status: Mapped[str]
    merged: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    first_replied_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]
    first_response: Mapped[str]
    resolution: Mapped[str]
    next_met: Mapped[int] = mapped_column(default=0, server_default="0")
    next_breached: Mapped[int] = mapped_column(default=0, server_default="0")

    __table_args__ = (
        Index("ix_ticket_facts_created", "organization_id", "created_at"),
        Index("ix_ticket_facts_resolved", "organization_id", "resolved_at"),
    )
