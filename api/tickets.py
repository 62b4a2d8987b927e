"""What the API does with tickets: create, command, tell, and answer only once the read model shows it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from api.dependencies import Principal, Services
from api.idempotency import RequestId, check_fingerprint
from api.problems import Problem, not_found
from api.read_model import Watch
from api.request_log import concerns
from api.reservations import Reservations
from api.schemas.ticket import CreateTicket
from api.temporal_answers import RunEnded
from api.ticket_gateway import TicketGateway
from db.openings import find_opening
from db.tickets import (
    KeptAnswer,
    RecordedTicket,
    RequesterFacts,
    find_requester,
    find_shown,
    find_ticket,
    find_with_answer,
)
from domain.commands import ChangeStatus, Command, Merge
from domain.errors import DomainError
from domain.events import Actor, ActorKind, EventKind
from domain.ids import ticket_id, workflow_id
from domain.lifecycle import check, closed
from domain.ticket import TRANSITIONS, Status, Ticket, legal_targets
from workflows.messages import Created, Outcome, StartTicket


@dataclass(frozen=True)
class Answer:
    """A ticket to answer with. ``pending``: the read model does not show it yet. ``replayed``: an earlier answer."""

    recorded: RecordedTicket
    pending: bool = False
    replayed: bool = False


@dataclass(frozen=True)
class Tickets:
    """Acts for one caller; nothing of another organization can be reached."""

    services: Services
    session: AsyncSession
    caller: Principal

    @property
    def reservations(self) -> Reservations:
        """What new tickets need first."""
        return Reservations(self.services, self.session, self.caller)

    @property
    def gateway(self) -> TicketGateway:
        """The way to the workflows."""
        return TicketGateway(self.services.temporal, self.services.settings)

    async def find(self, wanted_id: UUID) -> RecordedTicket:
        """The ticket as recorded, or ``not_found``."""
        return await self.recorded(wanted_id) or await self._unrecorded(wanted_id)

    async def recorded(self, wanted_id: UUID) -> RecordedTicket | None:
        """The ticket as recorded; ``None`` for one that is not yet, and for none."""
        async with self.services.reads() as session:
            return await find_ticket(session, self.caller.organization_id, wanted_id)

    async def begun(self, wanted_id: UUID) -> RecordedTicket:
        """The same as ``find`` where the ticket may only have been decided on: starting it takes no worker."""
        recorded = await self.recorded(wanted_id)
        if recorded is not None:
            return recorded
        ticket = await self._decided_on(wanted_id)
        return await self._with_requester(ticket) if ticket else await self._unrecorded(wanted_id)

    async def create(self, document: CreateTicket, request: RequestId) -> Answer:
        """Create a ticket once for the request; the same request gets the same ticket."""
        new_id = ticket_id(self.caller.organization_id, request.key)
        concerns(new_id)
        with self.services.read_model.watch(new_id) as watch:
            known = await self._known(new_id, request)
            if known is not None:
                return known
            ticket, requester, rules = await self.reservations.ticket(new_id, document, request)
            created = Created(
                actor=self.caller.actor,
                request_id=request.key,
                fingerprint=request.fingerprint,
                description=document.description,
                because=rules,
            )
            return await self.start(watch, ticket, requester, created)

    async def start(self, watch: Watch, ticket: Ticket, requester: RequesterFacts, created: Created) -> Answer:
        """Start a reserved ticket's workflow and wait until it can be read."""
        await self.gateway.start(ticket, created)
        fallback = RecordedTicket(ticket.model_copy(update={"version": 1}), created.description, requester)
        return await self._shown(watch, fallback, created.request_id)

    async def command(self, wanted_id: UUID, command: Command | Merge, request: RequestId) -> Answer:
        """Have the ticket obey, once for the request; an earlier answer is given again."""
        with self.services.read_model.watch(wanted_id) as watch:
            recorded, kept = await self._with_answer(wanted_id, request)
            if kept is not None:
                return replayed(recorded, kept, request)
            try:
                outcome = await self._obey(recorded, command)
            except DomainError:
                known = await self._known(wanted_id, request)
                if known is None:
                    raise
                return known  # a run that has ended meanwhile had dealt with an earlier try
            check_fingerprint(outcome.fingerprint, request)
            fallback = replace(recorded, ticket=outcome.ticket)
            answer = await self._shown(watch, fallback, request.key, seen=recorded.ticket.version)
            if answer.pending and outcome.repeated:
                # The workflow knows that it has dealt with the request, and only the read model how.
                raise Problem(
                    "outcome_unknown",
                    "An earlier request with this Idempotency-Key was dealt with, but what it came to cannot be read "
                    "yet. Send the request again with the same Idempotency-Key.",
                )
            return answer

    async def goes_on_as(self, recorded: RecordedTicket) -> RecordedTicket:
        """The ticket itself, or the one that has taken it over, however many tickets there were between."""
        while (following := recorded.ticket.merged_into) is not None:
            recorded = await self.find(following)
        return recorded

    async def submit(self, wanted_id: UUID, command: Command, request: RequestId) -> None:
        """Hand a command on and do not wait for its outcome, which the ticket's events will tell.

        Once they tell that it was refused, so is whoever hands it on again.
        """
        recorded, kept = await self._with_answer(wanted_id, request)
        if kept is not None:
            replayed(recorded, kept, request)
            return
        starts = _begins_a_run(recorded.ticket, command)
        try:
            if recorded.ticket.status is Status.CLOSED and not starts:
                await self._obey(recorded, command)  # waited for all the same: without a run, none tells the refusal
                return
            if starts:
                check(recorded.ticket, command)
            await self.deliver(
                recorded, lambda ticket, start: self.gateway.submit(ticket, command, start=start), _reopens(command)
            )
        except DomainError:
            if await self._known(wanted_id, request) is None:
                raise

    async def deliver(
        self, recorded: RecordedTicket, send: Callable[[Ticket, bool], Awaitable[None]], reopening: bool
    ) -> None:
        """Send a signal to the ticket's run; where it is closed, to its next run if ``reopening``, else refuse."""
        ticket = recorded.ticket
        for _ in range(3):
            if ticket.status is Status.CLOSED and not (reopening or ticket.merged_into):
                raise closed(ticket)
            try:
                await send(ticket, ticket.status is Status.CLOSED)
            except RunEnded:
                ticket = await self._as_it_ended(ticket)
            else:
                return
        raise _missing(ticket)

    async def shown(self, watch: Watch, recorded: RecordedTicket, request_id: str) -> Answer:
        """Wait until what a delivered signal made of the ticket can be read."""
        return await self._shown(watch, recorded, request_id, wait_for_event=True)

    async def knows(self, wanted_id: UUID, request_id: str) -> bool:
        """Whether the ticket's story has an event of the request already."""
        async with self.services.reads() as session:
            found = await find_with_answer(session, self.caller.organization_id, wanted_id, request_id)
        return found is not None and found[1] is not None

    async def _obey(self, recorded: RecordedTicket, command: Command | Merge) -> Outcome:
        """What the ticket's run makes of a command, or a ``DomainError`` where the ticket is closed and has none.

        The run is asked also where the ticket is on record as closed: another one may have begun since, and have dealt
        with an earlier try. Where there is none, all that the ticket has ever dealt with is on record.
        """
        ticket = recorded.ticket
        for _ in range(3):
            try:
                if _begins_a_run(ticket, command):
                    assert isinstance(command, ChangeStatus)
                    return await self.gateway.reopen(ticket, command)
                return await self.gateway.command(ticket.id, command)
            except RunEnded:
                if ticket.status is Status.CLOSED and not _begins_a_run(ticket, command):
                    check(ticket, command)  # refuses it: without a run, in the words the workflow would use
                ticket = await self._as_it_ended(ticket)
        raise _missing(ticket)

    async def _as_it_ended(self, ticket: Ticket) -> Ticket:
        """The ticket read again after its run was found ended: a run that ends has recorded that it is closed."""
        again = (await self.find(ticket.id)).ticket
        if again.status is not Status.CLOSED:
            raise _missing(ticket)
        return again

    async def _known(self, wanted_id: UUID, request: RequestId) -> Answer | None:
        async with self.services.reads() as session:
            found = await find_with_answer(session, self.caller.organization_id, wanted_id, request.key)
        if found is None or found[1] is None:
            return None
        return replayed(found[0], found[1], request)

    async def _with_answer(self, wanted_id: UUID, request: RequestId) -> tuple[RecordedTicket, KeptAnswer | None]:
        async with self.services.reads() as session:
            found = await find_with_answer(session, self.caller.organization_id, wanted_id, request.key)
        return found or (await self._unrecorded(wanted_id), None)

    async def _unrecorded(self, wanted_id: UUID) -> RecordedTicket:
        """A ticket that was acknowledged while the read model lagged, as its workflow holds it; else ``not_found``.

        One that was decided on, and can be seen in its conversation, is started by whoever comes first.
        """
        try:
            ticket = await self._live(wanted_id)
        except RunEnded:
            ticket = await self._decided_on(wanted_id)
        if ticket is None:
            raise not_found("ticket")
        return await self._with_requester(ticket)

    async def _with_requester(self, ticket: Ticket) -> RecordedTicket:
        async with self.services.reads() as session:
            requester = await find_requester(session, ticket.requester_id)
        return RecordedTicket(ticket, "", requester)

    async def _live(self, wanted_id: UUID) -> Ticket | None:
        if await self.gateway.owner_of(wanted_id) != self.caller.organization_id:
            return None
        return (await self.gateway.live(wanted_id)).ticket

    async def _decided_on(self, wanted_id: UUID) -> Ticket | None:
        async with self.services.reads() as session:
            kept = await find_opening(session, self.caller.organization_id, wanted_id)
        start = StartTicket.model_validate(kept) if kept is not None else None
        if start is None or start.ticket is None or start.created is None:
            return None
        await self.gateway.start(start.ticket, start.created)
        return start.ticket.model_copy(update={"version": 1})

    async def _shown(
        self, watch: Watch, fallback: RecordedTicket, request_id: str, *, wait_for_event: bool = False, seen: int = 0
    ) -> Answer:
        """What the read model has once it shows the request's effect; ``fallback``, marked, if that takes too long.

        A command that changed nothing leads to a version ``seen`` before, which nobody announces again.
        """
        organization_id, wanted = self.caller.organization_id, fallback.ticket

        async def look() -> RecordedTicket | None:
            async with self.services.reads() as session:
                shown = await find_shown(session, organization_id, wanted.id, request_id)
            if shown is None:
                return None
            if shown.cause is not None and shown.cause.kind == EventKind.COMMAND_REFUSED:
                raise _refused(replace(shown.cause, ticket=shown.recorded.ticket))
            # Without a cause of its own: a command that asked for what already was.
            enough = shown.cause is not None or (not wait_for_event and shown.version >= wanted.version)
            return shown.recorded if enough else None

        seconds = self.services.settings.read_model_wait.total_seconds()
        at_least = 1 if wait_for_event else wanted.version
        recorded = await watch.until(look, seconds, at_least if at_least > seen else 0)
        return Answer(recorded) if recorded else Answer(fallback, pending=True)


