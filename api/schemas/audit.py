"""The audit log as clients see it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from api.schemas.fields import View


class AuditActorView(View):
    """Who did it, and through which key and from where."""

    kind: str = Field(examples=["member"])
    id: UUID | None
    name: str | None
    key_id: UUID | None = Field(description="The API key it came through.")
    address: str | None = Field(examples=["192.0.2.7"])


class AuditEntryView(View):
    """One act of administration."""

    id: int
    at: datetime
    actor: AuditActorView
    action: str = Field(examples=["member.changed"])
    subject_kind: str = Field(examples=["member"])
    subject_id: UUID | None
    before: dict[str, Any] | None = Field(description="What changed, as it was; null for what was made.")
    after: dict[str, Any] | None = Field(description="As it is; null for what was deleted.")
