"""What can be asked of an escalation (commands) and what it can be told (facts)."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from domain.commands import Request
from domain.escalation import Reason
from domain.events import SYSTEM, Actor
from domain.ladders import Frozen


class Raise(Frozen):
    """A reason to have a human look at a conversation; it makes an escalation, or is added to the one there is.

    ``team_id`` is whose queue it goes to where it has none yet. The teams and members named in ``notify_*`` are told
    besides. ``ticket_id`` is the ticket that goes with it.
    """

    reason: Reason
    actor: Actor = SYSTEM
    team_id: UUID | None = None
    notify_team_ids: tuple[UUID, ...] = ()
    notify_member_ids: tuple[UUID, ...] = ()
    ticket_id: UUID | None = None

    @property
    def request_id(self) -> str:
        """The reason's id: a reason counts once."""
        return str(self.reason.id)


class Asked(Request):
    """What every command of an escalation carries: which one it is for; ``None`` is whichever is live."""

    escalation_id: UUID | None = None


class Claim(Asked):
    """Give the conversation to a member. Where no escalation is live, ``raising`` makes one of a takeover."""

    kind: Literal["claim"] = "claim"
    member_id: UUID
    member_name: str
    raising: Raise | None = None


class HandBack(Asked):
    """Return the conversation to the bot, which ends the escalation; with ``forced`` also somebody else's."""

    kind: Literal["hand_back"] = "hand_back"
    note: str | None = None
    forced: bool = False


class Resolve(Asked):
    """The customer has been helped."""

    kind: Literal["resolve"] = "resolve"
    note: str | None = None


class Dismiss(Asked):
    """The conversation did not need a human."""

    kind: Literal["dismiss"] = "dismiss"
    note: str | None = None


class AttachTicket(Asked):
    """The ticket that goes with the escalation from now on."""

    kind: Literal["attach_ticket"] = "attach_ticket"
    ticket_id: UUID
    ticket_number: int


EscalationCommand = Annotated[Claim | HandBack | Resolve | Dismiss | AttachTicket, Field(discriminator="kind")]


class Spoken(Frozen):
    """The customer wrote or a person answered: the conversation's times as they were committed.

    They only ever move on, so that reports may come in any order and any number of times.
    """

    waiting_since: datetime | None = None
    answered_at: datetime | None = None


class PresenceChanged(Frozen):
    """Whoever has the conversation went offline at ``absent_since``, or came back (``None``)."""

    member_id: UUID
    absent_since: datetime | None = None


class Released(Frozen):
    """A member was removed: what they have goes back to the queue, once for ``request_id``."""

    member_id: UUID
    request_id: str