def replayed(recorded: RecordedTicket, kept: KeptAnswer, request: RequestId) -> Answer:
    """The earlier answer to the same request; a refusal is given again too."""
    check_fingerprint(kept.fingerprint, request)
    if kept.kind == EventKind.COMMAND_REFUSED:
        raise _refused(kept)
    return Answer(replace(recorded, ticket=kept.ticket or recorded.ticket), replayed=True)


def _refused(kept: KeptAnswer) -> Problem:
    """The refusal of a command nobody waited for, with the moves that were legal then."""
    status = kept.ticket and kept.ticket.status
    then = {"current": status, "legal": legal_targets(status)} if status else {}
    return Problem(str(kept.about["code"]), kept.reason or "The command was refused.", **then)


def customer(requester: RequesterFacts) -> Actor:
    """The requester as the actor of their own messages."""
    return Actor(kind=ActorKind.CUSTOMER, id=requester.id, name=requester.name)


def _reopens(command: Command | Merge) -> bool:
    return isinstance(command, ChangeStatus) and command.to in TRANSITIONS[Status.CLOSED]


def _begins_a_run(ticket: Ticket, command: Command | Merge) -> bool:
    """Whether the command is what a closed ticket's next run begins with."""
    return ticket.status is Status.CLOSED and ticket.merged_into is None and _reopens(command)


def _missing(ticket: Ticket) -> Problem:
    return Problem(
        "ticket_workflow_missing",
        f"Ticket #{ticket.number} is {ticket.status}, but its workflow does not run. Nothing was changed; "
        "tell whoever operates Baton.",
        workflow_id=workflow_id(ticket.id),
    )
