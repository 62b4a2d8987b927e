"""Public holidays of countries, as the ``holidays`` package knows them, under names that stay the same."""

from datetime import date
from functools import lru_cache

import holidays

from domain.errors import InvalidCalendar

_REMARKS = ("observed)", "estimated)", "observed, estimated)")


def check_country(country: str | None, subdivision: str | None) -> None:
    """``InvalidCalendar`` for a country or a subdivision nothing is known of."""
    if country is None:
        if subdivision is not None:
            raise InvalidCalendar("A subdivision's holidays need its country.", subdivision=subdivision)
        return
    # Asked first, since the package looks any name up among its own attributes.
    known = country in _countries()
    try:
        if known:
            holidays.country_holidays(country, subdiv=subdivision)
    except NotImplementedError:
        known = False
    if not known:
        where = country if subdivision is None else f"{country}-{subdivision}"
        raise InvalidCalendar(f"There are no holidays known for {where}.", country=country, subdivision=subdivision)


# A year takes half a millisecond; the package's first use in a process takes half a second.
@lru_cache(maxsize=400)
def public_holidays(country: str | None, subdivision: str | None, year: int) -> tuple[tuple[date, str], ...]:
    """Dates and names in a year, by date; a date may have several. None without a country."""
    if country is None:
        return ()
    check_country(country, subdivision)
    offered = holidays.country_holidays(country)
    # English where the country has it, else its own language; never the language of the machine.
    english = (each for each in offered.supported_languages if each.startswith("en"))
    language = next(english, offered.default_language)
    found = holidays.country_holidays(country, subdiv=subdivision, years=year, expand=False, language=language)
    return tuple((day, name) for day in sorted(found) if day.year == year for name in found.get_list(day))


def same_holiday(name: str) -> str:
    """What a holiday is called in every year: "Christmas Day (observed)" is Christmas Day."""
    plain, _, remark = name.rpartition(" (")
    return plain if remark in _REMARKS else name


@lru_cache(maxsize=1)
def _countries() -> frozenset[str]:
    return frozenset(holidays.list_supported_countries())
