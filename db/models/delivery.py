"""What goes out by conversations' channels, and the secrets with which it does."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Delivery(Table):
    """A message to a customer, or a notice to their platform, delivered once for its ``key``.

    ``kind``, ``state`` and ``connector`` are those of ``domain.delivery``; the connector is the one the channel had
    when this was written. ``message_id`` is ``None`` for notices, whose content is ``about``. ``number`` is the order
    within a conversation. ``attempts`` are the latest, each with ``at``, ``outcome`` and ``reason``; ``reason`` is the
    last one's. ``due_at`` is when the next attempt is expected, ``try_until`` when it has failed.
    """

    __tablename__ = "deliveries"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    key: Mapped[str]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    message_id: Mapped[UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    channel_id: Mapped[UUID] = mapped_column(ForeignKey("channels.id"))
    connector: Mapped[str]
    kind: Mapped[str]
    about: Mapped[dict[str, Any]] = mapped_column(server_default=sql("'{}'"))
    number: Mapped[int] = mapped_column(BigInteger, Identity())
    state: Mapped[str]
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(server_default=sql("'[]'"))
    tried: Mapped[int] = mapped_column(default=0, server_default=sql("0"))
    reason: Mapped[str | None]
    provider_id: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    due_at: Mapped[datetime]
    try_until: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("organization_id", "key"),
        Index(None, "organization_id", "created_at", "id"),
        Index(None, "message_id"),
        Index(None, "channel_id"),
        Index(
            "ix_deliveries_pending",
            "conversation_id",
            "number",
            postgresql_where=sql("state = 'pending' AND connector <> 'webchat'"),
        ),
        Index("ix_deliveries_failed", "finished_at", postgresql_where=sql("state = 'failed'")),
    )


class ChannelSecret(Table):
    """A secret of a channel, sealed (``db.channel_secrets``) and never shown again.

    ``purpose`` says what it is for; of one purpose the newest is used, and those that have not expired count too.
    """

    __tablename__ = "channel_secrets"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    channel_id: Mapped[UUID] = mapped_column(ForeignKey("channels.id", ondelete="CASCADE"))
    purpose: Mapped[str]
    sealed: Mapped[bytes]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "channel_id", "purpose"),)
