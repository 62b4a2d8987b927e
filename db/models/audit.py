"""The audit log: who administered what."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import OrganizationId, Table


class AuditEntry(Table):
    """One act of administration, written in its own transaction and never changed.

    ``actor_*`` say who, ``key_id`` through which API key, ``address`` from where. ``before`` and ``after`` hold the
    values that changed; ``before`` is ``None`` for what was made, ``after`` for what was deleted.
    """

    __tablename__ = "audit_log"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    organization_id: Mapped[OrganizationId]
    at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]
    key_id: Mapped[UUID | None]
    address: Mapped[str | None]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]

    __table_args__ = (
        Index(None, "organization_id", "id"),
        Index(None, "organization_id", "subject_id", "id"),
    )
