"""Whether members are there, what they take, and what waits for them, as clients send and see it."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field

from api.schemas.fields import Capacity, Document, Moment, View
from domain.assignment import HEARTBEAT_LIMIT, Presence
from domain.priority import Priority


class Beat(Document):
    """A member says that they are there; sent again before the limit, or they count as offline."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"presence": "online"}]})

    presence: Presence = Field(
        default=Presence.ONLINE, description=f"Holds for {HEARTBEAT_LIMIT.total_seconds():.0f} seconds."
    )


class OutOfOffice(Document):
    """From when until when a member is given nothing; without ``until`` until it is taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"from": "2026-12-24T00:00:00Z"}]})

    from_: Moment = Field(alias="from")
    until: Moment | None = None
    replacement_id: UUID | None = Field(
        default=None, description="Who takes their turns; without one the turn goes to the next in the team."
    )


def _in_order(out: OutOfOffice) -> OutOfOffice:
    if out.until is not None and out.until <= out.from_:
        raise ValueError("must end after it begins")
    return out


class Availability(Document):
    """What a member takes, and when not; replaces what was said before."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"capacity": 8},
                {"out_of_office": {"from": "2026-12-24T00:00:00Z", "until": "2027-01-04T08:00:00Z"}},
            ]
        }
    )

    capacity: Capacity | None = Field(default=None, description="Without one it is the team's, or the organization's.")
    out_of_office: Annotated[OutOfOffice, AfterValidator(_in_order)] | None = None


class QueuedTicketView(View):
    """A ticket that waits for somebody, and its place in the queue, from 1."""

    position: int
    ticket_id: UUID
    number: int
    title: str
    priority: Priority
    waiting_since: datetime
