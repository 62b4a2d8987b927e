"""By which media a member is told of what, and when a mail may reach them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Self

from pydantic import Field, model_validator

from domain.errors import InvalidCalendar
from domain.events import NoticeKind
from domain.ladders import Frozen
from domain.time_zones import zone_named


class Medium(StrEnum):
    """How a member is told."""

    IN_APP = "in_app"
    EMAIL = "email"


class Weekday(IntEnum):
    """As ISO 8601 counts them."""

    MONDAY = 1
    TUESDAY = 2
    WEDNESDAY = 3
    THURSDAY = 4
    FRIDAY = 5
    SATURDAY = 6
    SUNDAY = 7


class Choice(Frozen):
    """The media by which a member is told of one kind."""

    in_app: bool
    email: bool


_BOTH, _IN_APP = Choice(in_app=True, email=True), Choice(in_app=True, email=False)

DEFAULTS: Mapping[NoticeKind, Choice] = MappingProxyType(
    {
        NoticeKind.TICKET_ASSIGNED: _BOTH,
        NoticeKind.TICKET_REASSIGNED: _BOTH,
        NoticeKind.TICKET_ESCALATED: _BOTH,
        NoticeKind.TICKET_REOPENED: _BOTH,
        NoticeKind.TICKET_RELEASED: _BOTH,
        NoticeKind.ESCALATION_RAISED: _BOTH,
        NoticeKind.MENTIONED: _BOTH,
        NoticeKind.SLA_BREACHED: _BOTH,
        # What happens many times a day, and what somebody who works on the ticket sees anyway.
        NoticeKind.CUSTOMER_REPLIED: _IN_APP,
        NoticeKind.SLA_WARNING: _IN_APP,
        NoticeKind.REMINDER_SENT: _IN_APP,
        NoticeKind.TICKET_RESOLVED: _IN_APP,
        NoticeKind.STATUS_CHANGED: _IN_APP,
        NoticeKind.TICKET_MERGED: _IN_APP,
    }
)
"""What holds for a member who has chosen nothing."""


class QuietHours(Frozen):
    """When a member's wall clock says that mails wait.

    ``days`` are those on which a stretch begins; it ends at ``until``, on the next day where that is not after
    ``begins``. Equal times are a whole day.
    """

    begins: time
    until: time
    days: tuple[Weekday, ...] = tuple(Weekday)
    time_zone: str = "UTC"

    @model_validator(mode="after")
    def _usable(self) -> Self:
        try:
            zone_named(self.time_zone)
        except InvalidCalendar as error:
            raise ValueError(str(error)) from None
        if self.begins == self.until and set(self.days) == set(Weekday):
            raise ValueError("quiet hours that never end would hold mails back for ever; turn email off instead")
        return self

    def end(self, at: datetime) -> datetime:
        """When it is no longer quiet: ``at`` itself where it is not quiet then. Stretches that meet are one."""
        moment = at
        while (until := self._until(moment)) is not None:
            moment = until
        return moment

    def _until(self, at: datetime) -> datetime | None:
        """The end of the stretch that ``at`` lies in, by the wall clock; ``None`` outside of them."""
        zone = zone_named(self.time_zone)
        local = at.astimezone(zone)
        # One that began yesterday, or today. Where clocks are put back, a wall time that comes twice is its first.
        for day in (local.date() - timedelta(days=1), local.date()):
            if Weekday(day.isoweekday()) not in self.days:
                continue
            begins = datetime.combine(day, self.begins, zone)
            last = day if self.until > self.begins else day + timedelta(days=1)
            until = datetime.combine(last, self.until, zone).astimezone(at.tzinfo)
            if begins.astimezone(at.tzinfo) <= at < until:
                return until
        return None


class Preferences(Frozen):
    """What a member has chosen: media by kind, where they differ from ``DEFAULTS``, and quiet hours."""

    media: dict[NoticeKind, Choice] = Field(default_factory=dict)
    quiet_hours: QuietHours | None = None

    def choice(self, kind: NoticeKind) -> Choice:
        return self.media.get(kind, DEFAULTS[kind])


class Pending(Frozen):
    """One notification that waits for a mail."""

    created_at: datetime
    urgent: bool


def mail_due_at(
    pending: Sequence[Pending], quiet_hours: QuietHours | None, gather: timedelta, now: datetime
) -> datetime:
    """When the next mail about ``pending``, which is not empty, has to go; not before ``now``.

    An urgent one goes at once. Others wait ``gather`` for more to come, counted from the oldest, and then for the end
    of quiet hours.
    """
    if any(each.urgent for each in pending):
        return now
    due_at = max(now, min(each.created_at for each in pending) + gather)
    return quiet_hours.end(due_at) if quiet_hours else due_at


def goes_now(each: Pending, now: datetime, quiet_hours: QuietHours | None) -> bool:
    """Whether it belongs into a mail that goes ``now``: all of them but those that quiet hours hold back."""
    return each.urgent or quiet_hours is None or quiet_hours.end(now) == now
