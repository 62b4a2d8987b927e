"""Business calendars as clients send and see them."""

from datetime import date, datetime
from uuid import UUID

from pydantic import ConfigDict, Field

from api.schemas.fields import Document, Name, View
from domain.calendar import MAX_DATES, MAX_HOURS, BusinessCalendar, OwnDate, WeeklyHours

_DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday"]


class CalendarDocument(Document):
    """When the organization works, in local wall time; several intervals a day, over midnight if need be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Office",
                    "time_zone": "Europe/Berlin",
                    "hours": [{"day": day, "opens": "09:00", "closes": "17:00"} for day in _DAYS],
                    "country": "DE",
                    "subdivision": "BE",
                    "worked_holidays": [],
                    "dates": [{"date": "2026-12-24", "name": "Christmas Eve", "hours": []}],
                    "is_default": True,
                }
            ]
        }
    )

    name: Name
    time_zone: str = Field(max_length=64, description="An IANA name.", examples=["Europe/Berlin"])
    hours: list[WeeklyHours] = Field(max_length=MAX_HOURS)
    country: str | None = Field(default=None, max_length=3, description="Whose holidays are closed.", examples=["DE"])
    subdivision: str | None = Field(default=None, max_length=10, examples=["BE"])
    worked_holidays: list[str] = Field(
        default_factory=list, max_length=200, description="Names of that country's holidays on which you work."
    )
    dates: list[OwnDate] = Field(
        default_factory=list, max_length=MAX_DATES, description="Dates with hours of their own; without hours, closed."
    )
    is_default: bool = Field(default=False, description="For policies that name no calendar.")

    def calendar(self, version: int = 1) -> BusinessCalendar:
        """The domain's calendar, not checked yet."""
        return BusinessCalendar(
            name=self.name,
            time_zone=self.time_zone,
            hours=tuple(self.hours),
            country=self.country,
            subdivision=self.subdivision,
            worked_holidays=tuple(self.worked_holidays),
            dates=tuple(self.dates),
            version=version,
        )


class CalendarView(CalendarDocument):
    """A business calendar; ``version`` counts its changes."""

    model_config = ConfigDict(extra="ignore")

    id: UUID
    version: int
    created_at: datetime


class ChangedCalendarView(CalendarView):
    """A calendar as it was just replaced."""

    rollout_id: UUID = Field(description="The rollout that tells running tickets of it.")


class HolidayView(View):
    """A holiday of a calendar's country; ``enabled`` is false where the organization works on it."""

    date: date
    name: str
    enabled: bool
