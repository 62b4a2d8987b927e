"""Time zones as arithmetic needs them: which offset from UTC was in force when, in whole microseconds."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.errors import InvalidCalendar

SECOND = 1_000_000
DAY = 86_400 * SECOND
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970; ``ValueError`` for a time without a zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return (at - EPOCH) // MICROSECOND


def instant(since_epoch: int) -> datetime:
    """The UTC time that many microseconds after 1970 began."""
    return EPOCH + timedelta(microseconds=since_epoch)


@lru_cache(maxsize=400)
def zone_named(name: str) -> ZoneInfo:
    """The zone by its IANA name, or ``InvalidCalendar``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # OSError: some systems' zone files include directories ("America").
        raise InvalidCalendar(f"There is no time zone {name!r}; use an IANA name such as Europe/Berlin.") from None


@lru_cache(maxsize=400)
def offsets(name: str, year: int) -> tuple[tuple[int, int, int], ...]:
    """The offsets in force in a UTC year, in order: since, until (microseconds since 1970), offset (microseconds)."""
    zone = zone_named(name)
    since, until = (microseconds(datetime(number, 1, 1, tzinfo=UTC)) for number in (year, year + 1))
    spells = []
    offset = _offset(zone, since)
    # A look a day finds every change: no zone has changed its clocks twice within one.
    for midnight in range(since, until, DAY):
        if _offset(zone, midnight + DAY) == offset:
            continue
        change = _change(zone, midnight, offset)
        if change < until:
            spells.append((since, change, offset))
            since, offset = change, _offset(zone, change)
    spells.append((since, until, offset))
    return tuple(spells)


def _change(zone: ZoneInfo, midnight: int, offset: int) -> int:
    """The second of the day after ``midnight`` from which ``offset`` is no longer in force."""
    low, high = midnight, midnight + DAY
    while high - low > SECOND:
        middle = low + (high - low) // (2 * SECOND) * SECOND
        if _offset(zone, middle) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: ZoneInfo, at: int) -> int:
    offset = instant(at).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // MICROSECOND
