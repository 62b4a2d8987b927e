"""Business calendars: when an organization works, and arithmetic in its working time.

The one rule everything here follows: a calendar is open at an instant when the wall clock of its
time zone shows a time inside the hours of the date it shows. Hence, when clocks change:

- a wall time that is skipped (spring) adds nothing: 02:00 to 06:00 lasts three hours that day;
- a wall time that comes twice (autumn) counts both times: 02:00 to 06:00 lasts five hours;
- a closed date is closed from its midnight to the next, also for hours that began the evening before.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from domain.errors import BeyondHorizon, InvalidCalendar
from domain.ladders import Frozen
from domain.public_holidays import check_country, public_holidays, same_holiday
from domain.time_zones import DAY, EPOCH, MICROSECOND, SECOND, instant, microseconds, offsets, zone_named

HORIZON_YEARS = 20
"""How far ``add`` and ``next_open`` look before they give up, from the year they start in."""

LONGEST_CLOSURE = timedelta(days=366)
"""A calendar without working time for this long from now is refused when it is saved."""

FIRST_YEAR, LAST_YEAR = 1970, 2400
"""Instants outside these years are refused: zones and holidays mean nothing there."""

MAX_HOURS = 70
"""Intervals a week: ten a day."""

MAX_DATES = 1000

Segment = tuple[int, int]
"""From and to in microseconds; within a date since its midnight, within a year since 1970 in UTC."""


class Weekday(StrEnum):
    """The days of the week, Monday first."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


def _midnight(value: object) -> object:
    return time(0) if value in ("24:00", "24:00:00") else value


