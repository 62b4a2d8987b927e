"""Keyset pagination: a page begins after the last row of the one before, however the table changes between."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlalchemy import BigInteger, ColumnElement, Select, and_, literal, or_, true, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from api.problems import Problem

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V", bound=BaseModel)
S = TypeVar("S", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True)
class Place:
    """Which page of a list."""

    limit: int
    cursor: str | None


async def _place(
    limit: Annotated[int, Query(ge=1, le=100, description="Rows a page.")] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> Place:
    return Place(limit, cursor)


Paging = Annotated[Place, Depends(_place)]


class Page(BaseModel, Generic[T]):
    """Some rows, and where the next page begins; ``next_cursor`` is null on the last page."""

    items: Sequence[T]
    next_cursor: str | None = Field(default=None, examples=["WyIyMDI2LTExLTIyVDEwOjAwOjAwWiIsIi4uLiJd"])


def encode_cursor(moment: datetime, row_id: UUID | int) -> str:
    """The place after a row."""
    return base64.urlsafe_b64encode(json.dumps([moment.isoformat(), str(row_id)]).encode()).decode()


def decode_cursor(cursor: str) -> tuple[datetime, UUID]:
    """The place a cursor names, or ``invalid_cursor``."""
    try:
        moment, row_id = json.loads(base64.urlsafe_b64decode(cursor))
        at = datetime.fromisoformat(moment)
        if at.tzinfo is None:
            raise ValueError("naive")
        return at, UUID(row_id)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise _invalid_cursor() from error


def after(
    statement: Select[Any],
    moment: InstrumentedAttribute[datetime],
    row_id: InstrumentedAttribute[UUID],
    place: Place,
    *,
    newest_first: bool = False,
) -> Select[Any]:
    """Order ``statement`` by time and id, from ``place`` on, with one row more than its limit to look ahead."""
    if place.cursor is not None:
        last = tuple_(*decode_cursor(place.cursor))
        columns = tuple_(moment, row_id)
        statement = statement.where(columns < last if newest_first else columns > last)
    order = (moment.desc(), row_id.desc()) if newest_first else (moment, row_id)
    return statement.order_by(*order).limit(place.limit + 1)


def encode_ranked(rank: int, moment: datetime, row_id: UUID) -> str:
    """The place after a row of a queue."""
    return base64.urlsafe_b64encode(json.dumps([rank, moment.isoformat(), str(row_id)]).encode()).decode()


def after_ranked(rank: Any, moment: Any, row_id: Any, place: Place) -> ColumnElement[bool]:
    """What comes after ``place`` in a queue: the highest rank first, then who waits longest; all of it without one."""
    if place.cursor is None:
        return true()
    try:
        last_rank, since, last_id = json.loads(base64.urlsafe_b64decode(place.cursor))
        at = datetime.fromisoformat(since)
        if at.tzinfo is None or not isinstance(last_rank, int):
            raise ValueError("not one of ours")
        last = UUID(last_id)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise _invalid_cursor() from error
    # Told to be wide: the cursor may be larger than the column takes.
    wide = literal(last_rank, BigInteger)
    later = or_(moment > at, and_(moment == at, row_id > last))
    return or_(rank < wide, and_(rank == wide, later))


async def page_by_time(
    session: AsyncSession, statement: Select[Any], table: type[Any], view: type[V], place: Place
) -> Page[V]:
    """A page of ``table``'s rows in the order they were created, each shown as ``view``."""
    rows = list(await session.scalars(after(statement, table.created_at, table.id, place)))
    shown = rows[: place.limit]
    more = len(rows) > place.limit
    return Page(
        items=[view.model_validate(row) for row in shown],
        next_cursor=encode_cursor(shown[-1].created_at, shown[-1].id) if more else None,
    )


def after_number(statement: S, number: InstrumentedAttribute[int], place: Place, *, newest_first: bool = False) -> S:
    """Order ``statement`` by a number that rises, after the number the cursor is, with one row to look ahead."""
    cursor = place.cursor
    if cursor is not None:
        if not (cursor.isdecimal() and cursor.isascii() and len(cursor) < 19):
            raise _invalid_cursor()
        # Told to be wide: the cursor may be larger than the column takes.
        last = literal(int(cursor), BigInteger)
        statement = statement.where(number < last if newest_first else number > last)
    return statement.order_by(number.desc() if newest_first else number).limit(place.limit + 1)


def _invalid_cursor() -> Problem:
    return Problem("invalid_cursor", "The cursor is not one of ours; begin again without it.")
