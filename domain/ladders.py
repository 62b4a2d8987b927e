"""Ladders: ordered steps that run until somebody acts, as data an organization edits."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from domain.errors import InvalidLadder

MAX_STEPS = 20
"""Steps in one ladder; more could not be read by a person."""

LONGEST_WAIT = timedelta(days=366)


class Frozen(BaseModel):
    """A value: compared by content, never changed in place."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Tagged(Frozen):
    """One of several kinds; ``kind`` is written even where defaults are left out, since readers go by it."""

    kind: str

    @model_serializer(mode="wrap")
    def _with_kind(self, others: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        # Without an annotation of what it returns, which would take the place of the fields in JSON schemas.
        return {"kind": self.kind, **others(self)}


class ReminderAction(StrEnum):
    """What a step of a reminder ladder does."""

    REMIND = "remind"
    RESOLVE = "resolve"


class ReminderStep(Frozen):
    """One rung: ``after`` counts from the moment the ticket began waiting."""

    after: timedelta
    action: ReminderAction


class ReminderLadder(Frozen):
    """When a waiting ticket reminds its customer, and when it gives up and resolves."""

    name: str
    steps: tuple[ReminderStep, ...]

    def checked(self) -> "ReminderLadder":
        """This ladder, or ``InvalidLadder``: steps must rise in time, and resolving can only come last."""
        _check_count(len(self.steps))
        previous = timedelta(0)
        for position, step in enumerate(self.steps, start=1):
            if step.after <= previous:
                raise InvalidLadder(f"Step {position} must come later than the step before it.", step=position)
            if step.after > LONGEST_WAIT:
                raise InvalidLadder(f"Step {position} waits longer than a year.", step=position)
            if step.action is ReminderAction.RESOLVE and position != len(self.steps):
                raise InvalidLadder("Resolving ends the ladder, so it can only be the last step.", step=position)
            previous = step.after
        return self


DEFAULT_REMINDERS = ReminderLadder(
    name="Default",
    steps=(
        ReminderStep(after=timedelta(days=1), action=ReminderAction.REMIND),
        ReminderStep(after=timedelta(days=3), action=ReminderAction.REMIND),
        ReminderStep(after=timedelta(days=7), action=ReminderAction.RESOLVE),
    ),
)


class Target(StrEnum):
    """Whom a ladder's notice goes to."""

    ASSIGNEE = "assignee"
    TEAM = "team"
    SUPERVISORS = "supervisors"
    WATCHERS = "watchers"


class Successor(StrEnum):
    """Who gets a ticket that a ladder reassigns."""

    NEXT_MEMBER = "next_member"
    SUPERVISOR = "supervisor"


class Notify(Tagged):
    """Tell people; ``member_ids`` are told besides the named targets."""

    kind: Literal["notify"] = "notify"
    targets: tuple[Target, ...] = ()
    member_ids: tuple[UUID, ...] = ()

    @property
    def receivers(self) -> tuple[Target | UUID, ...]:
        """Everybody named."""
        return (*self.targets, *self.member_ids)


class RaisePriority(Tagged):
    """Make the ticket one step more urgent."""

    kind: Literal["raise_priority"] = "raise_priority"


class Reassign(Tagged):
    """Give the ticket to somebody else, who is told, as is whoever loses it."""

    kind: Literal["reassign"] = "reassign"
    to: Successor = Successor.NEXT_MEMBER


LadderAction = Annotated[Notify | RaisePriority | Reassign, Field(discriminator="kind")]


class LadderStep(Frozen):
    """Wait, counted from the step before (from the start for the first), then act."""

    wait: timedelta
    actions: tuple[LadderAction, ...]

    @property
    def successor(self) -> Successor | None:
        """Who should take the ticket over at this step, if the step reassigns."""
        return next((action.to for action in self.actions if isinstance(action, Reassign)), None)


class EscalationLadder(Frozen):
    """Ordered steps, run once and then repeated ``repeat`` times, until somebody acts."""

    name: str
    steps: tuple[LadderStep, ...]
    repeat: int = 0

    def checked(self) -> "EscalationLadder":
        """This ladder, or ``InvalidLadder``: every step must act, and a repetition must take time."""
        _check_count(len(self.steps))
        if not 0 <= self.repeat <= MAX_STEPS:
            raise InvalidLadder(f"A ladder repeats at most {MAX_STEPS} times.")
        for position, step in enumerate(self.steps, start=1):
            if not step.actions:
                raise InvalidLadder(f"Step {position} does nothing; give it an action.", step=position)
            if not timedelta(0) <= step.wait <= LONGEST_WAIT:
                raise InvalidLadder(f"Step {position} must wait between nothing and a year.", step=position)
            if any(isinstance(action, Notify) and not action.receivers for action in step.actions):
                raise InvalidLadder(f"Step {position} notifies nobody; name targets or members.", step=position)
            if sum(isinstance(action, Reassign) for action in step.actions) > 1:
                raise InvalidLadder(f"Step {position} reassigns twice.", step=position)
        if self.repeat and not any(step.wait for step in self.steps):
            raise InvalidLadder("A ladder that repeats must wait somewhere.")
        return self


def acknowledgement_ladder(limit: timedelta) -> EscalationLadder:
    """The ladder of a team without one of its own: the next member after ``limit``, then the supervisor."""
    return EscalationLadder(
        name="Unacknowledged",
        steps=(
            LadderStep(wait=limit, actions=(Reassign(to=Successor.NEXT_MEMBER),)),
            LadderStep(wait=limit, actions=(Reassign(to=Successor.SUPERVISOR),)),
        ),
    )


class LadderRun(Frozen):
    """A ladder that is being climbed; it is the one in force when it began.

    ``due_at`` is when ``current`` is due, ``None`` once every step is done. ``tried`` are the
    members a reassigning ladder has given the ticket to.
    """

    ladder: EscalationLadder
    episode: int
    began_at: datetime
    step: int = 0
    round: int = 0
    due_at: datetime | None
    tried: tuple[UUID, ...] = ()

    @classmethod
    def begin(cls, ladder: EscalationLadder, episode: int, at: datetime, tried: tuple[UUID, ...] = ()) -> "LadderRun":
        """The run of ``ladder`` from ``at``; ``tried`` are the members who have had their turn."""
        due_at = at + ladder.steps[0].wait
        return cls(ladder=ladder, episode=episode, began_at=at, due_at=due_at, tried=tried)

    @property
    def current(self) -> LadderStep:
        """The step that is waited for."""
        return self.ladder.steps[self.step]

    @property
    def position(self) -> int:
        """Counts steps through all rounds, from 1: the unique number of the step in its episode."""
        return self.round * len(self.ladder.steps) + self.step + 1

    def advanced(self, now: datetime, tried: tuple[UUID, ...] = ()) -> "LadderRun":
        """The run after its current step was done at ``now``; its ``due_at`` is ``None`` after the last.

        The next wait counts from when the step was due, so that steps missed during an outage
        follow at once and in order. After a reassignment it counts from ``now``: whoever has just
        been given the ticket has the whole wait to act.
        """
        base = now if self.current.successor or self.due_at is None else self.due_at
        step, round_ = self.step + 1, self.round
        if step == len(self.ladder.steps):
            step, round_ = 0, round_ + 1
        finished = round_ > self.ladder.repeat
        due_at = None if finished else base + self.ladder.steps[step].wait
        return self.model_copy(update={"step": step, "round": round_, "due_at": due_at, "tried": (*self.tried, *tried)})


def _check_count(steps: int) -> None:
    if not 1 <= steps <= MAX_STEPS:
        raise InvalidLadder(f"A ladder has 1 to {MAX_STEPS} steps, not {steps}.")
