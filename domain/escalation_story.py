"""What happens to an escalation: one change a version, whom each one tells, and one decision while it is being made."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import Field, JsonValue

from domain.escalation import Escalation, Reason
from domain.events import Actor, Notice
from domain.ladders import Frozen


class ChangeKind(StrEnum):
    """What happened."""

    RAISED = "raised"
    REASON_ADDED = "reason_added"
    CLAIMED = "claimed"
    RETURNED = "returned"
    HANDED_BACK = "handed_back"
    RESOLVED = "resolved"
    DISMISSED = "dismissed"
    LADDER_STEP = "ladder_step"
    WAITING_CHANGED = "waiting_changed"
    PRESENCE_CHANGED = "presence_changed"
    TICKET_ATTACHED = "ticket_attached"
    UNCHANGED = "unchanged"
    """A command found all as it asks for."""


ENDED = frozenset({ChangeKind.HANDED_BACK, ChangeKind.RESOLVED, ChangeKind.DISMISSED})
"""What an escalation ends with."""


class QueueNotice(Notice):
    """A notice of an escalation, told once a receiver: ``team_ids`` are told besides the escalation's own team."""

    team_ids: tuple[UUID, ...] = ()


class EscalationChange(Frozen):
    """One line of an escalation's story: who, what, when, why.

    ``request_id`` names the command or reason that caused it (set on the first change of each) and ``fingerprint``
    that request's content. ``reasons`` are those that came with it. ``about`` holds ids and times that belong to the
    kind.
    """

    version: int
    kind: ChangeKind
    at: datetime
    actor: Actor
    why: str | None = None
    about: dict[str, JsonValue] = Field(default_factory=dict)
    request_id: str | None = None
    fingerprint: str | None = None
    reasons: tuple[Reason, ...] = ()
    notices: tuple[QueueNotice, ...] = ()


class EscalationStory:
    """Takes an escalation from one version to the next; ``escalation`` and ``events`` are the decision."""

    def __init__(
        self,
        escalation: Escalation,
        now: datetime,
        actor: Actor,
        request_id: str | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.escalation = escalation
        self.events: list[EscalationChange] = []
        self.now = now
        self.actor = actor
        self._request_id = request_id
        self._fingerprint = fingerprint

    def tell(
        self,
        kind: ChangeKind,
        *,
        why: str | None = None,
        about: Mapping[str, JsonValue] | None = None,
        reasons: Sequence[Reason] = (),
        notices: Sequence[QueueNotice] = (),
        changes: Mapping[str, object] | None = None,
    ) -> None:
        """Record one change and apply its ``changes``; the first one carries the request's id."""
        version = self.escalation.version + 1
        self.escalation = self.escalation.model_copy(
            update={**(changes or {}), "version": version, "updated_at": self.now}
        )
        first = not self.events
        self.events.append(
            EscalationChange(
                version=version,
                kind=kind,
                at=self.now,
                actor=self.actor,
                why=why,
                about=dict(about or {}),
                request_id=self._request_id if first else None,
                fingerprint=self._fingerprint if first else None,
                reasons=tuple(reasons),
                notices=tuple(notices),
            )
        )
