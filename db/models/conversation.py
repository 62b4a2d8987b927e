"""Requesters, their conversations, and what was said in them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Requester(Table):
    """A customer who writes; ``external_id`` is the caller's own name for them."""

    __tablename__ = "requesters"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    external_id: Mapped[str | None]
    name: Mapped[str | None]
    email: Mapped[str | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (UniqueConstraint("organization_id", "external_id"),)


class Conversation(Table):
    """A thread of messages with one requester on one channel."""

    __tablename__ = "conversations"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    external_id: Mapped[str | None]
    channel: Mapped[str]
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("requesters.id"))
    handled_by: Mapped[str] = mapped_column(default="human", server_default="human")
    created_at: Mapped[CreatedAt]

    __table_args__ = (UniqueConstraint("organization_id", "external_id"),)


class Message(Table):
    """A line of a conversation, kept once: ``external_id`` is unique in its conversation.

    ``author_kind`` is ``customer``, ``agent`` or ``system``; ``automatic`` marks a machine's reply
    in a customer's name. ``sent_at`` is the sender's time, ``created_at`` when it was stored.
    """

    __tablename__ = "messages"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    ticket_id: Mapped[UUID]
    external_id: Mapped[str]
    author_kind: Mapped[str]
    author_id: Mapped[UUID | None]
    author_name: Mapped[str | None]
    body: Mapped[str]
    automatic: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    sent_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("conversation_id", "external_id"),
        Index(None, "conversation_id", "created_at", "id"),
    )


class Note(Table):
    """An internal remark on a ticket; customers never see it."""

    __tablename__ = "notes"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    ticket_id: Mapped[UUID]
    author_id: Mapped[UUID | None]
    author_name: Mapped[str | None]
    body: Mapped[str]
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "ticket_id", "created_at", "id"),)
