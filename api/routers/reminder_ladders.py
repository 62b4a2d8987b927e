"""Reminder ladders: when waiting tickets remind their customers."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Caller, Principal, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own, in_turn
from api.pagination import Page, Paging, page_by_time
from api.problems import unique_or
from api.schemas.ladder import ReminderLadderDocument, ReminderLadderView
from db.models import ReminderLadderRow

router = APIRouter(prefix="/reminder-ladders", tags=["ladders"])


@router.post("", status_code=201, response_model=ReminderLadderView, summary="Create a reminder ladder")
async def create_ladder(
    document: ReminderLadderDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """Without any ladder an organization has the built-in one: remind after 1 and 3 days, resolve after 7."""

    async def work() -> ReminderLadderView:
        await in_turn(session, caller)
        row = ReminderLadderRow(
            id=uuid4(), organization_id=caller.organization_id, version=0, created_at=datetime.now(UTC)
        )
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List reminder ladders")
async def list_ladders(caller: Caller, session: ReadSession, place: Paging) -> Page[ReminderLadderView]:
    mine = select(ReminderLadderRow).where(ReminderLadderRow.organization_id == caller.organization_id)
    return await page_by_time(session, mine, ReminderLadderRow, ReminderLadderView, place)


@router.get("/{ladder_id}", summary="Read a reminder ladder")
async def read_ladder(ladder_id: UUID, caller: Caller, session: ReadSession) -> ReminderLadderView:
    return ReminderLadderView.model_validate(
        await find_own(session, caller, ReminderLadderRow, ladder_id, "reminder ladder")
    )


@router.put("/{ladder_id}", response_model=ReminderLadderView, summary="Replace a reminder ladder")
async def replace_ladder(
    ladder_id: UUID, document: ReminderLadderDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """Replace a ladder; tickets that wait already stay on the one their waiting began with."""

    async def work() -> ReminderLadderView:
        await in_turn(session, caller)
        return await _write(
            session,
            caller,
            await find_own(session, caller, ReminderLadderRow, ladder_id, "reminder ladder", lock=True),
            document,
        )

    return await once(session, caller.organization_id, request, work)


@router.delete("/{ladder_id}", status_code=204, summary="Delete a reminder ladder")
async def delete_ladder(ladder_id: UUID, caller: Caller, session: Session) -> None:
    """Delete a ladder; without a default one, the built-in ladder applies."""
    async with session.begin():
        await session.delete(
            await find_own(session, caller, ReminderLadderRow, ladder_id, "reminder ladder", lock=True)
        )


async def _write(
    session: AsyncSession, caller: Principal, row: ReminderLadderRow, document: ReminderLadderDocument
) -> ReminderLadderView:
    """Put the document into the row; one ladder at most is the default. The caller owns the transaction."""
    ladder = document.ladder().model_dump(mode="json")
    if document.is_default:
        await session.execute(
            update(ReminderLadderRow)
            .where(ReminderLadderRow.organization_id == caller.organization_id, ReminderLadderRow.id != row.id)
            .values(is_default=False)
        )
    row.name, row.steps, row.is_default, row.version = (
        ladder["name"],
        ladder["steps"],
        document.is_default,
        row.version + 1,
    )
    session.add(row)
    with unique_or("A reminder ladder with this name exists already."):
        await session.flush()
    return ReminderLadderView.model_validate(row)
