"""The audit log: who administered what, when and from where."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from sqlalchemy import select

from api.dependencies import Caller, ReadSession
from api.pagination import Page, Paging, after_number
from api.schemas.audit import AuditActorView, AuditEntryView
from api.schemas.fields import Moment
from db.models import AuditEntry

router = APIRouter(tags=["administration"])


@router.get("/audit-log", summary="Read the audit log, the newest first")
async def read_audit_log(
    caller: Caller,
    session: ReadSession,
    place: Paging,
    *,
    actor_id: Annotated[UUID | None, Query(description="A member's, or a key's.")] = None,
    subject_id: Annotated[UUID | None, Query(description="What was changed.")] = None,
    subject_kind: Annotated[str | None, Query(max_length=50, pattern=r"^[a-z_]+$", examples=["member"])] = None,
    action: Annotated[str | None, Query(max_length=50, pattern=r"^[a-z_.]+$", examples=["member.changed"])] = None,
    since: Annotated[Moment | None, Query()] = None,
    until: Annotated[Moment | None, Query(description="Not itself.")] = None,
) -> Page[AuditEntryView]:
    """Changes of people, keys, rules and settings, with what they changed, and who signed in or failed to."""
    wanted = {
        AuditEntry.actor_id: actor_id,
        AuditEntry.subject_id: subject_id,
        AuditEntry.subject_kind: subject_kind,
        AuditEntry.action: action,
    }
    mine = select(AuditEntry).where(AuditEntry.organization_id == caller.organization_id)
    mine = mine.where(*(column == value for column, value in wanted.items() if value is not None))
    if since:
        mine = mine.where(AuditEntry.at >= since)
    if until:
        mine = mine.where(AuditEntry.at < until)
    rows = list(await session.scalars(after_number(mine, AuditEntry.id, place, newest_first=True)))
    items = [_view(row) for row in rows[: place.limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(rows) > place.limit else None)


def _view(row: AuditEntry) -> AuditEntryView:
    actor = AuditActorView(
        kind=row.actor_kind, id=row.actor_id, name=row.actor_name, key_id=row.key_id, address=row.address
    )
    return AuditEntryView(
        id=row.id,
        at=row.at,
        actor=actor,
        action=row.action,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        before=row.before,
        after=row.after,
    )
