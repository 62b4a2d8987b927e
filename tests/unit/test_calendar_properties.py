"""What holds for every calendar, across daylight-saving changes, against an oracle that asks minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import BusinessCalendar, Hours, OwnDate, Weekday, WeeklyHours, add, is_open, measure, next_open

ZONES = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "UTC"]
CHANGES = [
    datetime(2027, 3, 28, 1, tzinfo=UTC),  # Berlin, forward
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # Berlin, back
    datetime(2018, 11, 4, 3, tzinfo=UTC),  # Sao Paulo, forward at midnight
    datetime(2018, 2, 18, 2, tzinfo=UTC),  # Sao Paulo, back at midnight
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),  # Lord Howe, forward by half an hour
    datetime(2027, 4, 3, 15, tzinfo=UTC),  # Lord Howe, back by half an hour
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # New York, forward
    datetime(2026, 11, 1, 6, tzinfo=UTC),  # New York, back
    datetime(2026, 12, 31, 23, tzinfo=UTC),  # the year's end
]
SECOND = timedelta(seconds=1)
QUICK = settings(max_examples=60, deadline=None)

wall_times = st.builds(lambda minute: time(minute // 60, minute % 60), st.integers(0, 1439))
openings = st.tuples(wall_times, wall_times).filter(lambda pair: pair[0] != pair[1] or pair[0] == time(0))
weekly = st.builds(
    lambda day, pair: WeeklyHours(day=day, opens=pair[0], closes=pair[1]), st.sampled_from(Weekday), openings
)
own_hours = st.builds(lambda pair: Hours(opens=pair[0], closes=pair[1]), openings)
instants = st.builds(
    lambda change, offset: change + timedelta(seconds=offset),
    st.sampled_from(CHANGES),
    st.integers(-4 * 86_400, 4 * 86_400),
)
own_dates = st.builds(
    lambda change, offset, hours: OwnDate(date=(change + timedelta(days=offset)).date(), name="-", hours=tuple(hours)),
    st.sampled_from(CHANGES),
    st.integers(-3, 3),
    st.lists(own_hours, max_size=2),
)
calendars = st.builds(
    BusinessCalendar,
    time_zone=st.sampled_from(ZONES),
    hours=st.lists(weekly, min_size=1, max_size=10).map(tuple),
    country=st.sampled_from([None, "DE", "BR"]),
    dates=st.lists(own_dates, max_size=4, unique_by=lambda own: own.date).map(tuple),
)
durations = st.integers(0, 40 * 86_400).map(lambda seconds: timedelta(seconds=seconds))
short_durations = st.integers(0, 86_400).map(lambda seconds: timedelta(seconds=seconds))


@QUICK
@given(calendars, instants, short_durations)
def test_adding_then_measuring_gives_back_the_same_duration(
    calendar: BusinessCalendar, start: datetime, business: timedelta
) -> None:
    due = add(calendar, start, business)
    assert due >= start + business
    assert measure(calendar, start, due) == business
    # and no earlier instant would do
    assert not business or measure(calendar, start, due - SECOND) < business


@QUICK
@given(calendars, instants, short_durations, short_durations)
def test_adding_in_two_parts_is_adding_at_once(
    calendar: BusinessCalendar, start: datetime, first: timedelta, second: timedelta
) -> None:
    assert add(calendar, add(calendar, start, first), second) == add(calendar, start, first + second)


@QUICK
@given(calendars, instants, durations, short_durations)
def test_time_never_runs_backwards(
    calendar: BusinessCalendar, start: datetime, later: timedelta, business: timedelta
) -> None:
    assert add(calendar, start, business) <= add(calendar, start + later, business)
    assert add(calendar, start, business) <= add(calendar, start, business + SECOND)
    assert timedelta(0) <= measure(calendar, start, start + later) <= later
    assert measure(calendar, start + later, start) == timedelta(0)


@QUICK
@given(calendars, instants, durations, durations)
def test_measuring_in_two_parts_changes_nothing(
    calendar: BusinessCalendar, start: datetime, first: timedelta, second: timedelta
) -> None:
    middle, end = start + first, start + first + second
    assert measure(calendar, start, middle) + measure(calendar, middle, end) == measure(calendar, start, end)


@QUICK
@given(calendars, instants, durations, wall_times)
def test_splitting_an_interval_changes_nothing(
    calendar: BusinessCalendar, start: datetime, length: timedelta, cut: time
) -> None:
    split = calendar.model_copy(
        update={
            "hours": tuple(part for each in calendar.hours for part in _split(each, cut)),
            "dates": tuple(
                own.model_copy(update={"hours": tuple(part for each in own.hours for part in _split(each, cut))})
                for own in calendar.dates
            ),
        }
    )
    assert measure(split, start, start + length) == measure(calendar, start, start + length)


@settings(max_examples=40, deadline=None)
@given(calendars.filter(lambda calendar: calendar.country is None), instants)
def test_it_is_open_when_the_wall_clock_says_so(calendar: BusinessCalendar, start: datetime) -> None:
    start = start.replace(second=0)
    minutes = [start + timedelta(minutes=number) for number in range(36 * 60)]
    shown = [_wall_clock_says(calendar, minute) for minute in minutes]
    assert measure(calendar, start, start + timedelta(hours=36)) == timedelta(minutes=sum(shown))
    for minute, says in zip(minutes[::7], shown[::7], strict=True):
        assert is_open(calendar, minute) == says
    if any(shown):
        assert next_open(calendar, start) == minutes[shown.index(True)]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("zone", ZONES)
def test_a_day_that_never_closes_is_calendar_time(zone: str, change: datetime) -> None:
    always = BusinessCalendar(
        time_zone=zone, hours=tuple(WeeklyHours(day=day, opens=time(0), closes=time(0)) for day in Weekday)
    )
    start = change - timedelta(hours=5)
    for length in (timedelta(hours=9), timedelta(days=500)):
        assert add(always, start, length) == add(None, start, length) == start + length


def _split(hours: Hours, cut: time) -> list[Hours]:
    """The same hours in two parts, where ``cut`` lies inside them on the day they begin."""
    over_midnight = hours.closes <= hours.opens
    if hours.opens < cut and (over_midnight or cut < hours.closes):
        return [hours.model_copy(update={"closes": cut}), hours.model_copy(update={"opens": cut})]
    return [hours]


def _wall_clock_says(calendar: BusinessCalendar, at: datetime) -> bool:
    local = at.astimezone(ZoneInfo(calendar.time_zone))
    today, yesterday = local.date(), local.date() - timedelta(days=1)
    own = {each.date: each.hours for each in calendar.dates}
    begun = [each for each in own.get(today, ()) if _covers(each, local.time())]
    if today in own:
        return bool(begun)
    weekday = list(Weekday)[today.weekday()]
    before = list(Weekday)[yesterday.weekday()]
    begun += [each for each in calendar.hours if each.day is weekday and _covers(each, local.time())]
    begun += [each for each in calendar.hours if each.day is before and _reaches(each, local.time())]
    begun += [each for each in own.get(yesterday, ()) if _reaches(each, local.time())]
    return bool(begun)


def _covers(hours: Hours, wall: time) -> bool:
    return hours.opens <= wall and (wall < hours.closes or hours.closes <= hours.opens)


def _reaches(hours: Hours, wall: time) -> bool:
    return hours.closes <= hours.opens and wall < hours.closes


def test_the_oracle_knows_a_holiday() -> None:
    own = OwnDate(date=date(2026, 12, 25), name="-")
    calendar = BusinessCalendar(
        time_zone="UTC", hours=(WeeklyHours(day=Weekday.FRIDAY, opens=time(9), closes=time(17)),), dates=(own,)
    )
    assert not _wall_clock_says(calendar, datetime(2026, 12, 25, 12, tzinfo=UTC))
    assert _wall_clock_says(calendar, datetime(2026, 12, 18, 12, tzinfo=UTC))
