"""Working time at known instants: the cases people check by hand."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from time import process_time

import pytest
from pydantic import ValidationError

from domain.calendar import (
    BusinessCalendar,
    Hours,
    OwnDate,
    Weekday,
    WeeklyHours,
    add,
    holidays_of,
    is_open,
    measure,
    next_open,
)
from domain.errors import BeyondHorizon, InvalidCalendar

WORKDAYS = list(Weekday)[:5]
HOUR = timedelta(hours=1)


def hours(*spans: str, days: Iterable[Weekday] = tuple(Weekday)) -> tuple[WeeklyHours, ...]:
    """``hours("09:00-17:00", days=WORKDAYS)``."""
    return tuple(
        WeeklyHours.model_validate({"day": day, "opens": span[:5], "closes": span[6:]})
        for day in days
        for span in spans
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OFFICE = BusinessCalendar(time_zone="UTC", hours=hours("09:00-17:00", days=WORKDAYS))


def berlin(*spans: str, days: Iterable[Weekday] = tuple(Weekday)) -> BusinessCalendar:
    return BusinessCalendar(time_zone="Europe/Berlin", hours=hours(*spans, days=days))


@pytest.mark.parametrize(
    ("calendar", "start", "business", "due"),
    [
        pytest.param(OFFICE, "2026-11-20T16:30", HOUR, "2026-11-23T09:30", id="over a weekend"),
        pytest.param(OFFICE, "2026-11-18T07:00", 2 * HOUR, "2026-11-18T11:00", id="before the day begins"),
        pytest.param(OFFICE, "2026-11-20T16:55", 24 * HOUR, "2026-11-25T16:55", id="three days' worth"),
        pytest.param(
            OFFICE, "2026-11-20T16:00", HOUR, "2026-11-20T17:00", id="ends with the day, not the next morning"
        ),
        pytest.param(OFFICE, "2026-11-21T12:00", timedelta(0), "2026-11-21T12:00", id="nothing is due at once"),
        pytest.param(OFFICE, "2026-01-05T09:00", 2200 * HOUR, "2027-01-22T17:00", id="longer than a year"),
        pytest.param(None, "2026-11-20T16:30", HOUR, "2026-11-20T17:30", id="no calendar is calendar time"),
        pytest.param(
            BusinessCalendar(time_zone="UTC", hours=hours("08:00-12:00", "13:30-18:00")),
            "2026-11-18T12:30",
            timedelta(minutes=30),
            "2026-11-18T14:00",
            id="in the lunch break it starts when that ends",
        ),
        pytest.param(
            BusinessCalendar(time_zone="UTC", hours=hours("22:00-06:00", days=WORKDAYS)),
            "2026-11-21T05:00",  # Saturday, the night that began on Friday
            2 * HOUR,
            "2026-11-23T23:00",
            id="over midnight and a weekend",
        ),
        pytest.param(
            BusinessCalendar(time_zone="UTC", hours=hours("22:00-06:00", days=[Weekday.SUNDAY])),
            "2026-11-22T22:00",
            8 * HOUR,
            "2026-11-23T06:00",
            id="over midnight and the week's end",
        ),
        # Europe/Berlin, 2027-03-28: 02:00 becomes 03:00.
        pytest.param(
            berlin("09:00-17:00", days=WORKDAYS),
            "2027-03-26T15:30",  # Friday 16:30 in winter time
            HOUR,
            "2027-03-29T07:30",  # Monday 09:30 in summer time
            id="Berlin springs forward in a weekend",
        ),
        pytest.param(
            berlin("01:00-05:00"),
            "2027-03-28T00:00",
            3.5 * HOUR,
            "2027-03-28T23:30",
            id="Berlin: a night an hour short",
        ),
        pytest.param(
            berlin("02:00-03:00"), "2027-03-27T22:00", HOUR, "2027-03-29T01:00", id="Berlin: hours skipped altogether"
        ),
        # Europe/Berlin, 2026-10-25: 03:00 becomes 02:00.
        pytest.param(
            berlin("01:00-05:00"), "2026-10-24T23:00", 4.5 * HOUR, "2026-10-25T03:30", id="Berlin: a night an hour long"
        ),
        pytest.param(
            berlin("02:30-04:00"),
            "2026-10-24T22:00",
            0.75 * HOUR,
            "2026-10-25T01:45",
            id="Berlin: half past two, twice",
        ),
        # America/Sao_Paulo, 2018-11-04: 00:00 becomes 01:00; 2018-02-18: 00:00 becomes 23:00; since 2019 neither.
        pytest.param(
            BusinessCalendar(time_zone="America/Sao_Paulo", hours=hours("22:00-02:00")),
            "2018-11-04T01:00",
            3 * HOUR,
            "2018-11-04T04:00",
            id="Sao Paulo springs forward at midnight",
        ),
        pytest.param(
            BusinessCalendar(time_zone="America/Sao_Paulo", hours=hours("22:00-02:00")),
            "2018-02-18T00:00",
            5 * HOUR,
            "2018-02-18T05:00",
            id="Sao Paulo falls back into the day before",
        ),
        pytest.param(
            BusinessCalendar(time_zone="America/Sao_Paulo", hours=hours("22:00-02:00")),
            "2026-11-01T01:00",
            4 * HOUR,
            "2026-11-01T05:00",
            id="Sao Paulo has given it up",
        ),
        # Australia/Lord_Howe, 2026-10-04: 02:00 becomes 02:30; 2027-04-04: 02:00 becomes 01:30.
        pytest.param(
            BusinessCalendar(time_zone="Australia/Lord_Howe", hours=hours("01:00-04:00")),
            "2026-10-03T14:30",
            2.5 * HOUR,
            "2026-10-03T17:00",
            id="Lord Howe loses half an hour",
        ),
        pytest.param(
            BusinessCalendar(time_zone="Australia/Lord_Howe", hours=hours("01:00-04:00")),
            "2027-04-03T14:00",
            3.5 * HOUR,
            "2027-04-03T17:30",
            id="Lord Howe gains half an hour",
        ),
        pytest.param(
            BusinessCalendar(time_zone="Pacific/Apia", hours=hours("09:00-17:00")),
            "2011-12-30T02:00",  # Thursday 16:00; Friday the 30th was skipped whole
            2 * HOUR,
            "2011-12-30T20:00",  # Saturday 10:00
            id="Samoa skips a day",
        ),
    ],
)
def test_due_time(calendar: BusinessCalendar | None, start: str, business: timedelta, due: str) -> None:
    assert add(calendar, at(start), business) == at(due)
    assert measure(calendar, at(start), at(due)) == business


WHIT_MONDAY = date(2026, 5, 25)
GERMAN = BusinessCalendar(
    time_zone="Europe/Berlin", hours=hours("09:00-17:00", days=WORKDAYS), country="DE", subdivision="BE"
)


def whit_monday_name() -> str:
    return next(holiday.name for holiday in holidays_of(GERMAN, 2026) if holiday.date == WHIT_MONDAY)


@pytest.mark.parametrize(
    ("calendar", "due"),
    [
        pytest.param(GERMAN, "2026-05-26T07:30", id="a holiday is closed"),
        pytest.param(
            GERMAN.model_copy(update={"worked_holidays": (whit_monday_name(),)}), "2026-05-25T07:30", id="switched off"
        ),
        pytest.param(
            GERMAN.model_copy(update={"dates": (OwnDate(date=date(2026, 5, 26), name="Outing"),)}),
            "2026-05-27T07:30",
            id="an own date is closed too",
        ),
        pytest.param(
            GERMAN.model_copy(
                update={
                    "dates": (OwnDate(date=WHIT_MONDAY, name="Sale", hours=(Hours(opens=time(12), closes=time(14)),)),)
                }
            ),
            "2026-05-25T10:30",
            id="own hours win over the holiday",
        ),
    ],
)
def test_holiday_on_a_monday(calendar: BusinessCalendar, due: str) -> None:
    friday_16_30 = at("2026-05-22T14:30")
    assert add(calendar, friday_16_30, HOUR) == at(due)


def test_holidays_are_listed_in_english_whatever_the_machine_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de")
    listed = holidays_of(GERMAN, 2031)  # a year no other test has cached
    assert (date(2031, 1, 1), "New Year's Day", True) in listed
    assert [day for day, _, _ in listed] == sorted(day for day, _, _ in listed)


def test_a_switched_off_holiday_is_still_listed_and_covers_its_observed_date() -> None:
    american = BusinessCalendar(
        time_zone="America/New_York",
        hours=hours("09:00-17:00", days=WORKDAYS),
        country="US",
        worked_holidays=("Independence Day",),
    )
    listed = {day: enabled for day, _, enabled in holidays_of(american, 2027)}
    assert listed[date(2027, 7, 4)] is False  # a Sunday
    assert listed[date(2027, 7, 5)] is False  # observed
    assert listed[date(2027, 9, 6)] is True
    assert is_open(american, at("2027-07-05T15:00"))


def test_a_closed_date_cuts_the_night_that_began_before_it() -> None:
    nights = BusinessCalendar(
        time_zone="UTC", hours=hours("22:00-06:00"), dates=(OwnDate(date=date(2026, 12, 25), name="Christmas"),)
    )
    assert is_open(nights, at("2026-12-24T23:59"))
    assert not is_open(nights, at("2026-12-25T00:00"))
    assert not is_open(nights, at("2026-12-25T23:00"))
    assert next_open(nights, at("2026-12-25T00:00")) == at("2026-12-26T00:00")


def test_own_hours_over_midnight_go_on_into_the_next_date() -> None:
    sale = OwnDate(date=date(2026, 11, 27), name="Sale", hours=(Hours(opens=time(20), closes=time(2)),))
    calendar = OFFICE.model_copy(update={"dates": (sale,)})
    assert measure(calendar, at("2026-11-27T00:00"), at("2026-11-29T00:00")) == 6 * HOUR
    closed_after = calendar.model_copy(update={"dates": (sale, OwnDate(date=date(2026, 11, 28), name="Rest"))})
    assert measure(closed_after, at("2026-11-27T00:00"), at("2026-11-29T00:00")) == 4 * HOUR


def test_the_second_half_past_two_is_as_open_as_the_first() -> None:
    calendar = berlin("02:30-04:00")
    shown = [is_open(calendar, at(f"2026-10-25T0{clock}")) for clock in ("0:15", "0:45", "1:15", "1:45")]
    assert shown == [False, True, False, True]


def test_hours_include_their_opening_and_exclude_their_closing_instant() -> None:
    assert is_open(OFFICE, at("2026-11-18T09:00"))
    assert not is_open(OFFICE, at("2026-11-18T17:00"))
    assert next_open(OFFICE, at("2026-11-18T12:00")) == at("2026-11-18T12:00")
    assert next_open(OFFICE, at("2026-11-20T17:00")) == at("2026-11-23T09:00")


def test_a_whole_day_is_written_with_24_or_0() -> None:
    for closes in ("24:00", "00:00"):
        calendar = BusinessCalendar(time_zone="UTC", hours=hours(f"00:00-{closes}"))
        assert measure(calendar, at("2026-01-01T00:00"), at("2027-01-01T00:00")) == timedelta(days=365)


def test_no_time_passes_backwards() -> None:
    assert measure(OFFICE, at("2026-11-18T12:00"), at("2026-11-18T10:00")) == timedelta(0)
    assert measure(None, at("2026-11-18T12:00"), at("2026-11-18T10:00")) == timedelta(0)
    with pytest.raises(ValueError, match="forwards"):
        add(OFFICE, at("2026-11-18T12:00"), -HOUR)


def test_a_time_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        add(OFFICE, datetime(2026, 11, 18, 12), HOUR)  # noqa: DTZ001


NOW = at("2026-11-22T12:00")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"hours": ()}, "needs working time", id="no hours"),
        pytest.param({"hours": hours("09:00-09:00")}, "are empty", id="empty hours"),
        pytest.param({"time_zone": "Europe/Atlantis"}, "no time zone", id="unknown zone"),
        pytest.param({"time_zone": "America"}, "no time zone", id="a directory of zones"),
        pytest.param({"time_zone": "../../etc/passwd"}, "no time zone", id="a path"),
        pytest.param({"country": "XX"}, "no holidays known for XX", id="unknown country"),
        pytest.param({"country": "ECB"}, "no holidays known for ECB", id="a bank is no country"),
        pytest.param({"country": "DE", "subdivision": "ZZ"}, "DE-ZZ", id="unknown subdivision"),
        pytest.param({"subdivision": "BE"}, "need its country", id="subdivision alone"),
        pytest.param({"hours": hours("09:00-17:00") * 11}, "at most", id="too many hours"),
        pytest.param({"dates": (OwnDate(date=NOW.date(), name="A"),) * 2}, "once", id="a date twice"),
        pytest.param(
            {"dates": (OwnDate(date=NOW.date(), name="A", hours=(Hours(opens=time(9), closes=time(9)),)),)},
            "are empty",
            id="empty own hours",
        ),
        pytest.param(
            {"dates": tuple(OwnDate(date=NOW.date() + timedelta(days=day), name="-") for day in range(400))},
            "coming year",
            id="every date closed for a year",
        ),
    ],
)
def test_a_calendar_that_cannot_be_worked_by_is_refused(changes: dict[str, object], says: str) -> None:
    assert OFFICE.checked(NOW) is OFFICE
    with pytest.raises(InvalidCalendar, match=says) as refusal:
        OFFICE.model_copy(update=changes).checked(NOW)
    assert refusal.value.code == "invalid_calendar"


def test_the_search_for_working_time_ends() -> None:
    never = OFFICE.model_copy(update={"hours": ()})
    rarely = BusinessCalendar(time_zone="UTC", hours=hours("09:00-09:01", days=[Weekday.MONDAY]))
    for search in (
        lambda: add(never, NOW, HOUR),
        lambda: next_open(never, NOW),
        lambda: add(rarely, NOW, 24 * HOUR),
        lambda: measure(OFFICE, at("1890-01-01T00:00"), NOW),
    ):
        with pytest.raises(BeyondHorizon):
            search()
    assert measure(never, NOW, NOW + timedelta(days=1000)) == timedelta(0)


def test_a_calendar_survives_json() -> None:
    calendar = GERMAN.model_copy(
        update={"dates": (OwnDate(date=WHIT_MONDAY, name="Sale", hours=(Hours(opens=time(12), closes=time(0)),)),)}
    )
    assert BusinessCalendar.model_validate_json(calendar.model_dump_json()) == calendar
    with pytest.raises(ValidationError):
        BusinessCalendar.model_validate(
            {"time_zone": "UTC", "hours": [{"day": "funday", "opens": "9", "closes": "17"}]}
        )


def test_an_edited_calendar_is_not_answered_from_the_old_ones_cache() -> None:
    assert add(OFFICE, at("2026-11-18T07:00"), HOUR) == at("2026-11-18T10:00")
    edited = OFFICE.model_copy(update={"hours": hours("10:00-17:00", days=WORKDAYS)})  # the version forgotten
    assert add(edited, at("2026-11-18T07:00"), HOUR) == at("2026-11-18T11:00")


def test_ten_thousand_due_times_take_less_than_a_second() -> None:
    calendar = GERMAN.model_copy(update={"hours": hours("08:00-12:00", "13:30-18:00", days=WORKDAYS)})
    starts = [at("2026-01-01T00:00") + timedelta(minutes=53 * number) for number in range(10_000)]
    began = process_time()  # of this process alone, whatever else the machine does
    for number, start in enumerate(starts):
        add(calendar, start, timedelta(minutes=number % 5000))
    assert process_time() - began < 1
