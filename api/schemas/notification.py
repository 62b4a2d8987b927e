"""Notifications and what members choose about them, as clients send and see them."""

from datetime import datetime, time
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.schemas.fields import Document, View
from domain.events import NoticeKind
from domain.mail import MailState
from domain.notices import Choice, Medium, Preferences, QuietHours, Weekday

_DAYS = {day.name.lower(): day for day in Weekday}


class MailView(View):
    """How a notification by email has come along."""

    id: UUID
    state: MailState
    attempts: int
    sent_at: datetime | None
    error: str | None = Field(description="What the mail server said last, where it did not take it.")


class NotificationView(View):
    """Something a member was told, and why."""

    id: int
    member_id: UUID
    conversation_id: UUID | None = Field(description="Where it is about a conversation.")
    ticket_id: UUID | None
    ticket_version: int | None
    medium: Medium
    kind: str = Field(examples=["ticket_assigned"])
    why: str
    urgent: bool
    created_at: datetime
    read_at: datetime | None
    mail: MailView | None = Field(default=None, description="Of one by email, once it is in a mail.")


class UnreadView(View):
    """How many in-app notifications the member has not read."""

    unread: int


class MarkRead(Document):
    """Which of the member's notifications are read: these, or all that there are up to one. One or many."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": [12, 15]}, {"up_to": 900}]})

    ids: list[Annotated[int, Field(ge=1, lt=2**31)]] | None = Field(default=None, min_length=1, max_length=1000)
    up_to: Annotated[int, Field(ge=1, lt=2**31)] | None = Field(
        default=None, description="All with this id or a lower one: what the list showed, and nothing that came since."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (self.up_to is None):
            raise ValueError("give either ids or up_to")
        return self


class ReadView(View):
    """How many became read, and how many are left."""

    read: int
    unread: int


class ChoiceDocument(Document):
    """By which media to be told."""

    in_app: bool = True
    email: bool = False


class QuietHoursDocument(Document):
    """When mails wait, by the member's wall clock; urgent ones do not.

    Each stretch begins on one of ``days`` and ends at ``until``, on the next day where that is not later than ``from``.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    begins: time = Field(alias="from", examples=["22:00"])
    until: time = Field(examples=["07:00"])
    days: list[Annotated[str, StringConstraints(pattern=f"^({'|'.join(_DAYS)})$")]] = Field(
        default_factory=lambda: list(_DAYS), min_length=1, max_length=7
    )
    time_zone: str = Field(default="UTC", max_length=100, examples=["Europe/Berlin"])

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if self.begins.tzinfo or self.until.tzinfo:
            raise ValueError("times are of the member's own wall clock and have no offset")
        self.hours()
        return self

    def hours(self) -> QuietHours:
        days = tuple(sorted({_DAYS[name] for name in self.days}))
        return QuietHours(begins=self.begins, until=self.until, days=days, time_zone=self.time_zone)

    @classmethod
    def of(cls, hours: QuietHours) -> Self:
        days = [day.name.lower() for day in hours.days]
        values = {"from": hours.begins, "until": hours.until, "days": days, "time_zone": hours.time_zone}
        return cls.model_validate(values)


class PreferencesDocument(Document):
    """What the member chooses; a kind that is left out is told as it is by default."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "media": {"customer_replied": {"in_app": True, "email": True}},
                    "quiet_hours": {"from": "22:00", "until": "07:00", "time_zone": "Europe/Berlin"},
                }
            ]
        }
    )

    media: dict[NoticeKind, ChoiceDocument] = Field(default_factory=dict)
    quiet_hours: QuietHoursDocument | None = None

    def preferences(self) -> Preferences:
        return Preferences(
            media={kind: Choice(**choice.model_dump()) for kind, choice in self.media.items()},
            quiet_hours=self.quiet_hours.hours() if self.quiet_hours else None,
        )


class PreferencesView(View):
    """By which media the member is told of each kind, defaults included, and when mails wait."""

    media: dict[NoticeKind, ChoiceDocument]
    quiet_hours: QuietHoursDocument | None

    @classmethod
    def of(cls, chosen: Preferences) -> Self:
        hours = chosen.quiet_hours
        return cls(
            media={kind: ChoiceDocument(**chosen.choice(kind).model_dump()) for kind in NoticeKind},
            quiet_hours=QuietHoursDocument.of(hours) if hours else None,
        )
