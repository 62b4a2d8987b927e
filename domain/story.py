"""One decision while it is being made: the ticket as it changes, and the events that say so."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue

from domain.clocks import Change
from domain.deadlines import escalating
from domain.events import Actor, CustomerMessage, EventKind, FieldChange, Notice, TicketEvent
from domain.sla_notices import sla_notices
from domain.ticket import Ticket

REPLANNED = ("priority", "tags", "team_id")
"""Fields by which SLA policies are chosen and their targets set."""

REPORTED = ("status", "assignee_id", "team_id", "priority", "title", "tags")
"""Fields whose change an event shows; the others follow from the kind of event."""


class Story:
    """Takes a ticket from one version to the next; ``ticket`` and ``events`` are the decision."""

    def __init__(
        self, ticket: Ticket, now: datetime, actor: Actor, request_id: str | None = None, fingerprint: str | None = None
    ) -> None:
        self.ticket = ticket
        self.events: list[TicketEvent] = []
        self.now = now
        self.actor = actor
        self._request_id = request_id
        self._fingerprint = fingerprint

    def tell(
        self,
        kind: EventKind,
        *,
        reason: str | None = None,
        about: Mapping[str, JsonValue] | None = None,
        notices: Sequence[Notice] = (),
        customer_messages: Sequence[CustomerMessage] = (),
        changes: Mapping[str, object] | None = None,
        clocks: Change | None = None,
    ) -> None:
        """Record one event and apply its ``changes`` and ``clocks``; the first event carries the request's id."""
        before = self.ticket
        update = {**(changes or {}), "version": before.version + 1, "updated_at": self.now}
        if any(update.get(name, getattr(before, name)) != getattr(before, name) for name in REPLANNED):
            update.setdefault("sla_asked", before.sla_asked + 1)
        if clocks:
            update["clocks"] = clocks.clocks
        self.ticket = with_ladders_stopped(before.model_copy(update=update))
        events = clocks.events if clocks else ()
        first = not self.events
        self.events.append(
            TicketEvent(
                version=self.ticket.version,
                kind=kind,
                at=self.now,
                actor=self.actor,
                reason=reason,
                changes=_differences(before, self.ticket),
                about=dict(about or {}),
                request_id=self._request_id if first else None,
                fingerprint=self._fingerprint if first else None,
                clocks=events,
                notices=(*notices, *sla_notices(self.ticket, events)),
                customer_messages=tuple(customer_messages),
            )
        )


def with_ladders_stopped(ticket: Ticket) -> Ticket:
    """The ticket without the ladders of metrics that no longer escalate."""
    still = escalating(ticket.clocks)
    if all(ladder.run is None or ladder.metric in still for ladder in ticket.breach_ladders):
        return ticket
    ladders = tuple(
        ladder if ladder.metric in still else ladder.model_copy(update={"run": None})
        for ladder in ticket.breach_ladders
    )
    return ticket.model_copy(update={"breach_ladders": ladders})


def _differences(before: Ticket, after: Ticket) -> dict[str, FieldChange]:
    old = before.model_dump(mode="json", include=set(REPORTED))
    new = after.model_dump(mode="json", include=set(REPORTED))
    return {name: FieldChange(before=old[name], after=new[name]) for name in REPORTED if old[name] != new[name]}
