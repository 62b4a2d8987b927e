"""Ladders as an organization keeps them; their steps are the domain's own models as JSON."""

from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.table import CreatedAt, Key, OrganizationId, Table
from domain.ladders import EscalationLadder


class ReminderLadderRow(Table):
    """A ``domain.ladders.ReminderLadder``; one of them is the organization's default."""

    __tablename__ = "reminder_ladders"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    steps: Mapped[list[dict[str, Any]]]
    is_default: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[CreatedAt]

    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        Index(
            "one_default_reminder_ladder",
            "organization_id",
            unique=True,
            postgresql_where=text("is_default"),
        ),
    )


class EscalationLadderRow(Table):
    """A ``domain.ladders.EscalationLadder``."""

    __tablename__ = "escalation_ladders"

    id: Mapped[Key]
    organization_id: Mapped[OrganizationId]
    name: Mapped[str]
    steps: Mapped[list[dict[str, Any]]]
    repeat: Mapped[int] = mapped_column(default=0, server_default="0")
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[CreatedAt]

    __table_args__ = (UniqueConstraint("organization_id", "name"),)

    def ladder(self) -> EscalationLadder:
        """The domain's ladder."""
        return EscalationLadder.model_validate({"name": self.name, "steps": self.steps, "repeat": self.repeat})
