"""What has happened and is not in the read model yet."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.signatures import EscalationBatch, TicketBatch
    from domain.escalation import Escalation
    from domain.story import Story
    from domain.ticket import Ticket
    from workflows.messages import Entry, EscalationEntry

LARGEST_BATCH = 100
"""Decisions in one batch, or carried to the next run: keeps a burst's payload far below Temporal's limit of 2 MB."""


class _Decision(Protocol):
    """A decision: what happened, and the state after it."""

    @property
    def events(self) -> Sequence[Any]: ...

    @property
    def after(self) -> Any: ...


E = TypeVar("E", bound=_Decision)


class Entries(Generic[E]):
    """Decisions in the order they were made; a burst leaves in one batch."""

    def __init__(self, entries: Iterable[E]) -> None:
        self._entries = list(entries)

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def portable(self) -> bool:
        """Whether the next run can be given what is left."""
        return len(self._entries) <= LARGEST_BATCH

    @property
    def entries(self) -> tuple[E, ...]:
        """What has not been handed on, for the next run to carry."""
        return tuple(self._entries)

    def _add(self, entry: E) -> None:
        """Keep a decision until it is recorded."""
        self._entries.append(entry)

    def _next(self, now: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """Remove the next batch; the state after it, what happened, and what commands were answered that is not so now.

        ``now`` is the state the last decision has led to. A batch that holds everything carries it, since it may have
        taken on terms.
        """
        taken, self._entries = self._entries[:LARGEST_BATCH], self._entries[LARGEST_BATCH:]
        state = taken[-1].after if self._entries else now
        answers = {
            entry.events[0].request_id: entry.after
            for entry in taken
            if entry.events[0].request_id and entry.events[0].fingerprint and entry.after.version != state.version
        }
        return state, tuple(event for entry in taken for event in entry.events), answers


class Outbox(Entries[Entry]):
    """A ticket's; ``description`` goes with the batch that creates the ticket."""

    def __init__(self, entries: Iterable[Entry], description: str | None) -> None:
        super().__init__(entries)
        self.description = description

    def put(self, story: Story) -> None:
        """Keep a decision until it is recorded."""
        self._add(Entry(events=tuple(story.events), after=story.ticket))

    def take(self, now: Ticket) -> TicketBatch:
        """Remove and return the next batch; ``now`` is the state the last decision has led to."""
        ticket, events, answers = self._next(now)
        description, self.description = self.description, None
        return TicketBatch(ticket=ticket, events=events, answers=answers, description=description)


class EscalationOutbox(Entries[EscalationEntry]):
    """An escalation's."""

    def put(self, entry: EscalationEntry) -> None:
        """Keep a decision until it is recorded."""
        self._add(entry)

    def take(self, now: Escalation) -> EscalationBatch:
        """Remove and return the next batch; ``now`` is the state the last decision has led to."""
        escalation, changes, answers = self._next(now)
        return EscalationBatch(escalation=escalation, changes=changes, answers=answers)
