"""Reports as clients see them; what is counted is said with the counts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field

from api.schemas.fields import View


class Row(View):
    """One group in one stretch of time."""

    bucket: datetime | None = Field(description="When the stretch begins, in the zone asked for; null without buckets.")
    key: str | None = Field(description="What the group is known by; null for tickets without one.")
    name: str | None = Field(description="What people call it.")


class VolumesRow(Row):
    """Tickets that came and tickets that were resolved, each counted in its own stretch."""

    created: int
    resolved: int = Field(description="By the latest resolution of each, where it still holds.")


class DurationRow(Row):
    """A length of time over some tickets, in seconds."""

    tickets: int = Field(description="Tickets in the group.")
    measured: int = Field(description="Those of them that have come to an end, which the figures are of.")
    average: float | None
    median: float | None
    p90: float | None = Field(description="Nine of ten took no longer.")


class SlaRow(Row):
    """Promises kept and broken: of each ticket one first response and one resolution, and every next response."""

    tickets: int
    first_response_met: int
    first_response_breached: int
    first_response_compliance: float | None = Field(description="Met, of those met and breached.")
    next_response_met: int
    next_response_breached: int
    next_response_compliance: float | None
    resolution_met: int
    resolution_breached: int
    resolution_compliance: float | None


class FalseAlarmRow(Row):
    """A rule, what it decided, and how many of its tickets were resolved without any human having answered."""

    decisions: int
    tickets: int
    resolved: int
    without_human: int
    share: float | None = Field(description="Without a human, of the resolved.")


class QueueRow(Row):
    """How long conversations waited for a human, in seconds, and how many did not need one."""

    escalations: int
    measured: int = Field(description="Those of them that a human has claimed, which the figures are of.")
    average: float | None
    median: float | None
    p90: float | None = Field(description="Nine of ten took no longer.")
    dismissed: int


class DismissalRow(Row):
    """A version of a rule, and how many of the escalations it was a reason of were dismissed."""

    version: int | None
    escalations: int
    ended: int
    dismissed: int
    share: float | None = Field(description="Dismissed, of those that have ended.")


R = TypeVar("R", bound=BaseModel)


class ReportView(BaseModel, Generic[R]):
    """Figures, and what they are of."""

    of: str = Field(examples=["Tickets created in the range"])
    since: datetime
    until: datetime
    time_zone: str
    group_by: str | None
    bucket: str | None
    rows: Sequence[R] = Field(description="Groups and stretches in which there is something, in order.")
    total: R | None = Field(description="All of it together; a ticket with two tags is in two groups, and once here.")


def read_row(kind: type[R], found: dict[str, Any]) -> R:
    """A row of figures as ``db.analytics`` gives it, with what follows from them."""
    values = {**found, "key": None if found["key"] is None else str(found["key"])}
    if "spread" in values:
        median, p90 = values.pop("spread") or (None, None)
        values |= {
            "median": median if median is None else round(median, 3),
            "p90": p90 if p90 is None else round(p90, 3),
        }
    if kind is SlaRow:
        for metric in ("first_response", "next_response", "resolution"):
            met, breached = values[f"{metric}_met"], values[f"{metric}_breached"]
            values[f"{metric}_compliance"] = _share(met, met + breached)
    if kind is FalseAlarmRow:
        values["share"] = _share(values["without_human"], values["resolved"])
    if kind is DismissalRow:
        values["share"] = _share(values["dismissed"], values["ended"])
    return kind.model_validate(values)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
