"""How an organization words what the system says to its customers."""

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from db.models.table import CreatedAt, Key, OrganizationId, Table


class MessageTemplate(Table):
    """The words of one kind (``domain.events.CustomerMessageKind``) in one language."""

    __tablename__ = "message_templates"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    kind: Mapped[str]
    language: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "kind", "language"),
        Index(None, "organization_id", "created_at", "id"),
    )
