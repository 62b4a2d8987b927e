"""What every table shares: naming, column types, and the columns that recur."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Interval, MetaData, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

# Named, so that a migration can name what it changes.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Key = Annotated[UUID, mapped_column(primary_key=True)]
OrganizationId = Annotated[UUID, mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"))]
CreatedAt = Annotated[datetime, mapped_column(server_default=func.now())]


class Table(DeclarativeBase):
    """Every table; times are aware UTC, documents are JSONB."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own attribute
        datetime: DateTime(timezone=True),
        timedelta: Interval(),
        dict[str, Any]: JSONB(),
        list[dict[str, Any]]: JSONB(),
    }
