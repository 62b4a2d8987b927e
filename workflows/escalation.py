"""The durable life of a conversation's escalation."""

from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.signatures import LoadEscalation, LookAfterEscalation
    from domain import escalation_lifecycle as lifecycle
    from domain.errors import DomainError, EscalationOver
    from domain.escalation import Escalation
    from domain.escalation_commands import (
        AttachTicket,
        Claim,
        Dismiss,
        EscalationCommand,
        HandBack,
        PresenceChanged,
        Raise,
        Released,
        Resolve,
        Spoken,
    )
    from domain.escalation_lifecycle import Raised
    from domain.escalation_story import EscalationStory
    from domain.escalation_timers import (
        EscalationTimer,
        EscalationTimerKind,
        adopt,
        escalation_timers,
        fire,
    )
    from workflows.alarms import Alarms, measure_lateness
    from workflows.escalation_details import escalation_details

    # Not `from workflows import escalation_steps`: the sandbox would execute that module again for every instance.
    from workflows.escalation_steps import load, look_after, record
    from workflows.messages import EscalationEntry, EscalationOutcome, LiveEscalation, StartEscalation
    from workflows.outbox import EscalationOutbox
    from workflows.refusals import refuse
    from workflows.requests import Requests


@workflow.defn(name="Escalation")
class EscalationWorkflow:
    """A conversation's live escalation, from the first reason until it is resolved or dismissed; one at a time.

    Updates: ``claim`` (which makes an escalation of a takeover where none is live), ``hand_back``, ``resolve``,
    ``dismiss``, ``attach_ticket`` (each refused by its validator before it enters history).
    Signals: ``raised`` (starts it, or adds a reason), ``spoken``, ``presence_changed``, ``released`` (facts).
    Query: ``live`` (the state and the next timers).
    """

    @workflow.init
    def __init__(self, start: StartEscalation) -> None:
        self._organization_id = start.organization_id
        self._conversation_id = start.conversation_id
        self._state = start.escalation
        self._missing = False
        self._waiting = list(start.waiting)
        self._taking: list[Claim] = []
        self._beginning = False
        self._history_limit = start.history_limit
        self._remembered = Requests(start.remembered)
        self._dealt_with = start.dealt_with
        self._outbox = EscalationOutbox(start.outbox)
        self._recorded_version = _recorded_version(start)
        self._alarms = Alarms()
        if start.escalation:
            workflow.set_current_details(escalation_details(start.escalation))

    @workflow.run
    async def run(self, _: StartEscalation) -> Escalation | None:
        while True:
            # First, so that a steady stream of reasons cannot keep a run from ending.
            if self._is_long() and self._outbox.portable and self._is_settled and not self._taking:
                await self._continue_as_new()
            elif self._outbox:
                await self._record()
            elif self._taking:
                await self._take_over(self._taking[0])
                del self._taking[0]
            elif self._waiting:
                await self._take_reason(self._waiting[0])
                del self._waiting[0]
            elif not self._is_live:
                await workflow.wait_condition(workflow.all_handlers_finished)
                if not (self._is_live or self._outbox or self._taking or self._waiting):
                    return self._state
            else:
                await self._wait_and_fire()

    # Commands

    @workflow.update(description="Give the conversation to a member")
    async def claim(self, command: Claim) -> EscalationOutcome:
        if command.raising and not self._is_live:
            self._taking.append(command)
        try:
            return await self._obey(command)
        except ApplicationError:
            # Whoever was told that they lost must not win once the winner is done with it.
            if command in self._taking and workflow.patched("refused-takeovers-are-over"):
                self._taking.remove(command)
            raise

    @claim.validator
    def validate_claim(self, command: Claim) -> None:
        if not (command.raising and not self._is_live):
            self._check(command)

    @workflow.update(description="Return the conversation to the bot")
    async def hand_back(self, command: HandBack) -> EscalationOutcome:
        return await self._obey(command)

    @hand_back.validator
    def validate_hand_back(self, command: HandBack) -> None:
        self._check(command)

    @workflow.update(description="The customer has been helped")
    async def resolve(self, command: Resolve) -> EscalationOutcome:
        return await self._obey(command)

    @resolve.validator
    def validate_resolve(self, command: Resolve) -> None:
        self._check(command)

    @workflow.update(description="It did not need a human")
    async def dismiss(self, command: Dismiss) -> EscalationOutcome:
        return await self._obey(command)

    @dismiss.validator
    def validate_dismiss(self, command: Dismiss) -> None:
        self._check(command)

    @workflow.update(description="Have a ticket go with it")
    async def attach_ticket(self, command: AttachTicket) -> EscalationOutcome:
        return await self._obey(command)

    @attach_ticket.validator
    def validate_attach_ticket(self, command: AttachTicket) -> None:
        self._check(command)

    # Facts

    @workflow.signal(description="A human is needed")
    def raised(self, raising: Raise) -> None:
        self._waiting.append(raising)

    @workflow.signal(description="The customer wrote, or a person answered")
    def spoken(self, fact: Spoken) -> None:
        if self._state:
            self._take(lifecycle.spoken(self._state, fact, workflow.now()))

    @workflow.signal(description="Whoever has the conversation went offline, or came back")
    def presence_changed(self, fact: PresenceChanged) -> None:
        if self._state:
            self._take(lifecycle.presence_changed(self._state, fact, workflow.now()))

    @workflow.signal(description="A member was removed")
    def released(self, fact: Released) -> None:
        if self._state and fact.request_id not in self._remembered:
            self._take(lifecycle.released(self._state, fact, workflow.now()), fact.request_id)

    @workflow.query(description="The state and the next timers")
    def live(self) -> LiveEscalation:
        waits = tuple(escalation_timers(self._state)) if self._state else ()
        return LiveEscalation(escalation=self._state, timers=waits)

    # Steps

    @property
    def _is_live(self) -> bool:
        return self._state is not None and self._state.is_live

    @property
    def _is_settled(self) -> bool:
        """Whether it is known if there is an escalation to be commanded."""
        return self._is_live or self._missing or not (self._taking or self._waiting or self._beginning)

    def _check(self, command: EscalationCommand) -> None:
        """Refuse what cannot be done, before it enters history; a repeated request is no refusal."""
        try:
            if self._remembered.knows(command.request_id, command.fingerprint):
                return
            if command.request_id in self._dealt_with:
                raise EscalationOver("An earlier escalation of the conversation has dealt with it.", current=None)
            if self._state is None:
                if self._is_settled:
                    raise EscalationOver("No escalation of this conversation is live.", current=None)
                return
            lifecycle.check(self._state, command)
        except DomainError as refusal:
            refuse(refusal)

    async def _obey(self, command: EscalationCommand) -> EscalationOutcome:
        await workflow.wait_condition(lambda: self._is_settled)
        if self._missing:
            raise ApplicationError("There is no such conversation.", type="not_found", non_retryable=True)
        self._check(command)  # again: there may have been no state, or another command came between
        assert self._state is not None
        earlier = self._remembered.get(command.request_id)
        if earlier is None:
            story = lifecycle.decide(self._state, command, workflow.now())
            if not story.events and workflow.patched("what-changes-nothing-is-on-record"):
                story = lifecycle.acknowledged(self._state, command, workflow.now())
            self._take(story, command.request_id, command.fingerprint)
            earlier = self._remembered[command.request_id]
        return EscalationOutcome(
            version=earlier.version,
            fingerprint=earlier.fingerprint,
            escalation=self._state,
            repeated=earlier.version != self._state.version,
        )

    async def _take_reason(self, raising: Raise) -> None:
        """Make an escalation of the reason, or add it to the one there is; nothing where it is known."""
        if raising.request_id in self._remembered or raising.request_id in self._dealt_with:
            return
        if not self._is_live:
            of = await self._begin(raising.request_id)
            if of is None:
                return
            if not self._is_live:
                self._take_new(lifecycle.begin(of, raising, workflow.now()), raising.request_id)
                return
        assert self._state is not None
        self._take(lifecycle.added(self._state, raising, workflow.now()), raising.request_id)

    async def _take_over(self, command: Claim) -> None:
        """Make an escalation that its owner has at once; nothing where there is one by now, which may be claimed."""
        if self._is_live:
            return
        of = await self._begin(command.request_id)
        if of is not None and not self._is_live:
            story = lifecycle.begin_claimed(of, command, workflow.now())
            self._take_new(story, command.request_id, command.fingerprint)

    async def _begin(self, request_id: str) -> Raised | None:
        """Read what an escalation begins with; ``None`` where an earlier one has dealt with the request.

        One that is live on record has lost its workflow, and goes on here.
        """
        self._beginning = True
        request = LoadEscalation(
            organization_id=self._organization_id, conversation_id=self._conversation_id, request_id=request_id
        )
        try:
            loaded = await load(request)
        except ActivityError:
            self._missing = True
            await workflow.wait_condition(workflow.all_handlers_finished)
            raise
        finally:
            self._beginning = False
        self._dealt_with = loaded.dealt_with
        if loaded.live:
            self._state, self._recorded_version = loaded.live, loaded.live.version
            workflow.set_current_details(escalation_details(loaded.live))
        return None if loaded.known else loaded.of

    def _take_new(self, story: EscalationStory, request_id: str, fingerprint: str = "") -> None:
        """The same for a new escalation; what was asked of an earlier one is on record, and was loaded with it."""
        self._remembered, self._recorded_version = Requests({}), 0
        self._take(story, request_id, fingerprint)

    def _take(self, story: EscalationStory, request_id: str | None = None, fingerprint: str = "") -> None:
        """Make a decision the state; from here on it will be recorded, whatever happens."""
        if request_id:
            version = story.escalation.version
            self._remembered.remember(request_id, fingerprint, version, self._recorded_version)
        if not story.events:
            return
        self._state = story.escalation
        self._outbox.put(EscalationEntry(events=tuple(story.events), after=story.escalation))
        workflow.set_current_details(escalation_details(story.escalation))

    async def _record(self) -> None:
        """Hand the outbox to the read model's writer and take on what it found."""
        assert self._state is not None
        batch = self._outbox.take(self._state)
        recorded = await record(batch)
        self._recorded_version = batch.escalation.version
        self._state = adopt(self._state, recorded.terms)
        workflow.set_current_details(escalation_details(self._state))
        if recorded.terms.spoken:
            self._take(lifecycle.spoken(self._state, recorded.terms.spoken, workflow.now()))
        if recorded.leaver_id:
            left = Released(member_id=recorded.leaver_id, request_id=f"left:{self._state.version}")
            self._take(lifecycle.released(self._state, left, workflow.now()))

    async def _wait_and_fire(self) -> None:
        """Wait for something to happen, or for the earliest timer, and do what that one is for."""
        assert self._state is not None
        waits = escalation_timers(self._state)
        first = next(iter(waits), None)
        if first and first.due_at <= workflow.now():
            await self._fire(first)
            return
        self._alarms.arm(waits)
        await workflow.wait_condition(
            lambda: bool(self._outbox or self._taking or self._waiting) or self._alarms.rang or self._is_long()
        )
        self._alarms.rang = False

    async def _fire(self, timer: EscalationTimer) -> None:
        assert self._state is not None
        look = None
        if timer.kind is not EscalationTimerKind.LADDER:
            assert self._state.owner_id is not None
            look = await look_after(
                LookAfterEscalation(
                    organization_id=self._organization_id,
                    conversation_id=self._conversation_id,
                    owner_id=self._state.owner_id,
                )
            )
        self._take(fire(self._state, timer, workflow.now(), look))
        measure_lateness(workflow.now() - timer.due_at, f"escalation_{timer.kind.value}")

    def _is_long(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= self._history_limit or info.is_continue_as_new_suggested()

    async def _continue_as_new(self) -> NoReturn:
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(
            StartEscalation(
                organization_id=self._organization_id,
                conversation_id=self._conversation_id,
                escalation=self._state,
                outbox=self._outbox.entries,
                remembered=self._remembered,
                waiting=tuple(self._waiting),
                dealt_with=self._dealt_with,
                history_limit=self._history_limit,
            )
        )


def _recorded_version(start: StartEscalation) -> int:
    """The version that the read model has when the run begins."""
    if start.outbox:
        return start.outbox[0].events[0].version - 1
    return start.escalation.version if start.escalation else 0