# Not JSON Schema's format "time", which has an offset: what the clock on the wall shows has none.
WallTime = Annotated[
    time, WithJsonSchema({"type": "string", "pattern": r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$", "examples": ["09:00"]})
]


class Hours(Frozen):
    """From ``opens`` until just before ``closes``, in local wall time.

    ``closes`` at or before ``opens`` means on the next day, so 22:00 to 06:00 goes over midnight and 00:00 to
    00:00 (also written 24:00) is the whole day.
    """

    opens: WallTime
    closes: Annotated[WallTime, BeforeValidator(_midnight)]


class WeeklyHours(Hours):
    """Hours of every such day; a day may have several, and where they overlap they count once."""

    day: Weekday


class OwnDate(Frozen):
    """A date with hours of its own instead of the week's and the country's; without hours it is closed.

    Hours over midnight go on into the next date, unless that has a rule of its own.
    """

    date: date
    name: str
    hours: tuple[Hours, ...] = ()


class Holiday(NamedTuple):
    """A holiday in a year; ``enabled`` is false when the organization works on it."""

    date: date
    name: str
    enabled: bool


class BusinessCalendar(Frozen):
    """When an organization works. A plain value: ``checked`` says whether it can be worked by.

    ``country`` and ``subdivision`` are ISO 3166 codes ("DE", "BE"). ``worked_holidays`` names holidays that
    are switched off, in every year; a name covers its "(observed)" and "(estimated)" dates too, and a name the
    country does not have changes nothing.
    """

    time_zone: str
    hours: tuple[WeeklyHours, ...]
    name: str | None = None
    country: str | None = None
    subdivision: str | None = None
    worked_holidays: tuple[str, ...] = ()
    dates: tuple[OwnDate, ...] = ()
    version: int = 1

    def __hash__(self) -> int:
        # Pydantic would hash every interval and date at each look-up of a compiled year; equality still compares all.
        return hash((self.time_zone, self.country, self.subdivision, self.version, len(self.hours), len(self.dates)))

    def checked(self, now: datetime) -> "BusinessCalendar":
        """This calendar, or ``InvalidCalendar`` with what is wrong; ``now`` is where working time is looked for."""
        zone_named(self.time_zone)
        check_country(self.country, self.subdivision)
        if len(self.hours) > MAX_HOURS or len(self.dates) > MAX_DATES:
            raise InvalidCalendar(f"A calendar has at most {MAX_HOURS} intervals a week and {MAX_DATES} own dates.")
        if len({own.date for own in self.dates}) != len(self.dates):
            raise InvalidCalendar("A calendar names each own date once.")
        for hours in (*self.hours, *(hours for own in self.dates for hours in own.hours)):
            _check_hours(hours)
        if not self.hours:
            raise InvalidCalendar("A calendar needs working time: give at least one day hours.")
        try:
            opens_at = next_open(self, now)
        except BeyondHorizon:
            opens_at = None
        if opens_at is None or opens_at > now + LONGEST_CLOSURE:
            raise InvalidCalendar(
                "The calendar has no working time in the coming year; holidays and dates close it all."
            )
        return self


def add(calendar: BusinessCalendar | None, start: datetime, business: timedelta) -> datetime:
    """The earliest instant by which ``business`` working time has passed since ``start``, in UTC.

    Time that ends with the working day is due at its close, not the next morning; no time at all is due at
    ``start``. ``None`` as calendar is calendar time. ``BeyondHorizon`` when 20 years do not hold as much.
    """
    at = microseconds(start)
    if business < timedelta(0):
        raise ValueError("working time is added forwards only")
    if calendar is None or not business:
        return instant(at) + business
    left = business // MICROSECOND
    first = instant(at).year
    for number in range(first, min(first + HORIZON_YEARS, LAST_YEAR) + 1):
        year = _year(calendar, number)
        before = year.worked_until(at) if number == first else 0
        if before + left <= year.total:
            return instant(year.when_worked(before + left))
        left -= year.total - before
    raise BeyondHorizon(f"The calendar does not reach that much working time within {HORIZON_YEARS} years.")


def measure(calendar: BusinessCalendar | None, start: datetime, end: datetime) -> timedelta:
    """Working time between two instants; none when ``end`` is not after ``start``. ``None`` is calendar time."""
    since, until = microseconds(start), microseconds(end)
    if until <= since:
        return timedelta(0)
    if calendar is None:
        return timedelta(microseconds=until - since)
    first, last = instant(since).year, instant(until).year
    worked = sum(_year(calendar, number).total for number in range(first, last))
    worked += _year(calendar, last).worked_until(until) - _year(calendar, first).worked_until(since)
    return timedelta(microseconds=worked)


def is_open(calendar: BusinessCalendar | None, at: datetime) -> bool:
    """Whether it is working time at ``at``; hours include their opening and exclude their closing instant."""
    moment = microseconds(at)
    if calendar is None:
        return True
    year = _year(calendar, instant(moment).year)
    position = bisect_right(year.starts, moment) - 1
    return position >= 0 and moment < year.ends[position]


def next_open(calendar: BusinessCalendar | None, at: datetime) -> datetime:
    """The earliest working instant from ``at`` on, ``at`` itself included; ``BeyondHorizon`` after 20 years."""
    moment = microseconds(at)
    if calendar is None:
        return instant(moment)
    first = instant(moment).year
    for number in range(first, min(first + HORIZON_YEARS, LAST_YEAR) + 1):
        year = _year(calendar, number)
        position = bisect_right(year.ends, moment)
        if position < len(year.starts):
            return instant(max(moment, year.starts[position]))
    raise BeyondHorizon(f"The calendar has no working time within {HORIZON_YEARS} years.")


def holidays_of(calendar: BusinessCalendar, year: int) -> list[Holiday]:
    """The country's holidays of a year and the calendar's own closed dates, by date.

    A holiday on a date with hours of its own is listed as enabled, though those hours win.
    """
    worked = {same_holiday(name) for name in calendar.worked_holidays}
    found = [
        Holiday(day, name, same_holiday(name) not in worked)
        for day, name in public_holidays(calendar.country, calendar.subdivision, year)
    ]
    found += [Holiday(own.date, own.name, True) for own in calendar.dates if own.date.year == year and not own.hours]
    return sorted(found)


class _Year:
    """A calendar's working time in one UTC year: disjoint segments in order, and how much lies before each."""

    __slots__ = ("before", "ends", "starts", "total")

    def __init__(self, segments: Iterable[Segment]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.before: list[int] = []
        self.total = 0
        for start, end in segments:
            if self.ends and self.ends[-1] == start:
                self.ends[-1] = end
            else:
                self.starts.append(start)
                self.ends.append(end)
                self.before.append(self.total)
            self.total += end - start

    def worked_until(self, moment: int) -> int:
        """Working time of this year before ``moment``."""
        position = bisect_right(self.starts, moment) - 1
        if position < 0:
            return 0
        return self.before[position] + min(moment, self.ends[position]) - self.starts[position]

    def when_worked(self, amount: int) -> int:
        """The earliest instant with ``amount`` (over 0, at most ``total``) of this year's working time behind it."""
        position = bisect_left(self.before, amount) - 1
        return self.starts[position] + amount - self.before[position]


# About 25 KiB a year at two intervals a day: 10 MiB when full, enough for 200 calendars over two years.
@lru_cache(maxsize=400)
def _year(calendar: BusinessCalendar, number: int) -> _Year:
    """The compiled year. Pure, so the cache changes nothing but speed; a calendar edited is another key."""
    if not FIRST_YEAR <= number <= LAST_YEAR:
        raise BeyondHorizon(f"Working time is known for the years {FIRST_YEAR} to {LAST_YEAR}, not for {number}.")
    return _Year(_segments(calendar, number))


def _segments(calendar: BusinessCalendar, number: int) -> Iterator[Segment]:
    week = _week(calendar.hours)
    named = _named_dates(calendar, number)
    for since, until, offset in offsets(calendar.time_zone, number):
        # Dates the wall clock shows while this offset is in force.
        for day in range((since + offset) // DAY, (until + offset - 1) // DAY + 1):
            hours = named.get(day)
            # 1 January 1970, day 0, was a Thursday.
            for opens, closes in week[(day + 3) % 7] if hours is None else hours:
                start = max(day * DAY + opens - offset, since)
                end = min(day * DAY + closes - offset, until)
                if start < end:
                    yield start, end


def _week(hours: Iterable[WeeklyHours]) -> list[list[Segment]]:
    """Open segments of each weekday, Monday first, with what goes over midnight given to the next day."""
    days: list[list[Segment]] = [[] for _ in Weekday]
    for index, weekday in enumerate(Weekday):
        today, tomorrow = _split(each for each in hours if each.day is weekday)
        days[index] += today
        days[(index + 1) % 7] += tomorrow
    return [_merged(day) for day in days]


def _named_dates(calendar: BusinessCalendar, number: int) -> dict[int, list[Segment]]:
    """Segments of the dates that do not follow the week, by days since 1970; empty when closed."""
    named: dict[int, list[Segment]] = {}
    # Local dates reach into the neighbouring UTC years.
    for year in (number - 1, number, number + 1):
        named |= {_day_number(holiday.date): [] for holiday in holidays_of(calendar, year) if holiday.enabled}
    own = {_day_number(each.date): each.hours for each in calendar.dates}
    named |= {day: _merged(_split(hours)[0]) for day, hours in own.items()}
    week = _week(calendar.hours)
    for day, hours in own.items():
        over = _split(hours)[1]
        if over and day + 1 not in named:
            named[day + 1] = _merged([*over, *week[(day + 4) % 7]])
    return named


def _split(hours: Iterable[Hours]) -> tuple[list[Segment], list[Segment]]:
    """The parts before and after midnight."""
    today, tomorrow = [], []
    for each in hours:
        opens, closes = _wall(each.opens), _wall(each.closes)
        if opens < closes:
            today.append((opens, closes))
        elif opens > closes or opens == 0:
            today.append((opens, DAY))
            tomorrow += [(0, closes)] if closes else []
    return today, tomorrow


def _merged(segments: list[Segment]) -> list[Segment]:
    merged: list[Segment] = []
    for start, end in sorted(segments):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _check_hours(hours: Hours) -> None:
    if hours.opens.tzinfo or hours.closes.tzinfo:
        raise InvalidCalendar("Hours are local times; the calendar has the time zone.")
    if hours.opens.microsecond or hours.closes.microsecond:
        raise InvalidCalendar("Hours are given to the second.")
    if hours.opens == hours.closes and hours.opens != time(0):
        text = f"{hours.opens:%H:%M}"
        raise InvalidCalendar(f"Hours from {text} to {text} are empty; a whole day is 00:00 to 24:00.")


def _wall(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * SECOND


def _day_number(day: date) -> int:
    return day.toordinal() - EPOCH.toordinal()
