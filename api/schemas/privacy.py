"""Requesters, their erasures, and exports, as clients send and see them."""

from datetime import datetime, timedelta
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Document, Span, View


class ErasureView(View):
    """That a requester was erased; ``tickets`` and ``messages`` are counted when it is `done`."""

    id: UUID
    requester_id: UUID
    status: str = Field(examples=["running", "done"])
    actor_kind: str = Field(examples=["member"])
    actor_id: UUID | None
    actor_name: str | None
    tickets: int
    messages: int
    created_at: datetime
    finished_at: datetime | None


class CreateExport(Document):
    """How long the export can be downloaded."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keep_for": "P7D"}]})

    keep_for: Span = timedelta(days=7)


class ExportView(View):
    """An export. ``rows`` counts by file once it is `done`; a `running` one shows what it has so far."""

    id: UUID
    status: str = Field(examples=["running", "done", "expired"])
    actor_kind: str = Field(examples=["member"])
    actor_id: UUID | None
    actor_name: str | None
    rows: dict[str, int] = Field(examples=[{"tickets.jsonl": 1093}])
    size: int = Field(description="Bytes kept for it.")
    created_at: datetime
    finished_at: datetime | None
    expires_at: datetime
