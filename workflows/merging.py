"""What a ticket's workflow keeps while its ticket goes into another one, and what still comes for it afterwards."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.signatures import ForwardFact, Refusal
    from domain.commands import AgentReplied, CustomerReplied, Merge, NoteAdded
    from domain.ticket import Ticket

Held = CustomerReplied | AgentReplied | NoteAdded


class Merging:
    """The merge that is being decided, if any, and the facts that came while it was or after it was done.

    It lasts for two activities at most, and no run continues as new meanwhile, so nothing of it is carried on.
    """

    def __init__(self) -> None:
        self.command: Merge | None = None
        self.held: list[Held] = []
        self._refusals: dict[str, Refusal] = {}

    def __bool__(self) -> bool:
        return self.command is not None

    async def decided(self) -> None:
        """Wait until no merge is being decided; at once, and without a trace in history, where none is."""
        while self.command is not None:
            await workflow.wait_condition(lambda: self.command is None)

    async def begin(self, command: Merge) -> None:
        """Have the main coroutine decide the merge; returns once it is done, raises the refusal where it is not."""
        self.command = command
        await workflow.wait_condition(lambda: self.command is not command)
        refusal = self._refusals.pop(command.request_id, None)
        if refusal:
            raise ApplicationError(refusal.message, refusal.context, type=refusal.code, non_retryable=True)

    def end(self, refusal: Refusal | None) -> None:
        """The merge has been decided: the one who waits for it goes on."""
        assert self.command is not None
        if refusal:
            self._refusals[self.command.request_id] = refusal
        self.command = None

    def holds(self, ticket: Ticket, fact: Held) -> bool:
        """Whether the fact is not for the ticket to decide on, or not yet; it is kept then."""
        if self.command is None and ticket.merged_into is None:
            return False
        self.held.append(fact)
        return True

    def next_to_forward(self, ticket: Ticket) -> ForwardFact:
        """The oldest fact kept, addressed to the ticket that goes on; it stays kept until ``forwarded``."""
        assert ticket.merged_into is not None
        fact = self.held[0]
        return ForwardFact(
            target_id=ticket.merged_into,
            customer_replied=fact if isinstance(fact, CustomerReplied) else None,
            agent_replied=fact if isinstance(fact, AgentReplied) else None,
            note_added=fact if isinstance(fact, NoteAdded) else None,
        )
