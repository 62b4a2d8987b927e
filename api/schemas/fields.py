"""Types of fields that several documents share, with their limits."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from domain.message_template import MAX_TEMPLATE
from domain.ticket import MAX_DESCRIPTION, MAX_TAG, MAX_TAGS, MAX_TITLE

MAX_BODY = 20_000
"""Characters of a message or a note."""


class Document(BaseModel):
    """What a client sends: unknown fields are refused, since they are mostly misspelt ones."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(from_attributes=True)


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold NUL characters")
    return value


def _tags(values: list[str]) -> list[str]:
    return list(dict.fromkeys(value.casefold() for value in values))


def _span(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= timedelta(days=3660):
        raise ValueError("must be longer than nothing and at most ten years")
    return value


def _moment(value: datetime) -> datetime:
    # At the ends of Python's calendar another offset leads out of it, and what is stored could not be read again.
    if not _EARLIEST <= value <= _LATEST:
        raise ValueError("must lie between the years 1970 and 9999")
    return value


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_Trimmed = StringConstraints(strip_whitespace=True, min_length=1)
_Storable = AfterValidator(_storable)

Name = Annotated[str, _Trimmed, StringConstraints(max_length=100), _Storable]
Title = Annotated[str, _Trimmed, StringConstraints(max_length=MAX_TITLE), _Storable]
Description = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION), _Storable]
Body = Annotated[str, StringConstraints(min_length=1, max_length=MAX_BODY), _Storable]
TemplateText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEMPLATE), _Storable]
Reason = Annotated[str, _Trimmed, StringConstraints(max_length=500), _Storable]
ExternalId = Annotated[str, _Trimmed, StringConstraints(max_length=200), _Storable]
Email = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=254, pattern=r"^[^@\s]+@[^@\s]+$"), _Storable
]
Tag = Annotated[str, _Trimmed, StringConstraints(max_length=MAX_TAG), _Storable]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_tags)]
Sought = Annotated[str, StringConstraints(max_length=200), _Storable]
"""What a list is searched for."""
Span = Annotated[timedelta, AfterValidator(_span)]
"""A length of time, ISO 8601: ``PT4H``, ``P3D``."""
Capacity = Annotated[int, Field(ge=1, le=10_000, description="Tickets, open and in progress, at one time.")]
LanguageTag = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, max_length=35, to_lower=True, pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$"
    ),
    Field(examples=["es", "pt-BR"]),
]
"""A language, kept in small letters."""
Moment = Annotated[AwareDatetime, AfterValidator(_moment)]
"""RFC 3339 with its offset."""


class Named(View):
    """A team or a person, with the name they had when it was set."""

    id: UUID
    name: str | None


def named(id_: UUID | None, name: str | None) -> Named | None:
    """A reference, or ``None`` for nobody."""
    return Named(id=id_, name=name) if id_ else None
