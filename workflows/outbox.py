"""What has happened to a ticket and is not in the read model yet."""

from collections.abc import Iterable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.signatures import TicketBatch
    from domain.story import Story
    from domain.ticket import Ticket
    from workflows.messages import Entry

LARGEST_BATCH = 100
"""Decisions in one batch, or carried to the next run: keeps a burst's payload far below Temporal's limit of 2 MB."""


class Outbox:
    """Decisions in the order they were made; a burst leaves in one batch."""

    def __init__(self, entries: Iterable[Entry], description: str | None) -> None:
        self._entries = list(entries)
        self.description = description

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def portable(self) -> bool:
        """Whether the next run can be given what is left."""
        return len(self._entries) <= LARGEST_BATCH

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What has not been handed on, for the next run to carry."""
        return tuple(self._entries)

    def put(self, story: Story) -> None:
        """Keep a decision until it is recorded."""
        self._entries.append(Entry(events=tuple(story.events), after=story.ticket))

    def take(self, now: Ticket) -> TicketBatch:
        """Remove and return the next batch; ``now`` is the state the last decision has led to.

        A batch that holds everything carries ``now``, which may have taken on terms since.
        """
        taken, self._entries = self._entries[:LARGEST_BATCH], self._entries[LARGEST_BATCH:]
        ticket = taken[-1].after if self._entries else now
        answers = {
            entry.events[0].request_id: entry.after
            for entry in taken
            if entry.events[0].request_id and entry.events[0].fingerprint and entry.after.version != ticket.version
        }
        description, self.description = self.description, None
        return TicketBatch(
            ticket=ticket,
            events=tuple(event for entry in taken for event in entry.events),
            answers=answers,
            description=description,
        )
