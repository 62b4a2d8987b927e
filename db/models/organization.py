"""Tenants, the keys their programs use, and what their programs have asked for once."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Index, String, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table


class Organization(Table):
    """A tenant. ``next_ticket_number`` is the number the next ticket gets.

    ``member_capacity`` is how many tickets a member is given at most where neither member nor team says; ``None`` is
    any number. ``rules_revision`` counts changes of what messages are judged by, so that processes know when to read
    it again. ``language`` is that of customers whose own is not known; ``customer_messages`` says by kind
    (``domain.events.CustomerMessageKind``) whether it is said at all, where the organization has chosen.
    ``escalate_human_requests`` has a customer who asks for a human put into the queue without any rule.
    """

    __tablename__ = "organizations"

    id: Mapped[Key]
    name: Mapped[str]
    auto_close_after: Mapped[timedelta]
    reopen_window: Mapped[timedelta]
    member_capacity: Mapped[int | None]
    next_ticket_number: Mapped[int] = mapped_column(default=1, server_default="1")
    rules_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    language: Mapped[str] = mapped_column(default="en", server_default="en")
    customer_messages: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default=text("'{}'"))
    escalate_human_requests: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    created_at: Mapped[CreatedAt]


class ApiKey(Table):
    """A program's key: only a keyed hash of it is kept. ``hint`` is its first characters, for lists.

    ``scopes`` are ``domain.permissions.Scope`` values, ``None`` for all rights. ``last_used_at`` is right to a minute.
    """

    __tablename__ = "api_keys"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    hint: Mapped[str]
    hash: Mapped[bytes] = mapped_column(unique=True)
    scopes: Mapped[list[str] | None] = mapped_column(ARRAY(String))
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (Index(None, "organization_id", "created_at", "id"),)


class IdempotentRequest(Table):
    """A request that came with a key: sent again, it gets ``answer`` again.

    ``answer`` is written in the transaction of the change itself, so it exists exactly when the
    change does. A ticket's commands are not kept here: the ticket's own events know them.
    """

    __tablename__ = "idempotent_requests"

    organization_id: Mapped[OrganizationId] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    status: Mapped[int]
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[CreatedAt]

    __table_args__ = (Index(None, "created_at"),)
