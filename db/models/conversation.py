"""Requesters, their conversations, and what was said in them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import String

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Channel(Table):
    """A way customers write in: its ``kind``, a name, and how to answer (``settings``)."""

    __tablename__ = "channels"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str]
    name: Mapped[str]
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        Index(None, "organization_id", "created_at", "id"),
    )


class Requester(Table):
    """A customer who writes; ``external_id`` is the caller's own name for them.

    ``language`` is the tag of the one they are told things in, ``None`` where it is not known. ``erased_at`` is when
    what was known of them was erased for the last time.
    """

    __tablename__ = "requesters"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    external_id: Mapped[str | None]
    name: Mapped[str | None]
    email: Mapped[str | None]
    language: Mapped[str | None]
    erased_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "external_id"),
        Index(None, "organization_id", "created_at", "id"),
    )


class Conversation(Table):
    """A thread of messages with one requester on one channel.

    ``handled_by`` is ``bot`` or ``human``. ``answered_at`` is when a person last answered, ``waiting_since`` when the
    customer wrote the first message after that, automatic replies aside. ``ticket_id`` is the newest ticket made of it.
    ``owner_id`` is the member who has it, ``None`` for the bot, the queue, or everybody.
    """

    __tablename__ = "conversations"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    external_id: Mapped[str | None]
    channel: Mapped[str]
    channel_id: Mapped[UUID | None] = mapped_column(ForeignKey("channels.id"))
    requester_id: Mapped[UUID] = mapped_column(ForeignKey("requesters.id"))
    handled_by: Mapped[str] = mapped_column(default="human", server_default="human")
    owner_id: Mapped[UUID | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(String), server_default=text("'{}'"))
    waiting_since: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    ticket_id: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "external_id"),
        Index(None, "organization_id", "created_at", "id"),
        Index(None, "channel_id", postgresql_where=text("channel_id IS NOT NULL")),
        Index(None, "requester_id", "created_at", "id"),
    )


class Message(Table):
    """A line of a conversation, kept once: ``external_id`` is unique in its conversation.

    ``author_kind`` is ``customer``, ``bot``, ``agent`` or ``system``; ``automatic`` marks a machine's reply
    in a customer's name. ``sent_at`` is the sender's time, ``created_at`` when it was stored. ``reading`` is what was
    read in a customer's message (``domain.reading.Reading``). ``erased`` messages have lost their words.
    ``out_of_turn`` marks what a bot wrote although a human had the conversation.
    """

    __tablename__ = "messages"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    ticket_id: Mapped[UUID | None]
    external_id: Mapped[str]
    author_kind: Mapped[str]
    author_id: Mapped[UUID | None]
    author_name: Mapped[str | None]
    body: Mapped[str]
    automatic: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    reading: Mapped[dict[str, Any] | None]
    erased: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    out_of_turn: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    sent_at: Mapped[datetime]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("conversation_id", "external_id"),
        Index(None, "conversation_id", "created_at", "id"),
        Index(None, "conversation_id", "sent_at"),
        Index("ix_messages_read", "organization_id", "sent_at", "id", postgresql_where=text("reading IS NOT NULL")),
    )


class TicketOpening(Table):
    """A ticket that has been decided on and whose workflow may not have been started yet.

    ``start`` is the workflow's input (``workflows.messages.StartTicket``). The row goes once the workflow runs; until
    then everybody who needs the ticket starts it.
    """

    __tablename__ = "ticket_openings"

    ticket_id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    start: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]


class UntoldMessage(Table):
    """A customer's or an agent's message that its ticket may not have been told of.

    Written with the message, and removed by a sweep once the ticket's story has it; ``due_at`` is since when one looks.
    """

    __tablename__ = "untold_messages"

    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True)
    organization_id: Mapped[OrganizationId]
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (Index(None, "due_at"),)


class Note(Table):
    """An internal remark on a ticket; customers never see it."""

    __tablename__ = "notes"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    ticket_id: Mapped[UUID]
    author_id: Mapped[UUID | None]
    author_name: Mapped[str | None]
    body: Mapped[str]
    mention_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid()), server_default=text("'{}'"))
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "ticket_id", "created_at", "id"),)
