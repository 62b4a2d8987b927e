"""Tells an escalation's story again with the domain's own functions: every change has to follow from the one before.

What was asked is taken from the clients' journal, never from the change it led to. Since when the customer waited when
it began, no change says: the times of the conversation are compared by themselves, and left out here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from domain import escalation_lifecycle as lifecycle
from domain.errors import DomainError
from domain.escalation import Escalation, EscalationStatus
from domain.escalation_commands import Claim, Dismiss, EscalationCommand, HandBack, Raise, Resolve
from domain.escalation_lifecycle import Raised
from domain.escalation_story import ChangeKind, EscalationChange, EscalationStory
from domain.escalation_timers import EscalationTerms, EscalationTimerKind, adopt, escalation_timers, fire, wanted
from domain.events import SYSTEM, Actor, ActorKind
from tests.chaos.journal import Sent, What
from tests.chaos.reading import Row, Settled


@dataclass(frozen=True)
class RetoldEscalation:
    """What follows from the story; ``end`` is ``untimed``, and ``None`` where the story fails."""

    end: Escalation | None
    told: Sequence[EscalationChange] = ()
    problem: str = ""


class EscalationTeller:
    """Tells stories of one organization. ``asked`` has commands, and ``raisings`` reasons, by their request's id."""

    def __init__(self, rules: Settled, asked: Mapping[str, Sent], raisings: Mapping[str, Raise]) -> None:
        self._rules = rules
        self._asked = asked
        self._raisings = raisings

    def tell(self, row: Row, changes: Sequence[Row]) -> RetoldEscalation:
        """Follow the ``changes`` of an escalation, whose ``row`` says whose it is."""
        state: Escalation | None = None
        told: list[EscalationChange] = []
        while len(told) < len(changes):
            change = changes[len(told)]
            place = f"v{change['version']} {change['kind']}"
            try:
                story = self._begun(row, change) if state is None else self._followed(state, change)
            except DomainError as refusal:
                return RetoldEscalation(None, problem=f"{place} is refused: {refusal}")
            if story is None or not story.events:
                where = f"on {state.status}" if state else "at the beginning"
                return RetoldEscalation(None, problem=f"{place} cannot follow {where}")
            for event, found in zip(story.events, changes[len(told) :], strict=False):
                if differing := _differing(event, found):
                    return RetoldEscalation(None, problem=f"v{found['version']} {found['kind']}: {differing}")
            told += story.events
            state = self._adopted(story.escalation)
        if state is None or len(told) > len(changes):
            return RetoldEscalation(None, problem="what belongs to it is missing")
        return RetoldEscalation(untimed(state), told)

    def _begun(self, row: Row, change: Row) -> EscalationStory | None:
        of = Raised(
            organization_id=row["organization_id"],
            conversation_id=row["conversation_id"],
            requester_id=row["requester_id"],
            channel=row["channel"],
        )
        request = change["request_id"]
        if change["kind"] != ChangeKind.RAISED or request not in self._raisings:
            return None
        raising, sent = self._raisings[request], self._asked[request]
        if sent.what is What.RAISE:
            return lifecycle.begin(of, raising, change["at"])
        command = self._command(sent, change)
        assert isinstance(command, Claim)
        return lifecycle.begin_claimed(of, command.model_copy(update={"raising": raising}), change["at"])

    def _followed(self, state: Escalation, change: Row) -> EscalationStory | None:
        kind, at, request = ChangeKind(change["kind"]), change["at"], change["request_id"]
        if at < state.updated_at or not state.is_live:
            return None
        if request is None:
            return _by_itself(state, change)
        if request not in self._asked:
            return None
        sent = self._asked[request]
        if sent.what is What.RAISE:
            return lifecycle.added(state, self._raisings[request], at) if kind is ChangeKind.REASON_ADDED else None
        if sent.escalation not in (None, str(state.id)):
            return None
        command = self._command(sent, change)
        lifecycle.check(state, command)
        story = lifecycle.decide(state, command, at)
        return story if story.events else lifecycle.acknowledged(state, command, at)

    def _command(self, sent: Sent, change: Row) -> EscalationCommand:
        common: dict[str, Any] = {
            "request_id": sent.command,
            "fingerprint": change["fingerprint"] or "",
            "actor": _actor(change),
        }
        if sent.what.takes:
            assert sent.member
            member = UUID(sent.member)
            return Claim(**common, member_id=member, member_name=self._rules.members[member])
        if sent.what is What.HAND_BACK:
            return HandBack(**common, forced=sent.member is None)
        return Resolve(**common) if sent.what is What.RESOLVE else Dismiss(**common)

    def _adopted(self, state: Escalation) -> Escalation:
        """With the terms its organization's rules say; when it learned them makes no difference."""
        need = wanted(state)
        terms = EscalationTerms(
            ladder=self._rules.queue_ladder(state.team_id) if need.ladder else None,
            team_id=state.team_id,
            stay=state.stay,
            silence_limit=self._rules.silence_limit(state.team_id) if need.silence_limit else None,
        )
        return adopt(state, terms)


def untimed(state: Escalation) -> Escalation:
    """The escalation without its conversation's times."""
    return state.model_copy(update={"waiting_since": None, "answered_at": None})


def _by_itself(state: Escalation, change: Row) -> EscalationStory | None:
    """What a timer did, or what was said in the conversation."""
    kind, at = ChangeKind(change["kind"]), change["at"]
    story = EscalationStory(state, at, SYSTEM)
    if kind is ChangeKind.WAITING_CHANGED:
        waiting = change["about"].get("waiting_since")  # not where a timer has found it out
        since = datetime.fromisoformat(waiting) if waiting else None
        story.tell(kind, about=change["about"], changes={"waiting_since": since})
        return story
    if kind is ChangeKind.LADDER_STEP:
        due = [each for each in escalation_timers(state) if each.kind is EscalationTimerKind.LADDER]
        return fire(state, due[0], at) if due else None
    if kind is ChangeKind.RETURNED and state.status is EscalationStatus.CLAIMED:
        assert state.claimed_at
        if state.silence_limit is not None and at >= state.claimed_at + state.silence_limit:
            lifecycle.give_back(story, lifecycle.SILENT)  # nobody goes offline or is removed in a run
            return story
    return None


def _actor(change: Row) -> Actor:
    return Actor(kind=ActorKind(change["actor_kind"]), id=change["actor_id"], name=change["actor_name"])


def _differing(event: EscalationChange, row: Row) -> str:
    """Which fields were recorded otherwise, and how."""
    expected = {
        "version": event.version,
        "kind": event.kind,
        "at": event.at,
        "why": event.why,
        "about": event.about,
        "request_id": event.request_id,
        "actor_kind": event.actor.kind,
        "actor_id": event.actor.id,
    }
    return "; ".join(
        f"{name} is {row[name]!r}, should be {value!r}" for name, value in expected.items() if row[name] != value
    )
