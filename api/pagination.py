"""Keyset pagination: a page begins after the last row of the one before, however the table changes between."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel, Field
from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from api.problems import Problem

T = TypeVar("T", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=100, description="Rows a page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]


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
        raise Problem("invalid_cursor", "The cursor is not one of ours; begin again without it.") from error


def after(
    statement: Select[Any],
    moment: InstrumentedAttribute[datetime],
    row_id: InstrumentedAttribute[UUID],
    cursor: str | None,
    limit: int,
    *,
    newest_first: bool = False,
) -> Select[Any]:
    """Order ``statement`` by time and id, from ``cursor`` on, with one row more than ``limit`` to look ahead."""
    if cursor is not None:
        place = tuple_(*decode_cursor(cursor))
        columns = tuple_(moment, row_id)
        statement = statement.where(columns < place if newest_first else columns > place)
    order = (moment.desc(), row_id.desc()) if newest_first else (moment, row_id)
    return statement.order_by(*order).limit(limit + 1)
