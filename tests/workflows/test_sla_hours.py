"""Business time on the real stack: a weekend, and nights in which clocks change."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from domain.calendar import BusinessCalendar, Weekday, WeeklyHours
from domain.clocks import Metric
from domain.sla import SlaTime
from tests.workflows.acts import ask, of_the_sla, reply
from tests.workflows.life import Life
from tests.workflows.rules import Rules

BERLIN = ZoneInfo("Europe/Berlin")
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


def open_on(days: list[Weekday], opens: int, closes: int) -> BusinessCalendar:
    hours = tuple(WeeklyHours(day=day, opens=time(opens), closes=time(closes)) for day in days)
    return BusinessCalendar(time_zone="Europe/Berlin", hours=hours)


OFFICE = open_on(list(Weekday)[:5], 9, 17)
NIGHTS = open_on(list(Weekday), 0, 6)


def berlin(day: date, hour: int, minute: int = 0) -> datetime:
    """What a wall clock in Berlin shows, as an instant."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=BERLIN).astimezone(UTC)


def coming_friday() -> date:
    """One at least a day from now, so that it lies ahead wherever the test runs."""
    day = datetime.now(BERLIN).date() + 2 * DAY
    return day + ((4 - day.weekday()) % 7) * DAY


def coming_change(*, forward: bool) -> date:
    """The next date, two days from now or later, on which Berlin's clocks go forward, or back."""
    day = datetime.now(BERLIN).date() + 2 * DAY
    usual = timedelta(hours=23 if forward else 25)
    while berlin(day + DAY, 0) - berlin(day, 0) != usual:
        day += DAY
    return day


FRIDAY, SPRING, AUTUMN = coming_friday(), coming_change(forward=True), coming_change(forward=False)


@pytest.mark.parametrize(
    ("calendar", "target", "asked_at", "due_at"),
    [
        pytest.param(OFFICE, HOUR, berlin(FRIDAY, 16, 30), berlin(FRIDAY + 3 * DAY, 9, 30), id="over a weekend"),
        pytest.param(OFFICE, 2 * HOUR, berlin(FRIDAY, 7), berlin(FRIDAY, 11), id="before the office opens"),
        pytest.param(
            OFFICE, 24 * HOUR, berlin(FRIDAY, 16, 55), berlin(FRIDAY + 5 * DAY, 16, 55), id="three working days"
        ),
        pytest.param(
            NIGHTS, 6 * HOUR, berlin(SPRING - DAY, 20), berlin(SPRING + DAY, 1), id="a night of five hours, in spring"
        ),
        pytest.param(
            NIGHTS, 6 * HOUR, berlin(AUTUMN - DAY, 20), berlin(AUTUMN, 5), id="a night of seven hours, in autumn"
        ),
    ],
)
async def test_business_time_is_due_when_the_wall_clock_says_so(
    rules: Rules, calendar: BusinessCalendar, target: timedelta, asked_at: datetime, due_at: datetime
) -> None:
    await rules.calendar(calendar)
    await rules.policy({Metric.NEXT_RESPONSE: target}, counts=SlaTime.BUSINESS)
    life = await rules.office.ticket(assignee="Ana")
    await reply(life)
    await pass_until(life, asked_at)
    clock = (await ask(life)).clocks.next_response
    assert clock.due_at is not None
    late = clock.due_at - due_at  # the real seconds between looking at the clock and writing
    assert timedelta(0) <= late < MINUTE
    await pass_until(life, due_at - MINUTE)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning"]
    await pass_until(life, due_at + 2 * MINUTE)
    assert [kind for kind, _ in await of_the_sla(life)] == ["sla_warning", "sla_breached"]


async def pass_until(life: Life, at: datetime) -> None:
    await life.let_pass(at - await life.now())
