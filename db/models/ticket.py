"""The read model of tickets: written by the recording activity and by nobody else."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Computed, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import String

from db.models.table import Key, OrganizationId, Table


class TicketRow(Table):
    """A ticket as its workflow last recorded it.

    ``state`` is the whole ``domain.ticket.Ticket``, which a reopened ticket's new run begins with;
    the columns beside it repeat what lists filter and sort by.
    """

    __tablename__ = "tickets"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    number: Mapped[int]
    version: Mapped[int]
    title: Mapped[str]
    description: Mapped[str]
    status: Mapped[str]
    priority: Mapped[str]
    priority_rank: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String))
    team_id: Mapped[UUID | None]
    assignee_id: Mapped[UUID | None]
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("requesters.id"))
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id"))
    follow_up_of: Mapped[UUID | None]
    merged_into: Mapped[UUID | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    next_timer_at: Mapped[datetime | None]
    sla_due_at: Mapped[datetime | None]
    breached: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    state: Mapped[dict[str, Any]]
    # 'simple', since customers write in every language: no stemming, no stop words.
    search: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('simple', title || ' ' || description)", persisted=True)
    )

    __table_args__ = (
        UniqueConstraint("organization_id", "number"),
        Index("ix_tickets_created", "organization_id", "created_at", "id"),
        Index("ix_tickets_updated", "organization_id", "updated_at", "id"),
        Index("ix_tickets_status_created", "organization_id", "status", "created_at", "id"),
        Index("ix_tickets_assignee_created", "organization_id", "assignee_id", "created_at", "id"),
        Index("ix_tickets_team_created", "organization_id", "team_id", "created_at", "id"),
        Index("ix_tickets_sla_due", "organization_id", "sla_due_at", postgresql_where=text("sla_due_at IS NOT NULL")),
        Index("ix_tickets_breached", "organization_id", "created_at", "id", postgresql_where=text("breached")),
        Index("ix_tickets_tags", "tags", postgresql_using="gin"),
        Index("ix_tickets_search", "search", postgresql_using="gin"),
        Index("ix_tickets_load", "assignee_id", postgresql_where=text("status IN ('open', 'in_progress')")),
        Index("ix_tickets_merged", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
        Index("ix_tickets_follow_up", "follow_up_of", postgresql_where=text("follow_up_of IS NOT NULL")),
    )


class TicketEventRow(Table):
    """One event of a ticket's story.

    The first event of each request carries its id. ``answer`` is the ticket as a command left it,
    given again when the command is sent again. ``clock_events`` are ``domain.clocks.ClockEvent``s.
    """

    __tablename__ = "ticket_events"

    ticket_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str]
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    reason: Mapped[str | None]
    changes: Mapped[dict[str, Any]]
    about: Mapped[dict[str, Any]]
    request_id: Mapped[str | None]
    fingerprint: Mapped[str | None]
    answer: Mapped[dict[str, Any] | None]
    clock_events: Mapped[list[dict[str, Any]]] = mapped_column(server_default=text("'[]'"))

    __table_args__ = (
        Index(
            "uq_ticket_events_request",
            "ticket_id",
            "request_id",
            unique=True,
            postgresql_where=text("request_id IS NOT NULL"),
        ),
    )
