"""Business calendars: when an organization works."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Response
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import AppServices, Caller, Principal, ReadSession, Session
from api.idempotency import Idempotency, once
from api.own import find_own, in_turn
from api.pagination import Page, Paging, after, encode_cursor
from api.problems import Problem, unique_or
from api.rollouts import Rollouts
from api.schemas.calendar import CalendarDocument, CalendarView, ChangedCalendarView, HolidayView
from db.models import CalendarRow
from db.rules import rules_changed
from db.sla import policy_naming, read_calendar
from domain.calendar import holidays_of

router = APIRouter(prefix="/calendars", tags=["sla"])


@router.post("", status_code=201, response_model=CalendarView, summary="Create a calendar")
async def create_calendar(
    document: CalendarDocument, caller: Caller, session: Session, request: Idempotency
) -> Response:
    """A calendar without working time in the coming year is refused."""

    async def work() -> CalendarView:
        await in_turn(session, caller)
        row = CalendarRow(id=uuid4(), organization_id=caller.organization_id, version=0, created_at=datetime.now(UTC))
        return await _write(session, caller, row, document)

    return await once(session, caller.organization_id, request, work, status=201)


@router.get("", summary="List calendars")
async def list_calendars(caller: Caller, session: ReadSession, place: Paging) -> Page[CalendarView]:
    mine = select(CalendarRow).where(CalendarRow.organization_id == caller.organization_id)
    rows = list(await session.scalars(after(mine, CalendarRow.created_at, CalendarRow.id, place)))
    shown = rows[: place.limit]
    more = len(rows) > place.limit
    cursor = encode_cursor(shown[-1].created_at, shown[-1].id) if more else None
    return Page(items=[_view(row) for row in shown], next_cursor=cursor)


@router.get("/{calendar_id}", summary="Read a calendar")
async def read(calendar_id: UUID, caller: Caller, session: ReadSession) -> CalendarView:
    return _view(await find_own(session, caller, CalendarRow, calendar_id, "calendar"))


@router.get("/{calendar_id}/holidays", summary="The holidays of a year, worked on or not")
async def read_holidays(
    calendar_id: UUID, caller: Caller, session: ReadSession, year: Annotated[int, Query(ge=1970, le=2400)]
) -> list[HolidayView]:
    row = await find_own(session, caller, CalendarRow, calendar_id, "calendar")
    return [HolidayView.model_validate(holiday) for holiday in holidays_of(read_calendar(row), year)]


@router.put("/{calendar_id}", response_model=ChangedCalendarView, summary="Replace a calendar")
async def replace_calendar(
    calendar_id: UUID,
    document: CalendarDocument,
    caller: Caller,
    session: Session,
    services: AppServices,
    *,
    request: Idempotency,
) -> Response:
    """Replace a calendar. Running tickets are told, and count the time they have spent by the new hours."""
    rollouts = Rollouts(services, caller)

    async def work() -> ChangedCalendarView:
        await in_turn(session, caller)
        row = await find_own(session, caller, CalendarRow, calendar_id, "calendar", lock=True)
        view = await _write(session, caller, row, document)
        return ChangedCalendarView(**view.model_dump(), rollout_id=rollouts.id_of(request))

    response = await once(session, caller.organization_id, request, work)
    await rollouts.start(request, f"The calendar {document.name} was changed.")
    return response


@router.delete("/{calendar_id}", status_code=204, response_class=Response, summary="Delete a calendar no policy uses")
async def delete_calendar(calendar_id: UUID, caller: Caller, session: Session, request: Idempotency) -> Response:
    """A policy's older versions use it too, until a newer one is applied to running tickets."""

    async def work() -> None:
        await in_turn(session, caller)
        row = await find_own(session, caller, CalendarRow, calendar_id, "calendar", lock=True)
        used = await policy_naming(session, caller.organization_id, "calendar_id", calendar_id)
        if used is not None:
            raise Problem(
                "still_in_use",
                f"The SLA policy {used} counts by this calendar; give it another one and apply it to running tickets.",
            )
        await session.delete(row)
        await rules_changed(session, caller.organization_id)

    return await once(session, caller.organization_id, request, work, status=204)


async def _write(
    session: AsyncSession, caller: Principal, row: CalendarRow, document: CalendarDocument
) -> CalendarView:
    """Put the checked document into the row; one calendar at most is the default. The caller owns the transaction."""
    calendar = document.calendar().checked(datetime.now(UTC))
    if document.is_default:
        await session.execute(
            update(CalendarRow)
            .where(CalendarRow.organization_id == caller.organization_id, CalendarRow.id != row.id)
            .values(is_default=False)
        )
    row.name, row.is_default, row.version = document.name, document.is_default, row.version + 1
    row.definition = calendar.model_dump(mode="json", exclude={"name", "version"})
    session.add(row)
    with unique_or("A calendar with this name exists already."):
        await session.flush()
    await rules_changed(session, caller.organization_id)  # those that ask for business hours
    return _view(row)


def _view(row: CalendarRow) -> CalendarView:
    return CalendarView(
        **row.definition,
        name=row.name,
        is_default=row.is_default,
        id=row.id,
        version=row.version,
        created_at=row.created_at,
    )
