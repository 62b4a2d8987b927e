"""The durable life of one ticket."""

from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.signatures import LoadTicket, MergeTicket
    from domain import lifecycle, merging
    from domain.assignment import Offer
    from domain.commands import (
        Absorb,
        AgentReplied,
        Assign,
        ChangeStatus,
        Command,
        CustomerReplied,
        Edit,
        Erase,
        Escalate,
        Merge,
        NoteAdded,
        PolicyChanged,
    )
    from domain.errors import DomainError, TicketMerging
    from domain.story import Story
    from domain.terms import adopt
    from domain.ticket import Status, Ticket
    from domain.timers import Timer, fire, timers
    from workflows.alarms import Alarms, measure_lateness
    from workflows.attributes import attributes_of, changed_attributes
    from workflows.details import details
    from workflows.merging import Held, Merging
    from workflows.messages import LiveTicket, Outcome, StartTicket, Submitted
    from workflows.outbox import Outbox
    from workflows.refusals import refuse
    from workflows.requests import REMEMBERED_REQUESTS, Requests

    # Not `from workflows import steps`: the sandbox would execute that module again for every instance.
    from workflows.steps import choose_assignee, forward, load, merge, record


@workflow.defn(name="Ticket")
class TicketWorkflow:
    """One ticket from its creation to its closing; reopening starts another run of the same id.

    Updates: ``change_status``, ``assign``, ``edit``, ``escalate``, ``merge``, ``absorb`` (each refused by its
    validator before it enters history; ``absorb`` is asked by the ticket that merges into this one); ``erase`` (which
    nothing refuses).
    Signals: ``customer_replied``, ``agent_replied``, ``note_added``, ``policy_changed`` (facts);
    ``offered`` (a member was chosen for it); ``submit`` (a command whose sender does not wait).
    Query: ``live`` (the state and the next timers).
    """

    @workflow.init
    def __init__(self, start: StartTicket) -> None:
        self._id = start.ticket_id
        self._state = start.ticket
        self._missing = False
        self._history_limit = start.history_limit
        self._remembered = Requests(start.remembered)
        self._outbox = Outbox(start.outbox, start.description)
        self._recorded_version = _recorded_version(start)
        self._attributes_of: Ticket | None = start.ticket
        self._alarms = Alarms()
        self._merging = Merging()
        self._forgets = False
        if start.ticket and start.created:
            created = start.created
            self._outbox.description = created.description
            self._take(
                lifecycle.create(
                    start.ticket,
                    created.actor,
                    workflow.now(),
                    created.request_id,
                    created.fingerprint,
                    because=created.because,
                )
            )
        elif start.ticket:
            workflow.set_current_details(details(start.ticket))

    @workflow.run
    async def run(self, _: StartTicket) -> Ticket:
        if self._state is None:
            await self._load()
        while True:
            # First, so that a steady stream of commands cannot keep a run from ending.
            if self._is_over and self._ticket.status is not Status.CLOSED:
                await self._continue_as_new()
            elif self._outbox:
                await self._record()
            elif self._merging.command:
                await self._merge(self._merging.command)
            elif self._merging.held:
                await forward(self._merging.next_to_forward(self._ticket))
                del self._merging.held[0]
            elif self._ticket.status is Status.CLOSED:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if self._ticket.status is Status.CLOSED and not self._outbox and not self._merging.held:
                    return self._ticket
            else:
                await self._wait_and_fire()

    # Commands

    @workflow.update(description="Move the ticket to another status")
    async def change_status(self, command: ChangeStatus) -> Outcome:
        return await self._obey(command)

    @change_status.validator
    def validate_change_status(self, command: ChangeStatus) -> None:
        self._check(command)

    @workflow.update(description="Give the ticket to a team or a member")
    async def assign(self, command: Assign) -> Outcome:
        return await self._obey(command)

    @assign.validator
    def validate_assign(self, command: Assign) -> None:
        self._check(command)

    @workflow.update(description="Change title, priority or tags")
    async def edit(self, command: Edit) -> Outcome:
        return await self._obey(command)

    @edit.validator
    def validate_edit(self, command: Edit) -> None:
        self._check(command)

    @workflow.update(description="Raise the priority and tell the supervisors")
    async def escalate(self, command: Escalate) -> Outcome:
        return await self._obey(command)

    @escalate.validator
    def validate_escalate(self, command: Escalate) -> None:
        self._check(command)

    @workflow.update(description="End the ticket and have another one go on with it")
    async def merge(self, command: Merge) -> Outcome:
        await self._loaded()
        await self._merging.decided()
        self._check(command)
        if command.request_id not in self._remembered:
            await self._merging.begin(command)
        return self._outcome(command.request_id)

    @merge.validator
    def validate_merge(self, command: Merge) -> None:
        self._check(command)

    @workflow.update(description="Go on with another ticket that ends; asked by that ticket")
    async def absorb(self, command: Absorb) -> Outcome:
        await self._loaded()
        self._check(command)
        if command.request_id not in self._remembered:
            story = merging.absorbed(self._ticket, command, workflow.now())
            self._take(story, command.request_id, command.fingerprint)
        return self._outcome(command.request_id)

    @absorb.validator
    def validate_absorb(self, command: Absorb) -> None:
        self._check(command)

    @workflow.update(description="Forget the customer's words")
    async def erase(self, command: Erase) -> str:
        """The run whose history still has the words: this one, which ends as soon as it has recorded this, or the last.

        Empty where this run forgot nothing and follows on no other.
        """
        await self._loaded()
        if command.request_id not in self._remembered:
            self._take(lifecycle.erased(self._ticket, command, workflow.now()), command.request_id)
            self._forgets = True
        return workflow.info().run_id if self._forgets else workflow.info().continued_run_id or ""

    @workflow.signal(description="A command whose sender does not wait for its outcome")
    async def submit(self, submitted: Submitted) -> None:
        await self._loaded()
        await self._merging.decided()
        command = submitted.command
        if command.request_id in self._remembered:
            return
        try:
            story = lifecycle.decide(self._ticket, command, workflow.now())
        except DomainError as refusal:
            story = lifecycle.refused(self._ticket, command, refusal, workflow.now())
        self._take(story, command.request_id, command.fingerprint)

    # Facts

    @workflow.signal(description="The customer wrote")
    async def customer_replied(self, fact: CustomerReplied) -> None:
        await self._loaded()
        self._learn(fact)

    @workflow.signal(description="A member answered the customer")
    async def agent_replied(self, fact: AgentReplied) -> None:
        await self._loaded()
        self._learn(fact)

    @workflow.signal(description="A member left an internal note")
    async def note_added(self, fact: NoteAdded) -> None:
        await self._loaded()
        self._learn(fact)

    @workflow.signal(description="The organization's rules changed")
    async def policy_changed(self, fact: PolicyChanged) -> None:
        await self._loaded()
        if fact.request_id not in self._remembered:
            self._take(lifecycle.policy_changed(self._ticket, fact, workflow.now()), fact.request_id)

    @workflow.signal(description="A member was chosen for the waiting ticket")
    async def offered(self, offer: Offer) -> None:
        await self._loaded()
        self._take(lifecycle.offered(self._ticket, offer, workflow.now()))

    @workflow.query(description="The state and the next timers")
    def live(self) -> LiveTicket:
        return LiveTicket(ticket=self._state, timers=tuple(timers(self._state)) if self._state else ())

    # Steps

    @property
    def _ticket(self) -> Ticket:
        assert self._state is not None
        return self._state

    async def _load(self) -> None:
        """Begin with what the ticket's last run left; where there was none, tell all who wait, and fail."""
        try:
            loaded = await load(LoadTicket(ticket_id=self._id, requests=REMEMBERED_REQUESTS))
        except ActivityError:
            self._missing = True
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        self._state, self._remembered = loaded.ticket, Requests(loaded.remembered)
        self._recorded_version = loaded.ticket.version

    async def _loaded(self) -> None:
        """Wait until a reopened ticket's state has been read; nothing may be decided before."""
        if self._state is None:
            await workflow.wait_condition(lambda: self._state is not None or self._missing)
        if self._missing:
            raise ApplicationError("There is no such ticket.", type="ticket_not_found", non_retryable=True)

    def _check(self, command: Command | Merge | Absorb) -> None:
        """Refuse what cannot be done, before it enters history; a repeated request is no refusal."""
        if self._state is None:
            return
        try:
            if self._remembered.knows(command.request_id, command.fingerprint):
                return
            if isinstance(command, Absorb) and self._merging:
                # Not to be waited for here: the other ticket may wait for this one in turn.
                raise TicketMerging(f"Ticket #{self._state.number} is being merged itself; ask again in a moment.")
            if isinstance(command, Merge):
                merging.check_merge(self._state, command)
            else:
                lifecycle.check(self._state, command)
        except DomainError as refusal:
            refuse(refusal)

    async def _obey(self, command: Command) -> Outcome:
        await self._loaded()
        await self._merging.decided()
        self._check(command)  # again: the state may not have been there, or another command came between
        earlier = self._remembered.get(command.request_id)
        if earlier:
            return Outcome(version=earlier.version, fingerprint=earlier.fingerprint, ticket=self._ticket, repeated=True)
        story = lifecycle.decide(self._ticket, command, workflow.now())
        self._take(story, command.request_id, command.fingerprint)
        return Outcome(version=story.ticket.version, fingerprint=command.fingerprint, ticket=story.ticket)

    def _outcome(self, request_id: str) -> Outcome:
        """What a request that was acted on came to."""
        done = self._remembered[request_id]
        repeated = done.version != self._ticket.version
        return Outcome(version=done.version, fingerprint=done.fingerprint, ticket=self._ticket, repeated=repeated)

    def _learn(self, fact: Held) -> None:
        """Take a fact, once; keep it for later while a merge decides whose it is."""
        if fact.request_id in self._remembered or self._merging.holds(self._ticket, fact):
            return
        now = workflow.now()
        if isinstance(fact, CustomerReplied):
            story = lifecycle.customer_replied(self._ticket, fact, now)
        elif isinstance(fact, AgentReplied):
            story = lifecycle.agent_replied(self._ticket, fact, now)
        else:
            story = lifecycle.note_added(self._ticket, fact, now)
        self._take(story, fact.request_id)

    def _take(self, story: Story, request_id: str | None = None, fingerprint: str = "") -> None:
        """Make a decision the state; from here on it will be recorded, whatever happens."""
        if request_id:
            self._remembered.remember(request_id, fingerprint, story.ticket.version, self._recorded_version)
        if not story.events:
            return
        self._state = story.ticket
        self._outbox.put(story)
        workflow.set_current_details(details(story.ticket))

    async def _record(self) -> None:
        """Hand the outbox to the read model's writer and take on the terms it found."""
        updates = changed_attributes(self._attributes_of, self._ticket)
        if updates:
            workflow.upsert_search_attributes(updates)
            self._attributes_of = self._ticket
        batch = self._outbox.take(self._ticket)
        recorded = await record(batch)
        self._recorded_version = batch.ticket.version
        if recorded.terms:
            self._state = adopt(self._ticket, recorded.terms)
            workflow.set_current_details(details(self._state))
        if recorded.offer:
            self._take(lifecycle.offered(self._ticket, recorded.offer, workflow.now()))
        if recorded.leaver_id:
            self._take(lifecycle.left(self._ticket, recorded.leaver_id, workflow.now()))

    async def _merge(self, command: Merge) -> None:
        """Have another ticket take over and end; or go on as before where that is refused."""
        ticket = self._ticket
        request = MergeTicket(
            organization_id=ticket.organization_id,
            target_id=command.target_id,
            absorb=merging.absorb_of(ticket, command),
        )
        outcome = await merge(request)
        if outcome.into:
            into = command.model_copy(update={"target_id": outcome.into})
            story = merging.merged(self._ticket, into, workflow.now())
            self._take(story, command.request_id, command.fingerprint)
        self._merging.end(outcome.refusal)
        if outcome.refusal:
            held, self._merging.held = self._merging.held, []
            for fact in held:
                self._learn(fact)

    async def _wait_and_fire(self) -> None:
        """Wait for something to happen, or for the earliest timer, and do what that one is for."""
        waits = timers(self._ticket)
        first = next(iter(waits), None)
        if first and first.due_at <= workflow.now():
            await self._fire(first)
            return
        self._alarms.arm(waits)
        await workflow.wait_condition(
            lambda: (
                bool(self._outbox or self._merging or self._merging.held)
                or self._alarms.rang
                or self._is_long()
                or self._forgets
            )
        )
        self._alarms.rang = False

    async def _fire(self, timer: Timer) -> None:
        choice = await choose_assignee(self._ticket, timer, timer.successor) if timer.successor else None
        self._take(fire(self._ticket, timer, workflow.now(), choice))
        measure_lateness(workflow.now() - timer.due_at, timer.kind.value)

    @property
    def _is_over(self) -> bool:
        """Whether another run has to go on: this one is long, or must be forgotten with all that its outbox held."""
        return not self._outbox if self._forgets else self._is_long() and self._outbox.portable and not self._is_merging

    def _is_long(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= self._history_limit or info.is_continue_as_new_suggested()

    @property
    def _is_merging(self) -> bool:
        """Whether there is something that the next run could not be given."""
        return bool(self._merging or self._merging.held)

    async def _continue_as_new(self) -> NoReturn:
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(
            StartTicket(
                ticket_id=self._id,
                ticket=self._ticket,
                description=self._outbox.description,
                outbox=self._outbox.entries,
                remembered=self._remembered,
                history_limit=self._history_limit,
            ),
            # The last change may not have been written yet, and the next run takes it for written.
            search_attributes=attributes_of(self._ticket),
        )


def _recorded_version(start: StartTicket) -> int:
    """The version that the read model has when the run begins."""
    if start.outbox:
        return start.outbox[0].events[0].version - 1
    return start.ticket.version if start.ticket else 0
