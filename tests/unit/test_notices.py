from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError

from domain.events import NoticeKind
from domain.notices import DEFAULTS, Choice, Pending, Preferences, QuietHours, Weekday, goes_now, mail_due_at
from domain.unsubscribing import read_unsubscribe_token, unsubscribe_token

GATHER = timedelta(seconds=30)
WEEKEND = (Weekday.SATURDAY, Weekday.SUNDAY)
NIGHT = QuietHours(begins=time(22), until=time(7), time_zone="Europe/Berlin")
DAYS_OFF = QuietHours(begins=time(0), until=time(0), days=WEEKEND, time_zone="Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (NIGHT, "2026-11-26T20:59:59", "2026-11-26T20:59:59"),  # a second before ten in Berlin
        (NIGHT, "2026-11-26T21:00:00", "2026-11-27T06:00:00"),
        (NIGHT, "2026-11-27T05:59:59", "2026-11-27T06:00:00"),
        (NIGHT, "2026-11-27T06:00:00", "2026-11-27T06:00:00"),
        (NIGHT, "2026-03-28T22:00:00", "2026-03-29T05:00:00"),  # the night in which clocks go forward
        (NIGHT, "2026-10-24T21:00:00", "2026-10-25T06:00:00"),  # and back
        (DAYS_OFF, "2026-11-27T22:59:59", "2026-11-27T22:59:59"),  # a Friday
        (DAYS_OFF, "2026-11-27T23:00:00", "2026-11-29T23:00:00"),  # both days are one stretch
        (
            QuietHours(begins=time(18), until=time(8), days=(Weekday.FRIDAY,)),
            "2026-11-28T07:00:00",
            "2026-11-28T08:00:00",
        ),
        (
            QuietHours(begins=time(18), until=time(8), days=(Weekday.FRIDAY,)),
            "2026-11-28T19:00:00",
            "2026-11-28T19:00:00",
        ),
    ],
)
def test_quiet_hours_end_by_the_members_wall_clock(hours: QuietHours, now: str, end: str) -> None:
    assert hours.end(at(now)) == at(end)


def test_quiet_hours_that_never_end_or_are_nowhere_are_refused() -> None:
    with pytest.raises(ValidationError, match="never end"):
        QuietHours(begins=time(9), until=time(9))
    with pytest.raises(ValidationError, match="Europe/Atlantis"):
        QuietHours(begins=time(9), until=time(10), time_zone="Europe/Atlantis")


def test_mail_waits_for_others_and_for_the_morning_unless_it_is_urgent() -> None:
    evening = at("2026-11-26T21:30:00")
    calm = Pending(created_at=evening, urgent=False)
    later = Pending(created_at=evening + timedelta(seconds=20), urgent=False)
    urgent = Pending(created_at=evening + timedelta(seconds=25), urgent=True)
    now = evening + timedelta(seconds=26)
    assert mail_due_at([calm, later], None, GATHER, now) == evening + GATHER
    assert mail_due_at([calm], NIGHT, GATHER, now) == at("2026-11-27T06:00:00")
    assert mail_due_at([calm, urgent], NIGHT, GATHER, now) == now
    # Long overdue, and it has become quiet again.
    assert mail_due_at([calm], NIGHT, GATHER, at("2026-11-27T23:00:00")) == at("2026-11-28T06:00:00")
    assert [goes_now(each, now, NIGHT) for each in (calm, urgent)] == [False, True]
    assert goes_now(calm, at("2026-11-27T06:00:00"), NIGHT)


def test_every_kind_has_a_default_and_a_choice_overrides_it() -> None:
    assert set(DEFAULTS) == set(NoticeKind)
    mine = Preferences(media={NoticeKind.MENTIONED: Choice(in_app=False, email=False)})
    assert mine.choice(NoticeKind.MENTIONED) == Choice(in_app=False, email=False)
    assert mine.choice(NoticeKind.SLA_BREACHED) == DEFAULTS[NoticeKind.SLA_BREACHED]


def test_only_our_own_word_unsubscribes() -> None:
    member, secret = uuid4(), "0" * 32
    token = unsubscribe_token(member, secret)
    assert read_unsubscribe_token(token, secret) == member
    assert read_unsubscribe_token(unsubscribe_token(uuid4(), secret)[:22] + token[22:], secret) is None
    for wrong in ("", "x", "\u00e9", token[:-2], token + "AA", "A" * len(token)):
        assert read_unsubscribe_token(wrong, secret) is None
    assert read_unsubscribe_token(token, "1" * 32) is None
