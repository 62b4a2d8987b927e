"""Escalations: why humans are needed, and the read model that the recording activity writes and nobody else."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class EscalationRow(Table):
    """An escalation as its workflow last recorded it.

    ``state`` is the whole ``domain.escalation.Escalation``; the columns beside it repeat what lists filter and sort by.
    ``in_line_since`` is its place in the queue within its priority. A conversation has one live escalation at most.
    """

    __tablename__ = "escalations"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    requester_id: Mapped[UUID]
    version: Mapped[int]
    status: Mapped[str]
    priority: Mapped[str]
    priority_rank: Mapped[int] = mapped_column(SmallInteger)
    channel: Mapped[str]
    team_id: Mapped[UUID | None]
    owner_id: Mapped[UUID | None]
    ticket_id: Mapped[UUID | None]
    waiting_since: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    in_line_since: Mapped[datetime]
    raised_at: Mapped[datetime]
    first_claimed_at: Mapped[datetime | None]
    absent_since: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    state: Mapped[dict[str, Any]]

    __table_args__ = (
        Index(
            "one_live_escalation",
            "conversation_id",
            unique=True,
            postgresql_where=text("status IN ('queued', 'claimed')"),
        ),
        Index(None, "conversation_id", "raised_at"),
        Index(None, "organization_id", "raised_at", "id"),
        Index(
            "ix_escalations_queue",
            "organization_id",
            text("priority_rank DESC"),
            "in_line_since",
            "id",
            postgresql_where=text("status = 'queued'"),
        ),
        Index("ix_escalations_owner", "owner_id", "id", postgresql_where=text("status = 'claimed'")),
        Index("ix_escalations_ticket", "ticket_id", postgresql_where=text("ticket_id IS NOT NULL")),
    )


class EscalationChangeRow(Table):
    """One change of an escalation's story; the first of each request carries its id.

    ``answer`` is the escalation as a command left it, given again when the command is sent again.
    """

    __tablename__ = "escalation_changes"

    escalation_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[OrganizationId]
    conversation_id: Mapped[UUID]
    kind: Mapped[str]
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    why: Mapped[str | None]
    about: Mapped[dict[str, Any]]
    request_id: Mapped[str | None]
    fingerprint: Mapped[str | None]
    answer: Mapped[dict[str, Any] | None]

    __table_args__ = (
        # Of the conversation, since a request may come again when another escalation is live.
        Index(
            "uq_escalation_changes_request",
            "conversation_id",
            "request_id",
            unique=True,
            postgresql_where=text("request_id IS NOT NULL"),
        ),
    )


class EscalationReasonRow(Table):
    """Why a conversation needs a human: written with what says so, before its workflow is told.

    ``escalation_id`` is ``None`` until a workflow has recorded that it was told; until then ``raising`` (a
    ``domain.escalation_commands.Raise``) is sent again. ``why`` and ``note`` may quote people, so no workflow has them.
    """

    __tablename__ = "escalation_reasons"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    escalation_id: Mapped[UUID | None]
    source: Mapped[str]
    priority: Mapped[str | None]
    rule_id: Mapped[UUID | None]
    rule_version: Mapped[int | None]
    rule_name: Mapped[str | None]
    flow_id: Mapped[str | None]
    node_id: Mapped[str | None]
    metric: Mapped[str | None]
    why: Mapped[str | None]
    note: Mapped[str | None]
    raising: Mapped[dict[str, Any]]
    at: Mapped[datetime]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        Index("ix_escalation_reasons_untold", "created_at", postgresql_where=text("escalation_id IS NULL")),
        Index(None, "escalation_id", "at"),
        Index(None, "organization_id", "rule_id", "at", postgresql_where=text("rule_id IS NOT NULL")),
        Index(None, "conversation_id"),
    )


class EscalationNote(Table):
    """What a member wrote when they resolved, dismissed or handed back; kept beside the workflow, once a request."""

    __tablename__ = "escalation_notes"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    escalation_id: Mapped[UUID]
    author_id: Mapped[UUID | None]
    author_name: Mapped[str | None]
    body: Mapped[str]
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "escalation_id", "created_at", "id"),)
